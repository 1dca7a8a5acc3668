/**
 * The backplane of many instances, over Redis. Main thread. One connection is for commands, in the order of the calls; one for what is heard; with
 * `opsReplicas` a third one for messages, since WAIT holds up whatever is behind it. Keys and channels are a public contract: docs/redis.md.
 */
import { randomInt, randomUUID } from 'node:crypto'
import { assert } from '../base/assert.js'
import { KasagiError } from '../base/errors.js'
import {
  answerMsMin, directoryRoomsMax, instanceNumberMs, instanceNumbersMax, leaseMsDefault, logPageBytes, logPageRecords, storedBytesMax,
} from '../base/limits.js'
import { claimants, type Backplane, type BackplaneEvents, type LoggedRecord, type Position } from './backplane.js'
import { createChannels, followChannel, hearChannels, loseChannels, takeMessage, type Channels } from './redis-channels.js'
import { openConnection, type RedisConnection, type Reply } from './redis-connection.js'
import { createCopies, publishCopied, type Copies } from './redis-copies.js'
import { answerOf, claimOf, directoryOf, numberOf, recordsOf, snapshotHash, snapshotOf, textOf } from './redis-replies.js'
import { directoryKey, roomKeys, scripts, type Script } from './redis-scripts.js'
import { parseRedisUrl, showAddress } from './redis-url.js'
import { createRoomOrder, runAlone, runBeside } from './room-order.js'
import { lineageTextMax, storedForks } from './stored-lineage.js'
import { createUnanswered, runCounted, type Unanswered } from './unanswered.js'

export interface RedisBackplaneOptions {
  /** redis://user:password@host:port, or rediss://… */
  readonly url: string
  readonly leaseMs?: number
  /** Copies of Redis that must have a logged record before it counts, and before anybody is told. */
  readonly opsReplicas?: number
  /** Certificates (PEM) that are believed, besides those of the system. */
  readonly ca?: string
}

interface Parts {
  readonly leaseMs: number
  readonly instance: number
  readonly commands: RedisConnection
  readonly messages: RedisConnection
  readonly subscriber: RedisConnection
  readonly channels: Channels
  readonly copies: Copies
  readonly unanswered: Unanswered
  readonly reach: Reach
  /** Calls without an answer, for `close`. */
  readonly calls: Set<Promise<unknown>>
}

/** Whether Redis is there: with every connection, and with all channels heard. */
interface Reach { events: BackplaneEvents | undefined; isReachable: boolean; isHeard: boolean }

/** Rejects with KasagiError `no-redis`, one line. */
export async function openRedisBackplane({ url, leaseMs = leaseMsDefault, opsReplicas = 0, ca }: RedisBackplaneOptions): Promise<Backplane> {
  const parsed = parseRedisUrl(url)
  if (parsed === undefined) throw new KasagiError('no-redis', 'the address is none of redis://host:port or rediss://host:port')
  const address = { ...parsed, tls: parsed.tls === undefined ? undefined : { ...parsed.tls, ca } }
  const channels = createChannels(), reach: Reach = { events: undefined, isReachable: true, isHeard: false }, opened: RedisConnection[] = []
  const answerMs = Math.max(leaseMs, answerMsMin)
  const look = (): void => {
    const isReachable = reach.isHeard && opened.every(({ isReady }) => isReady)
    if (isReachable === reach.isReachable) return
    reach.isReachable = isReachable
    reach.events?.reachable(isReachable)
  }
  const open = async (): Promise<RedisConnection> => {
    opened.push(await openConnection(address, answerMs, { ready: look, closed: look }))
    return opened[opened.length - 1]
  }
  try {
    const commands = await open(), messages = opsReplicas > 0 ? await open() : commands
    await checkVersion(commands)
    const token = randomUUID(), instance = await takeNumber(commands, token)
    followChannel(channels, inboxOf(instance), { message: (bytes) => reach.events?.message(bytes), gap: () => { reach.isHeard = true } })
    const subscriber = await openConnection(address, answerMs, {
      ready: () => void hearChannels(channels).then(look),
      closed: () => { reach.isHeard = false; loseChannels(channels); look() },
      message: (name, bytes) => takeMessage(channels, name, bytes),
    })
    opened.push(subscriber)
    channels.connection = subscriber
    await hearChannels(channels)
    look()
    if (!reach.isHeard) throw new KasagiError('no-redis', `${showAddress(address)} lets nobody hear ${inboxOf(instance)}`)
    const parts: Parts = {
      leaseMs, instance, commands, messages, subscriber, channels, reach, calls: new Set(),
      copies: createCopies(commands, opsReplicas, leaseMs), unanswered: createUnanswered(),
    }
    return backplaneOver(parts, showAddress(address), keepAlive(parts, token))
  } catch (error) {
    for (const connection of opened) connection.close()
    throw error
  }
}

