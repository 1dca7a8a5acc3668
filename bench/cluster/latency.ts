/**
 * From an input on one edge to its effect on another: event-driven room, three instances, one Redis. Beside it the same bytes through plain ioredis, there and
 * back between two processes, and a round trip main-worker-main, all in turn within one window. Clients and clock are this process's.
 */
import { Redis } from 'ioredis'
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
import { figure, median, type Measured } from '../report.js'
import { checkPings, enterPing, inRoom, nextPing, takeMedians, throughThread, warmUp, type Contestant, type PingRoom } from '../round-trips.js'

const id = 'cluster/latency'

interface Bytes { readonly forward: Buffer; readonly record: Buffer }

/** What an input is on its way through Redis: as one goes there, and comes back. */
async function overhear(redis: RedisServer, from: PingRoom): Promise<Bytes> {
  const ear = new Redis(redis.port), channel = `room:{${from.id}}:channel`
  let forward: Buffer | undefined, record: Buffer | undefined
  ear.on('messageBuffer', (name: Buffer, bytes: Buffer) => {
    if (name.toString() === channel) record = openPeerRecord(bytesOf(bytes)) === undefined ? record : bytes
    else { const said = readPeer(bytesOf(bytes)); if (said?.kind === 'forward' && said.word === toWorker.input) forward = bytes }
  })
  await ear.subscribe(channel, `instance:{${await redis.client.hget(`room:{${from.id}}:owner`, 'instance')}}:inbox`)
  await from.ask('ping', { number: nextPing() })
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

export async function measureLatency(redis: RedisServer, instances: readonly ServeProcess[], steal: Steal): Promise<Measured> {
  const [owner, first, second] = instances
  // The first to come makes its instance the owner.
  const atOwner = await enterPing(owner), besideOwner = await enterPing(owner), atFirst = await enterPing(first), atSecond = await enterPing(second)
  const rooms = [atOwner, besideOwner, atFirst, atSecond]
  for (const room of rooms) await room.ask('ping', { number: nextPing() })
  await checkPings(id, rooms)
  const bytes = await overhear(redis, atFirst)
  const edges = inRoom('from edge to edge', atFirst, atSecond), local = inRoom('both on the owner', atOwner, besideOwner)
  const plain = await throughRedis(redis, bytes), thread = await throughThread(), all = [edges, local, plain, thread]
  await warmUp(all)
  const busy = watch([{ name: 'this process', pid: process.pid }, { name: 'the owner', pid: owner.pid() }, { name: 'the input\'s edge', pid: first.pid() }, { name: 'the other edge', pid: second.pid() }])
  const windows = await takeWindows(id, steal, () => takeMedians(all))
  console.log(`  ${id}: input ${bytes.forward.length} B, record ${bytes.record.length} B; main threads: ${busy()}`)
  await checkPings(id, rooms)
  for (const contestant of all) await contestant.end()
  return {
    figures: all.map(({ subject }, index) => figure(id, subject, 'latency', 'us', windows.map((medians) => medians[index]))),
    ratios: { [id]: median(windows.map(([edge, , redisUs, threadUs]) => edge / (redisUs + 2 * threadUs))) },
    targets: [judge('cluster/latency', windows.map(([edge, , redisUs, threadUs]) => edge - redisUs - 2 * threadUs))],
  }
}
