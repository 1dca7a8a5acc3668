/** Asks a server for its open rooms, over HTTP: a list is no stay. Browser and Node. */
import { KasagiError } from '../base/errors.js'
import type { Schema } from '../schema/fields.js'
import { fieldsOf } from '../schema/tables-of.js'
import { packMatch, unpackFields } from '../wire/fields.js'
import type { ConnectOptions } from './client-room.js'

interface Listed { readonly name: string; readonly sessions: number; readonly listing: string }

/** Rejects with KasagiError `connection-lost`, or the server's code. */
export async function listRooms(url: string, { token }: ConnectOptions, schema: Schema, match: Readonly<Record<string, unknown>>): Promise<object[]> {
  const fields = fieldsOf(schema.listing)
  const from = new URL(`/_kasagi/rooms/${encodeURIComponent(schema.name)}`, url.replace(/^ws/, 'http'))
  from.searchParams.set('match', base64url(packMatch(fields, match)))
  const userToken = typeof token === 'function' ? await token() : token
  const answer = await fetch(from, { headers: userToken === undefined ? {} : { authorization: `Bearer ${userToken}` } }).catch(() => { throw new KasagiError('connection-lost') })
  if (!answer.ok) throw new KasagiError((await answer.text()).trim())
  return (await answer.json() as Listed[]).map(({ name, sessions, listing }) => {
    const bytes = bytesOf(listing), values = unpackFields(fields, new DataView(bytes.buffer), 0, bytes.length)
    if (values === undefined) throw new KasagiError('schema-mismatch')
    return { ...values, name, sessions }
  })
}

const base64url = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
const bytesOf = (text: string): Uint8Array => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0))
