/** What a worker's loop, and all that it calls, work on. Worker thread. */
import type { Arena, Block } from '../src/memory/arena.js'
import type { ReportLevel, WorkerTally } from '../src/memory/crossing.js'
import type { RingWriter } from '../src/memory/ring.js'
import type { SectionWriter } from '../src/wire/section.js'
import type { OpenContext } from './assemble-room.js'
import type { Flusher } from './flush.js'
import type { Actor } from './room-actor.js'
import type { RoomType } from './room-type.js'
import type { Stored } from './stored-room.js'
import type { Tally } from './tally.js'
import type { Teller } from './teller.js'

export interface Worker {
  readonly arena: Arena
  readonly types: readonly RoomType[]
  readonly output: RingWriter
  readonly teller: Teller
  readonly section: SectionWriter
  readonly flusher: Flusher
  readonly context: OpenContext
  readonly actors: Map<number, Actor>
  /** Blocks of rooms that closed: they wait until the main thread has let go. */
  readonly closed: Map<number, Block>
  /** Blocks of rooms that no thread can run: the main thread is yet to be told. */
  readonly doomed: Map<number, Block>
  readonly tally: Tally
  log(level: ReportLevel, fields: Record<string, unknown>, text: string): void
  tell(told: WorkerTally): void
  ringBell(): void
  /** What the main thread has posted as stored of a room, once. */
  takeStored(roomKey: number): Stored | undefined
}