const inboxOf = (instance: number): string => `instance:{${instance}}:inbox`
const numberKey = (instance: number): string => `instance:{${instance}}`

/** XTRIM MINID and HRANDFIELD are of 6.2. */
async function checkVersion(commands: RedisConnection): Promise<void> {
  // Who may not ask finds out by what is refused.
  const info = textOf(await commands.command('INFO', 'server').catch(() => null))
  const [, version, major, minor] = /^redis_version:((\d+)\.(\d+)[.\d]*)/m.exec(info) ?? []
  const isOld = version !== undefined && Number(major) * 100 + Number(minor) < 602
  if (isOld) throw new KasagiError('no-redis', `this is Redis ${version}; 6.2 or a later one is needed`)
}

/** A number that no running instance has. */
async function takeNumber(commands: RedisConnection, token: string): Promise<number> {
  for (;;) {
    const instance = randomInt(1, instanceNumbersMax)
    if (await keepNumber(commands, instance, token)) return instance
  }
}

/** False: somebody else has it. */
async function keepNumber(commands: RedisConnection, instance: number, token: string): Promise<boolean> {
  const answer = await commands.script(scripts.keepNumber, [numberKey(instance)], [token, String(instanceNumberMs)])
  return textOf(answerOf(answer, `instance ${instance}`)[0]) === 'ok'
}

/** Keeps the number, and asks every connection for a sign of life; gives back how to end that. */
function keepAlive({ leaseMs, instance, commands, messages, subscriber, reach }: Parts, token: string): () => Promise<void> {
  const keep = async (): Promise<void> => {
    if (await keepNumber(commands, instance, token)) return
    clearInterval(timer)
    reach.events?.lost()
  }
  const timer = setInterval(() => {
    keep().catch(() => {})
    for (const connection of [messages, subscriber]) connection.command('PING').catch(() => {})
  }, Math.min(leaseMs, instanceNumberMs / 2) / 3)
  return async () => {
    clearInterval(timer)
    await commands.script(scripts.giveNumber, [numberKey(instance)], [token]).catch(() => {})
    for (const connection of [commands, messages, subscriber]) connection.close()
  }
}

