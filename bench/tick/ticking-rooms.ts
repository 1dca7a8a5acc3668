/**
 * Rooms of a worker, ticked from outside: what arrives goes through the input ring, the inbox and each room's journal; author code moves a share of the rows; a flush
 * follows, and a bell. What the main thread does (send inputs, let go of records) is done here too, and not measured. Any thread.
 */
import { inputRingBytes } from '../../src/base/limits.js'
import { atInputRing } from '../../src/memory/arena-layout.js'
import { armDoorbell, type Arena } from '../../src/memory/arena.js'
import { send, toWorker, wideWords } from '../../src/memory/crossing.js'
import { createRingReader, createRingWriter, read, release } from '../../src/memory/ring.js'
import { atReleasedSeq } from '../../src/memory/room-layout.js'
import { storeWide } from '../../src/memory/views.js'
import { defineRoom } from '../../src/room/define.js'
import { defineSchema, f32, quantized, table, u16, u32 } from '../../src/schema/index.js'
import { flushRoom } from '../../workers/flush.js'
import { recordOf } from '../../workers/history.js'
import { drainInbox, type InboxHandlers } from '../../workers/inbox.js'
import { openRoom } from '../../workers/open-room.js'
import { takeTurn, type Actor } from '../../workers/room-actor.js'
import { createRoomType, type RoomType } from '../../workers/room-type.js'
import { createFollower } from '../follower.js'
import { contextOf, createBenchWorker, newestSection, placeOf, worldSize, type BenchWorker } from '../moving-room.js'
import type { PhaseClock } from './phase-clock.js'

const inputsPerTick = 4, connection = 7
/** 50 rooms of 10,000 entities; what nobody touches costs nothing. */
const arenaBytes = 1024 ** 3

export interface TickingRooms {
  readonly arena: Arena
  readonly worker: BenchWorker
  readonly actors: readonly Actor[]
  readonly count: number
  /** Which rows author code moves from now on: every so manieth. */
  stride: number
  /** One tick of a room; returns the bytes of its record. */
  tick(index: number): number
  /** Lets a client's decoder follow some ticks of the first room; throws if it does not see what is so. */
  check(): void
}

interface Shared { stride: number; turn: number }

function createType(entities: number, shared: Shared): RoomType {
  const place = quantized(0, worldSize, worldSize / 65_535)
  const schema = defineSchema('ticking', {
    globals: { inputs: u32 }, inputs: { push: { by: u32 } },
    tables: { movers: table({ x: place, y: place, vx: f32, vy: f32, rot: f32, hp: u16 }, { capacity: entities }) },
  })
  return createRoomType(defineRoom(schema, {
    durability: 'none', maxSessions: 4,
    onCreate({ tables: { movers } }) { for (let n = 0; n < entities; n++) movers.spawn({ x: placeOf(n * 37), y: placeOf(n * 91), vx: 1, vy: 1, rot: 0, hp: 100 }) },
    onInput: { push({ globals }, _, { by }) { globals.inputs += by } },
    onTick({ tables: { movers: { x, y } } }) {
      const by = shared.turn % 200 < 100 ? 1.7 : -1.7
      for (let row = shared.turn % shared.stride; row < entities; row += shared.stride) { x[row] += by; y[row] += by }
    },
  }), 0)
}

const nothing = (): void => {}

function open(worker: BenchWorker, type: RoomType, key: number): Actor {
  const actor = openRoom(contextOf(worker), {
    key, type, id: `ticking:${key}`, epoch: 1024, parentEpoch: 0, forkSeq: 0, seq: 0, follows: false, stored: undefined, stays: true, match: new Uint8Array(0), options: new Uint8Array(0),
  })
  if (typeof actor === 'string') throw new Error(actor)
  return actor
}

/** `clock`: tells phases apart; without it nothing is timed. `ringBell`: wakes the main thread. */
export function createTickingRooms(entities: number, count: number, clock: PhaseClock | undefined, ringBell: () => void): TickingRooms {
  const shared: Shared = { stride: 1, turn: 0 }, worker = createBenchWorker({ arenaBytes, ...clock }), { arena, flusher, published } = worker
  const type = createType(entities, shared), actors = Array.from({ length: count }, (_, n) => open(worker, type, n + 1))
  const ring = createRingWriter(arena, atInputRing, inputRingBytes), inbox = createRingReader(arena, atInputRing, inputRingBytes)
  const refuse = (): never => { throw new Error('tick/phases: something is refused') }
  const handlers: InboxHandlers = {
    roomOf: (key) => actors[key - 1].room, fault: nothing, instance: 0, open: nothing, release: nothing, own: () => true, follow: nothing, stop: nothing, record: () => true, refuse, nack: refuse,
  }
  const none = new Uint8Array(0), id = new TextEncoder().encode('one'), user = new TextEncoder().encode('{"id":"one"}'), by = new Uint8Array(new Uint32Array([1]).buffer)
  for (const { room } of actors) send(ring, toWorker.join, [room.key, ...wideWords(connection), id.length, user.length], id, user, none)
  drainInbox(inbox, handlers)
  const numbers = actors.map(() => 0)
  const sendInputs = (index: number): void => {
    for (let n = 0; n < inputsPerTick; n++) {
      const number = ++numbers[index]
      send(ring, toWorker.input, [index + 1, 0, ...wideWords(connection), number, number, 0], by)
    }
  }
  const tick = (index: number): number => {
    const actor = actors[index], { room } = actor
    // Its first tick lets the session in.
    if (room.book.size() > 0) sendInputs(index)
    shared.turn = room.book.clock.tick
    clock?.begin('journal')
    drainInbox(inbox, handlers)
    takeTurn(actor, room.dueMs)
    clock?.begin('compare')
    const seq = flushRoom(flusher, room)
    clock?.begin('post')
    if (armDoorbell(arena)) ringBell()
    clock?.end()
    while (read(published) !== 0) release(published)
    storeWide(arena, room.layout.base + atReleasedSeq, seq)
    return recordOf(arena, room.layout, seq)!.bytes
  }
  return {
    arena, worker, actors, count, tick,
    get stride() { return shared.stride },
    set stride(stride) { shared.stride = stride },
    check: () => checkFirst(actors[0], () => tick(0), () => numbers[0]),
  }
}

const ticksChecked = 30

/** Everything that changes is seen: all rows have moved, and are followed from the room's own values on. */
function checkFirst(actor: Actor, tick: () => void, sent: () => number): void {
  const follower = createFollower('tick/phases', actor)
  // The record that the room was opened with has every row.
  follower.take(newestSection(actor.room))
  for (let n = 0; n < ticksChecked; n++) { tick(); follower.take(newestSection(actor.room)) }
  if (follower.firstGlobal() !== sent()) throw new Error(`tick/phases: of ${sent()} inputs ${follower.firstGlobal()} were applied`)
  follower.check()
}
