/** The delta bench's room: entities of six fields on an arena in this thread, mutated from outside a handler. */
import { keyWords } from '../src/base/key-stream.js'
import { atOutputRing, outputRingBytes } from '../src/memory/arena-layout.js'
import { createArena, takeGeneration, type Arena } from '../src/memory/arena.js'
import type { Kernels } from '../src/memory/kernels.js'
import { createRingReader, createRingWriter, read, release, type RingReader } from '../src/memory/ring.js'
import { atReleasedSeq } from '../src/memory/room-layout.js'
import { storeWide } from '../src/memory/views.js'
import { defineRoom } from '../src/room/define.js'
import { defineSchema, f32, quantized, table, u16 } from '../src/schema/index.js'
import { readSections } from '../src/wire/record.js'
import { roomStream } from '../src/wire/section.js'
import type { ActiveRoom } from '../workers/active-room.js'
import type { OpenContext } from '../workers/assemble-room.js'
import { createEncoder } from '../workers/encode.js'
import { flushRoom, type Flusher } from '../workers/flush.js'
import { committedSeq, recordOf } from '../workers/history.js'
import { openRoom } from '../workers/open-room.js'
import type { Actor } from '../workers/room-actor.js'
import { createRoomType, type RoomType } from '../workers/room-type.js'

export const worldSize = 4000

/** Within the world, and far enough from its edges for every step of the bench. */
export const placeOf = (n: number): number => 500 + n % 3000

export interface MovingRoom {
  readonly arena: Arena
  readonly actor: Actor
  readonly type: RoomType
  readonly x: Float32Array
  readonly y: Float32Array
  /** As authors have them. */
  touch(row: number): void
  at(row: number): { x: number; y: number }
  /** One flush, published and released; returns the seq. */
  flush(): number
  /** What the main thread does: reads descriptors, and lets go of records up to `seq`. */
  letGo(seq: number): void
  /** The room section of the newest record: what every client gets. */
  section(): Uint8Array
}

/** What a worker's rooms share. */
export interface BenchWorker { readonly arena: Arena; readonly flusher: Flusher; readonly published: RingReader; rooms: number }

/** `fault` is called at every named point of the engine's work, as tests do to end a thread there; `withKernels` may put others around the arena's. */
export function createBenchWorker({ arenaBytes = 256 * 1024 ** 2, fault = (_: string): void => {}, withKernels = (kernels: Kernels): Kernels => kernels } = {}): BenchWorker {
  const plain = createArena(arenaBytes, 0), arena: Arena = { ...plain, kernels: withKernels(plain.kernels) }
  const output = createRingWriter(arena, atOutputRing, outputRingBytes), published = createRingReader(arena, atOutputRing, outputRingBytes)
  const flusher: Flusher = {
    encoder: createEncoder(arena, 0, () => {}),
    output, generation: takeGeneration(arena), fault, onSkipped: () => { throw new Error('bench: no flush is skipped') },
  }
  return { arena, flusher, published, rooms: 0 }
}

/** What rooms are opened with: whatever goes wrong ends the bench. */
export const contextOf = ({ arena, flusher }: BenchWorker): OpenContext => ({
  arena, flusher, report: (_, __, error) => { throw error }, log: () => {}, count: () => {}, lost: () => {}, refuse: () => {}, want: () => {}, randomKey: () => new Uint32Array(keyWords),
})

/** The room's own section of its newest record: a view of it. */
export function newestSection({ arena, layout }: ActiveRoom): Uint8Array {
  const { address, bytes } = readSections(arena, recordOf(arena, layout, committedSeq(arena, layout))!.address).find(({ stream }) => stream === roomStream)!
  return arena.u8.subarray(address, address + bytes)
}

export function createMovingRoom(worker: BenchWorker, entities: number, isQuantized: boolean, track: 'scan' | 'touch' = 'scan'): MovingRoom {
  const { arena, flusher, published } = worker
  // 16 bits: 65,535 steps over the world.
  const place = isQuantized ? quantized(0, worldSize, worldSize / 65_535) : f32
  const schema = defineSchema('moving', { tables: { movers: table({ x: place, y: place, vx: f32, vy: f32, rot: f32, hp: u16 }, { capacity: entities, track }) } })
  const type = createRoomType(defineRoom(schema, {
    onCreate({ tables: { movers } }) { for (let n = 0; n < entities; n++) movers.spawn({ x: placeOf(n * 37), y: placeOf(n * 91), vx: 1, vy: 1, rot: 0, hp: 100 }) },
  }), 0)
  const actor = openRoom(contextOf(worker), { key: ++worker.rooms, type, id: 'moving:bench', epoch: 1024, parentEpoch: 0, forkSeq: 0, seq: 0, follows: false, stored: undefined, stays: false, match: new Uint8Array(0), options: new Uint8Array(0) })
  if (typeof actor === 'string') throw new Error(actor)
  const { room } = actor
  const movers = room.tables[1], { touch, at } = movers.face as Pick<MovingRoom, 'touch' | 'at'>
  const letGo = (seq: number): void => {
    while (read(published) !== 0) release(published)
    storeWide(arena, room.layout.base + atReleasedSeq, seq)
  }
  letGo(1)
  return {
    arena, actor, type, touch, at, x: movers.column('x') as Float32Array, y: movers.column('y') as Float32Array,
    letGo,
    flush: () => {
      room.book.clock.tick++
      const seq = flushRoom(flusher, room)
      letGo(seq)
      return seq
    },
    section: () => newestSection(room),
  }
}
