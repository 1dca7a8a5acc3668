/**
 * From an input on one edge to its effect on another: event-driven room, three instances, one Redis. Beside it the same bytes through plain ioredis, there and
 * back between two processes, and a round trip main-worker-main, all in turn within one window. Clients and clock are this process's.
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { Redis } from 'ioredis'
import { connect, type ClientRoom } from 'kasagi-engine/client'
import { bytesOf } from '../../src/backplane/redis-connection.js'
import { toWorker } from '../../src/memory/crossing.js'
import { openPeerRecord } from '../../src/server/peer-record.js'
import { readPeer } from '../../src/wire/peer-messages.js'
import type { ServeProcess } from '../../test/support/process.js'
import type { RedisServer } from '../../test/support/redis.js'
import { until } from '../../test/support/until.js'
import { startChild } from '../child.js'
import { watch } from '../cpu.js'
import { judge, takeWindows, type Steal } from '../paired.js'
import { figure, isSmoke, median, type Measured } from '../report.js'
import { ping } from './project/shared/shapes.js'

const id = 'cluster/latency'
const turnsPerWindow = isSmoke ? 10 : 30

/** Between two messages: long enough that every thread is asleep again, as in a room that people use. */
const pauseMs = 3

type PingRoom = ClientRoom<typeof ping>
/** Something that goes there and back; resolves when it is back. */
interface Contestant { readonly subject: string; turn(): Promise<void>; end(): Promise<unknown> }
interface Bytes { readonly forward: Buffer; readonly record: Buffer }

const sleep = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms) })
const enter = ({ url }: ServeProcess): Promise<PingRoom> => connect(url, { verify: true }).join(ping, { name: 'one' })

let lastPing = 0

/** An input of one client until its effect is seen by another. */
function inRoom(subject: string, from: PingRoom, to: PingRoom): Contestant {
  let wanted = -1, seen = (): void => {}
  to.onFlush(() => { if (to.globals.last === wanted) seen() })
  return {
    subject,
    turn: () => new Promise((resolve) => {
      wanted = ++lastPing
      seen = resolve
      from.send('ping', { number: wanted })
    }),
    end: () => Promise.all([from.leave(), to.leave()]),
  }
}

/** What an input is on its way through Redis: as one goes there, and comes back. */
async function overhear(redis: RedisServer, from: PingRoom): Promise<Bytes> {
  const ear = new Redis(redis.port), channel = `room:{${from.id}}:channel`
  let forward: Buffer | undefined, record: Buffer | undefined
  ear.on('messageBuffer', (name: Buffer, bytes: Buffer) => {
    if (name.toString() === channel) record = openPeerRecord(bytesOf(bytes)) === undefined ? record : bytes
    else { const said = readPeer(bytesOf(bytes)); if (said?.kind === 'forward' && said.word === toWorker.input) forward = bytes }
  })
  await ear.subscribe(channel, `instance:{${await redis.client.hget(`room:{${from.id}}:owner`, 'instance')}}:inbox`)
  await from.ask('ping', { number: ++lastPing })
  await until(() => forward !== undefined && record !== undefined, 'an input and its record pass through Redis')
  ear.disconnect()
  return { forward: forward!, record: record! }
}

/** This process publishes, another one publishes back. */
async function throughRedis({ port }: RedisServer, { forward, record }: Bytes): Promise<Contestant> {
  const publisher = new Redis(port), subscriber = new Redis(port)
  const echo = await startChild(new URL('echo.js', import.meta.url), [String(port), String(forward.length), record.toString('base64')])
  let back = (): void => {}
  subscriber.on('messageBuffer', (_: Buffer, bytes: Buffer) => { if (Buffer.compare(bytesOf(bytes), bytesOf(record)) === 0) back() })
  await subscriber.subscribe('echo:back')
  return {
    subject: 'plain ioredis',
    turn: () => new Promise((resolve) => { back = resolve; void publisher.publish('echo:there', forward) }),
    end: () => { publisher.disconnect(); subscriber.disconnect(); return echo.end() },
  }
}

/** To a thread that sleeps on a word of shared memory, and back by a message: two hops, as the engine makes them. */
async function throughThread(): Promise<Contestant> {
  const word = new Int32Array(new SharedArrayBuffer(4)), worker = new Worker(new URL('hop.js', import.meta.url), { workerData: word })
  let back = (): void => {}
  worker.on('message', () => back())
  await once(worker, 'online')
  return {
    subject: 'main-worker-main',
    turn: () => new Promise((resolve) => {
      back = resolve
      Atomics.add(word, 0, 1)
      Atomics.notify(word, 0)
    }),
    end: () => worker.terminate(),
  }
}

/** Microseconds of each of some turns. */
async function measure({ turn }: Contestant): Promise<number[]> {
  const times: number[] = []
  for (let n = 0; n < turnsPerWindow; n++) {
    await sleep(pauseMs)
    const began = performance.now()
    await turn()
    times.push((performance.now() - began) * 1000)
  }
  return times
}

/** All see what was sent last, at one position. */
async function check(rooms: readonly PingRoom[]): Promise<void> {
  await until(() => rooms.every(({ globals, position }) => globals.last === lastPing && position.seq === rooms[0].position.seq && position.epoch === rooms[0].position.epoch), `${id}: all instances show the last input`)
  if (rooms.some(({ stats }) => stats.hashMismatches > 0)) throw new Error(`${id}: an instance shows another state than its owner`)
}

export async function measureLatency(redis: RedisServer, instances: readonly ServeProcess[], steal: Steal): Promise<Measured> {
  const [owner, first, second] = instances
  // The first to come makes its instance the owner.
  const atOwner = await enter(owner), besideOwner = await enter(owner), atFirst = await enter(first), atSecond = await enter(second)
  const rooms = [atOwner, besideOwner, atFirst, atSecond]
  for (const room of rooms) await room.ask('ping', { number: ++lastPing })
  await check(rooms)
  const bytes = await overhear(redis, atFirst)
  const edges = inRoom('from edge to edge', atFirst, atSecond), local = inRoom('both on the owner', atOwner, besideOwner)
  const plain = await throughRedis(redis, bytes), thread = await throughThread(), all = [edges, local, plain, thread]
  for (const contestant of all) for (let n = 0; n < (isSmoke ? 20 : 200); n++) await contestant.turn()
  const busy = watch([{ name: 'this process', pid: process.pid }, { name: 'the owner', pid: owner.pid() }, { name: 'the input\'s edge', pid: first.pid() }, { name: 'the other edge', pid: second.pid() }])
  const windows = await takeWindows(id, steal, async () => {
    const medians: number[] = []
    for (const contestant of all) medians.push(median(await measure(contestant)))
    return medians
  })
  console.log(`  ${id}: input ${bytes.forward.length} B, record ${bytes.record.length} B; main threads: ${busy()}`)
  await check(rooms)
  for (const contestant of all) await contestant.end()
  return {
    figures: all.map(({ subject }, index) => figure(id, subject, 'latency', 'us', windows.map((medians) => medians[index]))),
    ratios: { [id]: median(windows.map(([edge, , redisUs, threadUs]) => edge / (redisUs + 2 * threadUs))) },
    targets: [judge('cluster/latency', windows.map(([edge, , redisUs, threadUs]) => edge - redisUs - 2 * threadUs))],
  }
}