function backplaneOver(parts: Parts, place: string, end: () => Promise<void>): Backplane {
  const { instance, leaseMs, commands, messages, channels, copies, unanswered, reach, calls } = parts
  const order = createRoomOrder()
  /** Without copies to wait for, Redis keeps the order by itself. */
  const alone = <T>(roomId: string, call: () => Promise<T>): Promise<T> => counted(calls, copies.wanted > 0 ? runAlone(order, roomId, call) : call())
  const ask = async (script: Script, roomId: string, ...args: (string | number | Buffer)[]) =>
    answerOf(await commands.script(script, roomKeys(roomId), args.map((arg) => typeof arg === 'number' ? String(arg) : arg)), roomId)
  const write = (script: Script, roomId: string, ...args: (string | number | Buffer)[]): Promise<void> =>
    alone(roomId, async () => { await ask(script, roomId, ...args) })
  const publish = async (roomId: string, { epoch, seq, record }: LoggedRecord, to: 'log' | 'channel' | 'both'): Promise<void> => {
    await ask(scripts.publish, roomId, epoch, seq, bufferOf(record), to)
  }
  return {
    place, instance, leaseMs,
    listen: (events) => { reach.events = events },
    claim: (roomId, { seen, version, take }) => alone(roomId, async () =>
      claimOf(await ask(scripts.claim, roomId, take, instance, seen, version, leaseMs, randomStep()), roomId)),
    renew: (roomId, { epoch, seq, version }) => alone(roomId, async () =>
      textOf((await ask(scripts.renew, roomId, epoch, instance, seq, version, leaseMs))[0]) === 'restored' ? 'restored' : 'renewed'),
    release: (roomId, epoch) => write(scripts.release, roomId, epoch),
    handOver: (roomId, { epoch, seq, to, version }) => alone(roomId, async () =>
      numberOf((await ask(scripts.handOver, roomId, epoch, to, seq, version, leaseMs, randomStep()))[1], `the epoch of ${roomId}`)),
    load: (roomId) => alone(roomId, async () => snapshotOf(await ask(scripts.load, roomId, storedBytesMax, lineageTextMax), roomId)),
    store: (roomId, by, { epoch, seq, tick, ts, version, lineage, data }) => {
      assert([by, epoch, seq, tick, ts, version].every(Number.isSafeInteger), 'a snapshot is stored with whole numbers')
      const forks = JSON.stringify(storedForks(lineage, epoch))
      return write(scripts.store, roomId, by, seq, epoch, tick, ts, version, forks, snapshotHash(data, forks), bufferOf(data))
    },
    remove: (roomId, epoch) => write(scripts.remove, roomId, epoch),
    publish: (roomId, { isLogged, ...record }) => counted(calls, runCounted(unanswered, record.record.length, () => {
      if (copies.wanted === 0) return publish(roomId, record, isLogged ? 'both' : 'channel')
      const log = isLogged ? () => publish(roomId, record, 'log') : undefined
      return runBeside(order, roomId, () => publishCopied(copies, roomId, log, () => publish(roomId, record, 'channel')))
    })),
    readLog: (roomId, after) => readLog((at) =>
      alone(roomId, () => ask(scripts.readLog, roomId, `${at.epoch}-${at.seq}`, logPageRecords, logPageBytes)), roomId, after),
    follow: (roomId, follower) => followChannel(channels, roomKeys(roomId)[4], follower),
    send: (to, bytes) => {
      if (!messages.isReady) return false
      messages.command('PUBLISH', inboxOf(to), bufferOf(bytes)).catch(() => {})
      return true
    },
    enlist: (type, roomId, entry) => counted(calls, (async () => {
      const owner = `"instance":${instance},`, rest = entry === undefined ? owner : `${owner}"sessions":${entry.sessions},"listing":${entry.listing}}`
      await commands.script(entry === undefined ? scripts.delist : scripts.enlist, [directoryKey(type)], [roomId, rest, String(leaseMs)])
    })()),
    list: async (type) => {
      const answer = await commands.script(scripts.list, [directoryKey(type)], [String(directoryRoomsMax)])
      const { entries, expired } = directoryOf(answerOf(answer, `the directory of ${type}`))
      if (expired.length > 0) commands.command('HDEL', directoryKey(type), ...expired).catch(() => {})
      return entries
    },
    close: async () => {
      copies.isClosing = true
      reach.events = undefined
      await Promise.allSettled(calls)
      await end()
    },
  }
}

/** A store that forgot, and whose clock is behind, does not grant the same claimant the same epoch again. */
const randomStep = (): number => randomInt(claimants)

/** A view of the same bytes: the library sends nothing else as bytes. */
const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)

function counted<T>(calls: Set<Promise<unknown>>, call: Promise<T>): Promise<T> {
  calls.add(call)
  const done = (): void => { calls.delete(call) }
  call.then(done, done)
  return call
}

async function* readLog(readPage: (at: Position) => Promise<readonly Reply[]>, roomId: string, after: Position): AsyncGenerator<LoggedRecord> {
  for (let last: Position | undefined; ;) {
    const page = await readPage(last ?? after)
    if (page.length === 0) return
    for (const record of recordsOf(page, roomId, after, last)) {
      yield record
      last = record
    }
  }
}
