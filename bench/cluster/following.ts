/**
 * What a record costs the worker that follows a room, beside what the flush that made it costs the owner's: 10,000 entities, x and y of all move, nobody is
 * connected. Two arenas in this thread; timed are `flushRoom`, without the author's mutation, and what an edge's worker does from its input ring to committed
 * state. In a loop, and 20 times a second, when caches are cold.
 */
import { inputRingBytes } from '../../src/base/limits.js'
import { atInputRing } from '../../src/memory/arena-layout.js'
import { send, toWorker } from '../../src/memory/crossing.js'
import { createRingReader, createRingWriter, read, release } from '../../src/memory/ring.js'
import { atReleasedSeq } from '../../src/memory/room-layout.js'
import { storeWide } from '../../src/memory/views.js'
import { createSectionWriter } from '../../src/wire/section.js'
import { openArea } from '../../workers/area.js'
import { flushRoom } from '../../workers/flush.js'
import { followRecord } from '../../workers/following.js'
import { committedSeq, recordOf } from '../../workers/history.js'
import { drainInbox, type InboxHandlers } from '../../workers/inbox.js'
import { openRoom } from '../../workers/open-room.js'
import type { Actor } from '../../workers/room-actor.js'
import { putStored } from '../../workers/stored-room.js'
import { contextOf, createBenchWorker, createMovingRoom, type BenchWorker, type MovingRoom } from '../moving-room.js'
import { judge, takeWindows, type Steal } from '../paired.js'
import { figure, isSmoke, median, type Measured } from '../report.js'

const entities = 10_000
const halfTickMs = 25

interface Pair { readonly owner: MovingRoom; readonly ownerWorker: BenchWorker; readonly edge: Edge }
interface Edge {
  readonly worker: BenchWorker
  readonly actor: Actor
  /** Puts a record into the input ring. */
  tell(record: Uint8Array): void
  /** What its worker does then. */
  drain(): void
  letGo(): void
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms) })
const nothing = (): void => {}

/** The room as its owner would send it to an edge that has nothing. */
function stateOf({ arena, actor: { room } }: MovingRoom): Uint8Array {
  const area = openArea(room, createSectionWriter(arena))
  putStored(area)
  return arena.u8.slice(room.layout.snapshot, area.cursor)
}

function createEdge({ actor: { room }, arena, type }: MovingRoom, state: Uint8Array): Edge {
  const worker = createBenchWorker(), { flusher, published } = worker, key = 7
  const actor = openRoom(contextOf(worker), {
    key, type, id: room.id, options: new Uint8Array(0), match: new Uint8Array(0), stays: false, follows: true, stored: { state, records: [] },
    epoch: room.epoch, parentEpoch: room.parentEpoch, forkSeq: room.forkSeq, seq: committedSeq(arena, room.layout),
  })
  if (typeof actor === 'string') throw new Error(actor)
  const ring = createRingWriter(worker.arena, atInputRing, inputRingBytes), inbox = createRingReader(worker.arena, atInputRing, inputRingBytes)
  const handlers: InboxHandlers = {
    roomOf: () => actor.room, fault: nothing, instance: 1, open: nothing, release: nothing, own: () => true, follow: nothing, stop: nothing, refuse: nothing, nack: nothing,
    record: (to, at, bytes) => {
      const followed = followRecord(flusher, to, at, bytes)
      if (followed !== 'applied') throw new Error(`cluster/following: a record is ${followed}`)
      return true
    },
  }
  return {
    worker, actor, drain: () => { drainInbox(inbox, handlers) },
    tell: (record) => { if (!send(ring, toWorker.record, [key, 0], record)) throw new Error('cluster/following: the input ring is full') },
    letGo: () => {
      while (read(published) !== 0) release(published)
      storeWide(worker.arena, actor.room.layout.base + atReleasedSeq, committedSeq(worker.arena, actor.room.layout))
    },
  }
}

