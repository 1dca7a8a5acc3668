/**
 * A flush: one record of all that changed, in the commit order of the design. Worker thread; one synchronous call.
 *
 *   plan -> reserve output and history -> write the record -> store pendingSeq (the point of commitment) -> publish -> apply to committed
 *   -> store committedSeq -> cut the journal
 *
 * A thread may die between any two of these; every step has a named fault point. Before pendingSeq the record does not exist and its
 * inputs are applied again; after it the successor publishes and applies once more (recovery in open-room.ts).
 *
 * A flush in which only rows have changed allocates almost nothing. Loops over tables go by index: V8 compiles a room of 20 Hz only after minutes,
 * and until then an iterator leaves 40 bytes a step.
 */
import { holdsGeneration } from '../src/memory/arena.js'
import { recordWords, sendRecord } from '../src/memory/crossing.js'
import { cutJournal } from '../src/memory/journal.js'
import { atJournalThrough, ownedTableBytes, recordFixedBytes, sessionRecordBytes } from '../src/memory/room-layout.js'
import { canClaim, type RingWriter } from '../src/memory/ring.js'
import { readWide, writeWide } from '../src/memory/views.js'
import type { Staging } from '../src/wire/envelope.js'
import type { ActiveRoom } from './active-room.js'
import { applyRecord, type Mirror } from './apply.js'
import type { Fault } from './faults.js'
import { encodeRecord, type Encoder } from './encode.js'
import { committedSeq, enterRecord, reserveRecord, storeCommitted, storePending } from './history.js'
import { plannedBytesMax, planTable, settleTable, stampTable, type TablePlan } from './plan.js'
import type { Verify } from './unmarked.js'

/** What a thread's flushes share. */
export interface Flusher {
  readonly encoder: Encoder
  readonly output: RingWriter
  readonly generation: number
  readonly fault: Fault
  onSkipped(room: ActiveRoom): void
  /** Development only. */
  readonly verify?: Verify
}

/** Flushes if anything was applied or changed; returns the seq that is committed now. */
export function flushRoom(flusher: Flusher, room: ActiveRoom): number {
  const { arena, layout } = room
  const committed = committedSeq(arena, layout)
  room.flushSkipped = false
  if (!planRoom(room, flusher.verify)) {
    passEntries(room)
    room.isCommitted = true
    return committed
  }
  const seq = committed + 1
  const bytesMax = recordBytesPlanned(room)
  const address = reserveRecord(arena, layout, bytesMax)
  if (address === 0 || !canClaim(flusher.output, recordWords * 4)) {
    room.flushSkipped = true
    flusher.onSkipped(room)
    return committed
  }
  flusher.fault('flush:reserved')
  for (let table = 0; table < room.dueCount; table++) stampTable(arena, room.due[table], seq)
  const bytes = encodeRecord(flusher.encoder, room, address, seq)
  enterRecord(arena, layout, seq, address, bytes)
  flusher.fault('flush:written')
  if (!holdsGeneration(arena, flusher.generation)) throw new Error('flush: a newer thread writes this arena')
  storePending(arena, layout, seq)
  flusher.fault('flush:pending')
  finishCommit(flusher, room, seq, address, bytes, flusher.encoder.section.bitmaps)
  settle(room)
  room.isCommitted = true
  return seq
}

/** Entries that left no trace (a refused join, a leave of nobody) are in committed state as it is: without a record that says so they would fill the journal. */
function passEntries({ arena, layout, journal, appliedThrough }: ActiveRoom): void {
  if (readWide(arena, layout.base + atJournalThrough) === appliedThrough) return
  writeWide(arena, layout.base + atJournalThrough, appliedThrough)
  cutJournal(journal, appliedThrough)
}

