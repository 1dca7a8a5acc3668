/**
 * A connection to Redis that queues nothing and repeats nothing. The only door to `ioredis`. Main thread.
 *
 * Invariants: what cannot be sent now rejects now; what was sent and lost its answer with the connection rejects when that is noticed; nothing is sent again.
 * Commands take effect in the order of the calls. A connection on which nothing was answered for `answerMs` counts as lost; it comes back by itself.
 */
import { Redis } from 'ioredis'
import { KasagiError } from '../base/errors.js'
import { reconnectMsMax } from '../base/limits.js'
import { scripts, type Script } from './redis-scripts.js'
import { showAddress, type RedisAddress } from './redis-url.js'

export interface ConnectionEvents {
  ready(): void
  closed(): void
  message?(channel: string, bytes: Uint8Array): void
}

/** The same bytes: a Buffer's own methods surprise whoever expects a Uint8Array. */
export const bytesOf = (buffer: Buffer): Uint8Array => new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length)

/** A part of what Redis answered: text and bytes alike are bytes. */
export type Reply = Buffer | number | null | readonly Reply[]

export interface RedisConnection {
  readonly isReady: boolean
  /** Sends a command. Rejects with KasagiError store-lost, store-failed or data-bad. */
  command(name: string, ...args: (string | Buffer)[]): Promise<Reply>
  /** Runs a script. */
  script(script: Script, keys: readonly string[], args: readonly (string | Buffer)[]): Promise<Reply>
  subscribe(channels: readonly string[]): Promise<void>
  unsubscribe(channel: string): void
  close(): void
}

interface Connection {
  readonly redis: Redis
  /** From the library's `ready` to its `close`. */
  isOpen: boolean
  isCorked: boolean
  /** Scripts that were sent by their hash and are not answered. */
  byHash: number
  /** While scripts that Redis did not know are sent whole, those asked for later wait here. */
  held: (() => void)[] | undefined
}

/** Resolves when it is ready. Rejects with KasagiError `no-redis`, one line. */
export async function openConnection(address: RedisAddress, answerMs: number, events: ConnectionEvents): Promise<RedisConnection> {
  const { host, port, username, password, tls } = address
  const redis = new Redis({
    host, port, username, password, tls, lazyConnect: true, connectTimeout: answerMs, socketTimeout: answerMs, disableClientInfo: true,
    enableOfflineQueue: false, autoResendUnfulfilledCommands: false, autoResubscribe: false, maxRetriesPerRequest: 0,
    retryStrategy: (times) => Math.min(25 * 2 ** Math.min(times, 16), reconnectMsMax),
  })
  const connection: Connection = { redis, isOpen: false, isCorked: false, byHash: 0, held: undefined }
  let cause = 'the connection was closed'
  redis.on('error', (error: Error) => { cause = error.message || String((error as { code?: unknown }).code) })
  redis.on('ready', () => {
    connection.isOpen = true
    for (const { text } of Object.values(scripts)) redis.call('SCRIPT', 'LOAD', text).catch(() => {})
    events.ready()
  })
  redis.on('close', () => {
    const wasOpen = connection.isOpen
    connection.isOpen = false
    if (wasOpen) events.closed()
  })
  redis.on('messageBuffer', (channel: Buffer, bytes: Buffer) => events.message?.(channel.toString(), bytesOf(bytes)))
  try {
    await redis.connect()
  } catch {
    redis.disconnect()
    throw new KasagiError('no-redis', `cannot use ${showAddress(address)} (${cause.split('\n')[0]})`)
  }
  return {
    get isReady() { return canSend(connection) },
    command: (name, ...args) => send(connection, name, args),
    script: (script, keys, args) => run(connection, script, [String(keys.length), ...keys, ...args]),
    subscribe: async (channels) => { await answered(redis.subscribe(...channels)) },
    unsubscribe: (channel) => { redis.unsubscribe(channel).catch(() => {}) },
    close: () => redis.disconnect(),
  }
}

/** The end of a connection is read before its close is told; in between the library refuses what it is given. */
const canSend = ({ redis, isOpen }: Connection): boolean => isOpen && redis.status === 'ready' && redis.stream.writable

function send(connection: Connection, name: string, args: (string | Buffer)[]): Promise<Reply> {
  if (!canSend(connection)) return Promise.reject(new KasagiError('store-lost', 'not connected to Redis'))
  cork(connection)
  return answered(connection.redis.callBuffer(name, ...args) as Promise<Reply>)
}

/** All commands of a turn leave in one write. */
function cork(connection: Connection): void {
  if (connection.isCorked) return
  const { stream } = connection.redis
  connection.isCorked = true
  stream.cork()
  process.nextTick(() => {
    connection.isCorked = false
    stream.uncork()
  })
}

/** By its hash; whole if Redis does not know it (any more): then what was asked for later must not overtake it. */
function run(connection: Connection, script: Script, args: (string | Buffer)[]): Promise<Reply> {
  const { held } = connection
  if (held !== undefined) return new Promise((resolve) => { held.push(() => resolve(run(connection, script, args))) })
  connection.byHash++
  const first = send(connection, 'EVALSHA', [script.sha, ...args])
  const reply = first.catch((error: Error) => {
    if (!error.message.includes('NOSCRIPT')) throw error
    connection.held ??= []
    return send(connection, 'EVAL', [script.text, ...args])
  })
  const isAnswered = (): void => {
    const waiting = connection.held
    if (--connection.byHash > 0 || waiting === undefined) return
    connection.held = undefined
    for (const call of waiting) call()
  }
  first.then(isAnswered, isAnswered)
  return reply
}

async function answered<T>(reply: Promise<T>): Promise<T> {
  try {
    return await reply
  } catch (error) {
    const text = error instanceof Error ? error.message.split('\n')[0] : String(error)
    // Redis's own refusals bear this name; everything else means that no answer came.
    if (!(error instanceof Error) || error.name !== 'ReplyError') throw new KasagiError('store-lost', text.startsWith('Reached the max retries') ? 'the connection was lost before the answer came' : text)
    throw new KasagiError(text.startsWith('WRONGTYPE') ? 'data-bad' : 'store-failed', text)
  }
}
