/**
 * Keeps a stay connected: opens its WebSocket, greets the server, listens for its life, and comes back when it is lost. Browser and Node.
 *
 * Invariant: one connection at a time; whatever an older one still says is void. Only a code that forbids it, or the author, ends the coming back.
 */
import { monotonicMs } from '../base/clock.js'
import { codeOfClose, errorEntry, KasagiError } from '../base/errors.js'
import { nextFloat } from '../base/prng.js'
import { fieldsOf } from '../schema/tables-of.js'
import { writeJoin, writePing, writeResync } from '../wire/client-messages.js'
import { packMatch, packToBytes } from '../wire/fields.js'
import { hear } from './dialogue.js'
import { firstHeld, forgetInputs } from './inputs.js'
import { holdSync } from './replication.js'
import { endStay, setStatus, type Stay } from './stay.js'

const pingEveryMs = 2000
/** A server that answers no ping for so long is as good as gone, whatever TCP still hopes. */
const silenceMsMax = 4 * pingEveryMs
/** The first try comes within a fifth of a second, each further one within twice the time, all of it random: a crowd comes back spread out. */
const retryMsFirst = 200, retryMsMax = 10_000
const opens = { 'if-absent': 0, never: 1, always: 2 } as const
/** Codes behind which the session is gone, and the stay begins anew. */
const joinAnew: ReadonlySet<string> = new Set(['session-gone', 'bad-token'])
/** Codes behind which there is nothing to wait for. */
const atOnce: ReadonlySet<string> = new Set([...joinAnew, 'auth-expired'])

/** Opens the next connection of a stay. */
export function openLine(stay: Stay): void {
  const attempt = ++stay.attempt
  const isCurrent = (): boolean => stay.attempt === attempt && stay.status !== 'closed'
  stay.address.open(stay.address.url, {
    open: () => { if (isCurrent()) greet(stay, isCurrent) },
    message: (message) => {
      if (!isCurrent()) return
      stay.heardMs = monotonicMs()
      hear(stay, message)
    },
    closed: (code) => { if (isCurrent()) loseLine(stay, code) },
  }).then((transport) => {
    if (isCurrent()) stay.transport = transport
    else transport.close()
  }, () => { if (isCurrent()) loseLine(stay) })
}

/** The first message: a join, or with a token the wish to go on. */
async function greet(stay: Stay, isCurrent: () => boolean): Promise<void> {
  const { token } = stay.address.options
  let userToken: string | undefined
  try {
    userToken = typeof token === 'function' ? await token() : token
  } catch (error) {
    console.error(error)
    return loseLine(stay)
  }
  if (!isCurrent()) return
  stay.transport?.send(joinBytes(stay, userToken))
  stay.heardMs = monotonicMs()
  stay.beat ??= setInterval(() => beat(stay), pingEveryMs)
}

function joinBytes({ address: { schema, where }, tables, schemaHash, token, welcomed }: Stay, userToken: string | undefined): Uint8Array {
  const resume = token === '' || welcomed === undefined ? undefined
    : { token, ...welcomed.replication.position, firstHeld: firstHeld(welcomed.inputs), lastSent: welcomed.inputs.next - 1 }
  return writeJoin({
    schema: schema.name, schemaHash, name: where.name, open: opens[where.open ?? 'if-absent'],
    join: packToBytes(tables.join, where.join ?? {}),
    options: where.options === undefined ? new Uint8Array(0) : packToBytes(fieldsOf(schema.options), where.options),
    match: packMatch(fieldsOf(schema.listing), where.match ?? {}), userToken, resume,
  })
}

function beat(stay: Stay): void {
  if (stay.transport === undefined) return
  if (monotonicMs() - stay.heardMs > silenceMsMax) return loseLine(stay)
  if (!stay.isWelcome || stay.welcomed === undefined) return
  stay.transport.send(writePing(monotonicMs()))
  const { position, state } = stay.welcomed.replication
  // A server that was still handing out an earlier answer has not taken the Resync.
  if (state === 'waiting') stay.transport.send(writeResync(position.epoch, position.seq))
}

/** The connection is gone: `close` is its close code. The stay comes back, or ends. */
function loseLine(stay: Stay, close?: number): void {
  stay.attempt++
  stay.transport?.close()
  stay.transport = undefined
  stay.isWelcome = false
  const known = close === undefined ? undefined : codeOfClose(close)
  let error = stay.notice ?? new KasagiError(known ?? 'connection-lost')
  stay.notice = undefined
  const { welcomed } = stay
  // A server of another version. Its field tables, which it sends to who joins without a hash, may yet hold all that this client knows; its join data may not.
  const asksTables = error.code === 'schema-mismatch' && stay.schemaHash !== 0
  if (error.code === 'bad-join' && stay.schemaHash === 0) error = new KasagiError('update-required')
  if (asksTables) {
    stay.schemaHash = 0
    if (welcomed === undefined) return openLine(stay)
  }
  const mayReturn = asksTables || errorEntry(known ?? 'connection-lost').reconnect && (error.code !== 'auth-expired' || typeof stay.address.options.token === 'function')
  if (stay.isLeaving && mayReturn) return endStay(stay, new KasagiError('left'))
  if (welcomed === undefined || !mayReturn) return endStay(stay, error)
  const now = monotonicMs()
  if (stay.losses++ === 0) stay.lostMs = now
  if (now - stay.lostMs > (stay.address.options.reconnectMs ?? Infinity)) return endStay(stay, error)
  holdSync(welcomed.replication)
  if (joinAnew.has(error.code)) {
    stay.token = ''
    forgetInputs(welcomed.inputs, error)
  }
  setStatus(stay, 'resuming', error.code)
  stay.retry = setTimeout(() => openLine(stay), asksTables || atOnce.has(error.code) && stay.losses <= 3 ? 0 : retryDelayMs(stay.losses))
}

const random = crypto.getRandomValues(new Uint32Array(4))

/** Full jitter: anywhere between nothing and a bound that doubles. */
const retryDelayMs = (losses: number): number => nextFloat(random) * Math.min(retryMsMax, retryMsFirst * 2 ** (losses - 1))
