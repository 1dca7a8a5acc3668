/**
 * Records per second that one instance gets through Redis with 1, 10, 100 and 1,000 rooms, and what its main thread spends on each: the engine's own way from a
 * worker's descriptor to Redis's answer (main-thread.ts), the same over the embedded store, which publishes nothing, and plain ioredis PUBLISH of the same bytes.
 * Somebody else hears every channel; the engine hears its own, too.
 */
import { once } from 'node:events'
import { Redis } from 'ioredis'
import type { Backplane } from '../../src/backplane/backplane.js'
import { openEmbeddedStore } from '../../src/backplane/embedded.js'
import { openRedisBackplane } from '../../src/backplane/redis.js'
import type { CatalogEntry } from '../../src/memory/crossing.js'
import type { RedisServer } from '../../test/support/redis.js'
import { catalogOf } from '../../workers/room-type.js'
import { recordOf } from '../../workers/history.js'
import { startChild, type Child } from '../child.js'
import { mainThreadNs, watch } from '../cpu.js'
import { createBenchWorker, createMovingRoom } from '../moving-room.js'
import { takeWindows, type Steal } from '../paired.js'
import { figure, isSmoke, median, type Measured } from '../report.js'
import { createMainThread } from './main-thread.js'

const roomCounts = [1, 10, 100, 1000]
const windowMs = isSmoke ? 60 : 250
/** About 2 KB: 470 rows of which x and y move. */
const entities = 470
/** Records of one turn of the loop, and those without an answer: above half of them the next turn waits. */
const batch = 64, unansweredMax = 512
const leaseMs = 600_000

/** What is measured of a contestant in one window. */
interface Rate { readonly perSecond: number; readonly cpuUs: number }
interface Contestant { readonly subject: string; /** Sends record number n; what of it waits for an answer. */ send(n: number): Promise<unknown> | undefined; sent: number }

/** A record of a moving room, and its type as the main thread knows it. */
function makeRecord(): { record: Uint8Array; type: CatalogEntry } {
  const room = createMovingRoom(createBenchWorker(), entities, true)
  for (let row = 0; row < entities; row++) { room.x[row] += 1; room.y[row] += 1 }
  const { address, bytes } = recordOf(room.arena, room.actor.room.layout, room.flush())!
  return { record: room.arena.u8.slice(address, address + bytes), type: catalogOf(room.type) }
}

async function throughEngine(subject: string, backplane: Backplane, type: CatalogEntry, rooms: number, record: Uint8Array): Promise<Contestant> {
  let answer: Promise<unknown> | undefined
  const { publish } = backplane
  const main = await createMainThread({ ...backplane, publish: (id, what) => answer = publish(id, what) } as Backplane, type, rooms, record)
  return {
    subject, sent: 0,
    send: (n) => {
      answer = undefined
      main.flush(main.rooms[n % rooms])
      return answer
    },
  }
}

async function throughPlain({ port }: RedisServer, rooms: number, record: Uint8Array): Promise<Contestant & { end(): void }> {
  const redis = new Redis(port), bytes = Buffer.from(record), names = Array.from({ length: rooms }, (_, n) => `plain:${rooms}-${n}`)
  await once(redis, 'ready')
  return { subject: 'plain ioredis PUBLISH', sent: 0, send: (n) => redis.publish(names[n % rooms], bytes), end: () => redis.disconnect() }
}

/** As many as are answered; never more without an answer than may be. */
async function window(contestant: Contestant): Promise<Rate> {
  let unanswered = 0, failed: Error | undefined, goOn = (): void => {}
  const answered = (): void => { if (--unanswered === 0 || unanswered === unansweredMax / 2) goOn() }
  const cpu = mainThreadNs(process.pid), began = performance.now(), first = contestant.sent
  while (performance.now() - began < windowMs) {
    for (let n = 0; n < batch; n++) {
      const answer = contestant.send(contestant.sent++)
      if (answer === undefined) continue
      unanswered++
      answer.then(answered, (error: Error) => { failed = error; answered() })
    }
    if (unanswered >= unansweredMax) await new Promise<void>((resolve) => { goOn = resolve })
    else await new Promise((resolve) => { setImmediate(resolve) })
  }
  while (unanswered > 0) await new Promise<void>((resolve) => { goOn = resolve })
  if (failed !== undefined) throw failed
  const count = contestant.sent - first
  return { perSecond: count / (performance.now() - began) * 1000, cpuUs: (mainThreadNs(process.pid) - cpu) / 1000 / count }
}

/** Everything that was sent has arrived: as it was sent, and in order, or the ear has ended. */
async function check(id: string, ear: Child, contestants: readonly Contestant[]): Promise<void> {
  const counts = await ear.ask<number[]>('count')
  for (const [index, { subject, sent }] of contestants.entries()) if (counts[index] !== sent) throw new Error(`${id}: of ${sent} records of ${subject} ${counts[index]} arrived`)
}

export async function measurePublishing(redis: RedisServer, steal: Steal): Promise<Measured> {
  const measured: Measured = { figures: [], ratios: {}, targets: [] }, { record, type } = makeRecord()
  for (const rooms of roomCounts) {
    const id = `cluster/publish-${rooms}`
    const backplane = await openRedisBackplane({ url: redis.url, leaseMs }), embedded = openEmbeddedStore('none').backplane
    const engine = await throughEngine('the engine', backplane, type, rooms, record), silent = await throughEngine('without Redis', embedded, type, rooms, record)
    const plain = await throughPlain(redis, rooms, record)
    const ear = await startChild(new URL('publishing-ear.js', import.meta.url), [String(redis.port), type.name, String(rooms), Buffer.from(record).toString('base64')])
    for (const contestant of [engine, silent, plain]) await window(contestant)
    await check(id, ear, [engine, plain])
    await ear.ask('only count')
    const busy = watch([{ name: 'this process', pid: process.pid }, { name: 'Redis', pid: redis.pid() }, { name: 'who hears it', pid: ear.pid }])
    const windows = await takeWindows(id, steal, async () => [await window(engine), await window(silent), await window(plain)])
    console.log(`  ${id}: record ${record.length} B; main threads: ${busy()}`)
    await check(id, ear, [engine, plain])
    const rates = (index: number): number[] => windows.map((each) => each[index].perSecond)
    const forRedis = windows.map(([ours, without]) => ours.cpuUs - without.cpuUs)
    measured.figures.push(
      figure(id, 'the engine', 'records', '/s', rates(0)), figure(id, 'plain ioredis PUBLISH', 'records', '/s', rates(2)),
      figure(id, 'the engine, for Redis', 'main-thread CPU per record', 'us', forRedis), figure(id, 'plain ioredis PUBLISH', 'main-thread CPU per record', 'us', windows.map(([, , theirs]) => theirs.cpuUs)),
      figure(id, 'the engine, without Redis', 'main-thread CPU per record', 'us', windows.map(([, without]) => without.cpuUs)),
    )
    measured.ratios[id] = median(windows.map(([, , theirs], index) => forRedis[index] / theirs.cpuUs))
    plain.end()
    await Promise.all([ear.end(), backplane.close(), embedded.close()])
  }
  return measured
}
