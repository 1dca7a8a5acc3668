/**
 * A server may run another version of the room than the client was made for: its field tables beside the client's own. Where all that the client
 * knows is there under its name and unchanged, it goes on by the server's numbers and skips the rest. Browser and Node; pure.
 */
import { KasagiError } from '../base/errors.js'
import { rowsMax, tablesTextMax } from '../base/limits.js'
import type { PublicTables } from '../schema/field-tables.js'
import { schemaHash } from '../schema/tables-of.js'
import type { WelcomeMessage } from '../wire/server-messages.js'

/** By the server's numbers the client's own: -1 is what it does not know. Each own number stands there once. */
export interface Numbering {
  readonly tables: readonly number[]
  /** By table; of one that is not known none. */
  readonly fields: readonly (readonly number[])[]
  /** By table: rows at most. */
  readonly capacities: readonly number[]
  readonly inputs: readonly number[]
  readonly events: readonly number[]
}

/**
 * The numbering of the server that says this Welcome. `isResumed`: join data have no meaning any more; a new session's were packed by the own fields,
 * and read by the server's. Throws KasagiError `update-required` where something has changed, and any Error where the field tables are none.
 */
export function readNumbering(own: PublicTables, welcome: Pick<WelcomeMessage, 'schemaHash' | 'schema'>, isResumed: boolean): Numbering {
  if (welcome.schemaHash === schemaHash(own)) return numberingOf(own, own)
  if (welcome.schema.length > tablesTextMax) throw new RangeError('the field tables are too long')
  const given = JSON.parse(welcome.schema) as PublicTables, numbering = numberingOf(own, given)
  const join = numbersOf(own.join, given.join, 'join.')
  if (!isResumed && join.some((number, at) => number !== at)) throw changed('join')
  return numbering
}

function numberingOf(own: PublicTables, given: PublicTables): Numbering {
  const tables = numbersOf(own.tables, given.tables, '', ({ audience, ids, keep }) => [audience, ids, keep])
  if (own.player !== given.player) throw changed('player')
  return {
    tables, inputs: numbersOf(own.inputs, given.inputs, 'inputs.'), events: numbersOf(own.events, given.events, 'events.'),
    fields: tables.map((number, at) => number < 0 ? [] : numbersOf(own.tables[number].fields, given.tables[at].fields, `${own.tables[number].name}.`)),
    capacities: tables.map((number, at) => number < 0 ? 0 : rowsOf(given.tables[at].capacity)),
  }
}

function rowsOf(capacity: number): number {
  if (!(Number.isInteger(capacity) && capacity > 0 && capacity <= rowsMax)) throw new RangeError('no capacity')
  return capacity
}

/** `known`: what of an entry must be the same. */
function numbersOf<T extends { readonly name: string }>(own: readonly T[], given: readonly T[], place: string, known: (entry: T) => unknown = (entry) => entry): number[] {
  const missing = new Map(own.map(({ name }, number) => [name, number]))
  const numbers = given.map((entry) => {
    const number = missing.get(entry.name)
    if (number === undefined) return -1
    if (textOf(known(own[number])) !== textOf(known(entry))) throw changed(place + entry.name)
    missing.delete(entry.name)
    return number
  })
  for (const name of missing.keys()) throw changed(place + name)
  return numbers
}

/** Defaults aside: whoever writes a value takes its own, and whoever reads one is sent it. */
const textOf = (value: unknown): string => JSON.stringify(value, (key, part: unknown) => key === 'default' ? undefined : part)

const changed = (what: string): KasagiError => new KasagiError('update-required', `${what} has changed`)