function createPair(isQuantized: boolean): Pair {
  const ownerWorker = createBenchWorker(), owner = createMovingRoom(ownerWorker, entities, isQuantized)
  return { owner, ownerWorker, edge: createEdge(owner, stateOf(owner)) }
}

const timed = (run: () => void): number => {
  const began = performance.now()
  run()
  return (performance.now() - began) * 1000
}

/** One record: microseconds of both. Between them the record crosses, which is the main threads' matter. */
async function step({ owner, ownerWorker, edge }: Pair, turn: number, pause: (() => Promise<void>) | undefined): Promise<readonly [flushed: number, followed: number]> {
  const { arena, actor: { room }, x, y } = owner, by = turn % 200 < 100 ? 1.7 : -1.7
  await pause?.()
  for (let row = 0; row < entities; row++) { x[row] += by; y[row] += by }
  room.book.clock.tick++
  let seq = 0
  const flushed = timed(() => { seq = flushRoom(ownerWorker.flusher, room) })
  const { address, bytes } = recordOf(arena, room.layout, seq)!
  edge.tell(arena.u8.slice(address, address + bytes))
  owner.letGo(seq)
  await pause?.()
  const followed = timed(edge.drain)
  edge.letGo()
  return [flushed, followed]
}

/** Committed state of both is the same, byte for byte. */
function check({ owner, edge }: Pair): void {
  const { arena } = edge.worker, theirs = owner.actor.room.layout, { layout } = edge.actor.room
  const same = (ours: number, their: number, bytes: number): boolean => Buffer.compare(arena.u8.subarray(ours, ours + bytes), owner.arena.u8.subarray(their, their + bytes)) === 0
  for (const [index, table] of layout.tables.entries()) {
    const their = theirs.tables[index]
    if (!same(table.aliveCommitted, their.aliveCommitted, table.words * 8)) throw new Error(`cluster/following: other rows of ${table.table.name} live`)
    for (const [column, { field, committed }] of table.columns.entries()) {
      if (!same(committed, their.columns[column].committed, table.rows * field.bytes)) throw new Error(`cluster/following: ${table.table.name}.${field.name} is not its owner's`)
    }
  }
}

/** Medians of some steps. */
async function window(pair: Pair, steps: number, first: number, pause: (() => Promise<void>) | undefined): Promise<readonly [number, number]> {
  const flushed: number[] = [], followed: number[] = []
  for (let n = 0; n < steps; n++) {
    const [owner, edge] = await step(pair, first + n, pause)
    flushed.push(owner)
    followed.push(edge)
  }
  return [median(flushed), median(followed)]
}

export async function measureFollowing(steal: Steal): Promise<Measured> {
  const measured: Measured = { figures: [], ratios: {}, targets: [] }
  for (const [name, isQuantized] of [['16-bit', true], ['f32', false]] as const) {
    const pair = createPair(isQuantized)
    let turn = 0
    const take = async (steps: number, pause?: () => Promise<void>): Promise<readonly [number, number]> => {
      const medians = await window(pair, steps, turn, pause)
      turn += steps
      return medians
    }
    await take(isSmoke ? 30 : 300)
    check(pair)
    for (const [cadence, steps, pause] of [['loop', isSmoke ? 20 : 200, undefined], ['20-hz', isSmoke ? 4 : 20, () => sleep(halfTickMs)]] as const) {
      const id = `cluster/${name}-${cadence}` as const, windows = await takeWindows(id, steal, () => take(steps, pause))
      const ratios = windows.map(([flushed, followed]) => followed / flushed)
      measured.figures.push(figure(id, 'the owner flushes', 'CPU per record', 'us', windows.map(([flushed]) => flushed)))
      measured.figures.push(figure(id, 'an edge follows', 'CPU per record', 'us', windows.map(([, followed]) => followed)))
      measured.ratios[id] = median(ratios)
      measured.targets.push(judge(id, ratios))
    }
    check(pair)
  }
  return measured
}