/** Everything behind the point of commitment. A successor that finds pending = committed + 1 begins here. */
export function finishCommit(flusher: Flusher, room: ActiveRoom, seq: number, address: number, bytes: number, bitmaps?: Staging): void {
  const { arena, layout } = room
  sendRecord(flusher.output, room.key, address, bytes)
  flusher.fault('flush:published')
  const hasMoved = applyRecord(arena, layout, room.type.index, address, flusher.fault, bitmaps, room.isFollowing ? mirrorOf(room, seq) : undefined)
  // All that is asked of the rows of a followed room; the rest is made anew when it is taken over.
  if (hasMoved && room.isFollowing) for (const { rows, layout: table } of room.plans) rows.size = arena.kernels.countBits(table.alive, table.words)
  flusher.fault('flush:applied')
  storeCommitted(arena, layout, seq)
  flusher.fault('flush:committed')
  cutJournal(room.journal, room.appliedThrough)
  flusher.fault('flush:cut')
}

/** What is kept of a followed room's live side: who is in it, and its clock. */
const mirrorOf = ({ type }: ActiveRoom, seq: number): Mirror =>
  ({ seq, isMirrored: (table) => table === type.sessionsTable || table === type.roomTable })

/** Compares all tables; true if a record is due. `$room` is planned by the encoder: it moves with every tick, and alone makes no record. */
function planRoom(room: ActiveRoom, verify: Verify | undefined): boolean {
  let differs = room.events.length > 0 || room.missedEvents > 0 || room.nacks.length > 0 || room.moved.size > 0 || room.joined.size > 0 || room.left.size > 0
  const { due, plans, type: { roomTable, listingTable } } = room
  room.dueCount = 0
  for (let table = 0; table < plans.length; table++) {
    if (table === roomTable || (verify === undefined && room.left.size === 0 && isQuiet(room, table))) continue
    const plan = plans[table], isDifferent = planTable(room.arena, plan, room.left.size > 0)
    if (verify !== undefined) verify(room, plan)
    // Rows that came and went since the last flush are no difference, but their numbers become free with it.
    if (isDifferent || plan.rows.moved) due[room.dueCount++] = plan
    if (!isDifferent) continue
    differs = true
    if (table === listingTable) room.listingDue = true
  }
  return differs || room.ownRows.size > 0
}

/** Nobody has written, spawned or despawned in it since its last flush. Reads nothing but its marks: a room has more of the engine's tables than of its author's. */
function isQuiet({ arena: { u32 }, layout, type: { tracksTouch, marksFrom } }: ActiveRoom, table: number): boolean {
  if (!tracksTouch[table]) return false
  const first = layout.touched >>> 2
  for (let at = first + marksFrom[table], end = first + marksFrom[table + 1]; at < end; at++) if (u32[at] !== 0) return false
  return true
}

function recordBytesPlanned(room: ActiveRoom): number {
  let bytes = recordFixedBytes + room.eventBytes + room.nackBytes + (room.moved.size + room.left.size + room.replaced.length + room.ownRows.size) * sessionRecordBytes
  for (let table = 0; table < room.dueCount; table++) bytes += plannedBytesMax(room.due[table]) + ownedBytesMax(room, room.due[table])
  return Math.min(bytes, room.layout.recordBytesMax)
}

/** Each session with rows of its own in this table may need row sets of its own. */
function ownedBytesMax(room: ActiveRoom, plan: TablePlan): number {
  if (!room.type.index.hasOwned[plan.layout.index]) return 0
  const rows = plan.spawned + plan.despawned + plan.changes
  return Math.min(rows, room.book.size() + 1) * ownedTableBytes(plan.layout.columns.length) + rows * 16
}

function settle(room: ActiveRoom): void {
  for (let table = 0; table < room.dueCount; table++) settleTable(room.arena, room.due[table])
  // Clearing what is empty is not free.
  if (room.events.length > 0) room.events.length = 0
  if (room.nacks.length > 0) room.nacks.length = 0
  if (room.replaced.length > 0) room.replaced.length = 0
  room.eventBytes = room.nackBytes = room.missedEvents = 0
  if (room.moved.size > 0) room.moved.clear()
  if (room.joined.size > 0) room.joined.clear()
  if (room.left.size > 0) room.left.clear()
  if (room.ownRows.size > 0) room.ownRows.clear()
}
