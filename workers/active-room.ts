/**
 * An open room as its worker holds it: plain data. All state that must outlive the thread lies in the block that `layout` describes; the
 * rest here is rebuilt from it by a successor, or may be lost (events not yet flushed, nacks that the SDK asks for again).
 */
import type { Arena, Block } from '../src/memory/arena.js'
import type { Journal } from '../src/memory/journal.js'
import type { RoomLayout } from '../src/memory/room-layout.js'
import type { Room } from '../src/room/types.js'
import type { AuthorTable } from './author-table.js'
import type { Grid } from './grid.js'
import type { RoomLoad } from './load.js'
import type { TablePlan } from './plan.js'
import type { Fault } from './faults.js'
import type { Poison } from './poison.js'
import type { RoomType } from './room-type.js'
import type { SessionBook } from './session-book.js'

/** An event emitted since the last flush: `receivers` undefined means everyone. */
export interface EmittedEvent { readonly event: number; readonly bytes: Uint8Array; readonly receivers: readonly number[] | undefined }

/** An input answered with a refusal since the last flush. */
export interface PendingNack { readonly slot: number; readonly number: number; readonly text: string }

/** A client that waits for what it misses behind its position, which is nobody's if it has just joined. */
export interface Waiting { readonly connection: number; readonly slot: number; readonly epoch: number; readonly seq: number }

/** Another instance that follows the room, and where it stands. */
export interface Fetch { readonly request: number; readonly epoch: number; readonly seq: number }

export interface ActiveRoom {
  readonly arena: Arena
  readonly type: RoomType
  readonly key: number
  readonly id: string
  readonly block: Block
  readonly layout: RoomLayout
  readonly journal: Journal
  readonly plans: readonly TablePlan[]
  /** The first `dueCount`: those of them that this flush has something to say of, in their order. The list keeps its length, for V8 gives back the memory of one that is emptied. */
  readonly due: TablePlan[]
  dueCount: number
  readonly tables: readonly AuthorTable[]
  /** Of those tables that have one. */
  readonly grids: readonly Grid[]
  readonly book: SessionBook
  readonly poison: Poison
  readonly fault: Fault
  readonly load: RoomLoad
  /** What handlers get. */
  author: Room<never, never, never, unknown>
  epoch: number
  parentEpoch: number
  forkSeq: number
  /** It is another instance's: its records are applied here, and no author code runs. */
  isFollowing: boolean
  /** Applies nothing until it is told to go on. `halting`: what is applied has yet to be flushed. */
  hold: 'none' | 'paused' | 'halting'
  /** It is to be stored, whether it is due or not. */
  isSaveDue: boolean
  /** Instances that wait for what they miss. */
  fetches: Fetch[]
  /** Journal entries up to here are in the live state. */
  appliedThrough: number
  events: EmittedEvent[]
  eventBytes: number
  missedEvents: number
  nacks: PendingNack[]
  nackBytes: number
  /** Slot to the inputs that were refused before the journal, behind the last one that was not: a successor learns of them as of a hole. */
  readonly refused: Map<number, { readonly connection: number; readonly from: number; readonly next: number }>
  /** Slots whose number moved since the last flush. */
  readonly moved: Set<number>
  readonly joined: Set<number>
  /** Slot to connection of sessions that ended since the last flush. */
  readonly left: Map<number, number>
  /** Slot and connection of sessions that moved on to another connection. */
  replaced: { readonly slot: number; readonly connection: number }[]
  /** Slots whose own row changed since the last flush. */
  readonly ownRows: Set<number>
  /** Slots that `session.end` named; they leave at the end of the turn. */
  readonly ending: Set<number>
  waiting: Waiting[]
  /** Absolute time of the next turn, ms of the thread's clock; Infinity: only input wakes it. */
  dueMs: number
  /** Until then there is nothing to do for it; 0: that is not known. */
  restsUntilMs: number
  readonly ticksPerFlush: number
  ticksToFlush: number
  /** Live state is what is committed: what leaves now tells nothing that a successor would not know. */
  isCommitted: boolean
  /** A flush that found no space is tried again at the next turn of the loop. */
  flushSkipped: boolean
  /** Wall position of the last turn, for rooms without ticks. */
  turnMs: number
  emptySinceMs: number
  /** Somebody waits for it to open, and has not been sent in yet. */
  isAwaited: boolean
  /** When the room may be stored next, on the thread's clock, and from which tick on. */
  storeDueMs: number
  storeDueTick: number
  closing: string | undefined
  /** What the room says of itself has changed since the main thread was told. */
  listingDue: boolean
  /** How many sessions the main thread was told of. */
  sessionsTold: number
  /** `onClose` has run, and every session has ended. */
  isEnded: boolean
}
