/**
 * A room that another instance runs, followed here: its records come through the input ring, are kept in this block's history and committed columns, and go
 * to this instance's clients unchanged. Worker thread; no author code runs. Taking over makes such a room this instance's own, stepping down is the reverse.
 *
 * Invariant: a record is applied only if it is the very next behind (epoch, committedSeq) along its lineage (base/lineage.ts).
 */
import { continues, positionOf, type Fork } from '../src/base/lineage.js'
import { holdsGeneration } from '../src/memory/arena.js'
import { recordWords } from '../src/memory/crossing.js'
import { cutJournal, dropEntries, lastNumber } from '../src/memory/journal.js'
import { atEpoch, atFollows, atForkSeq, atJournalThrough, atParentEpoch } from '../src/memory/room-layout.js'
import { canClaim } from '../src/memory/ring.js'
import { writeWide } from '../src/memory/views.js'
import { readRecordHead, readSections } from '../src/wire/record.js'
import { roomStream } from '../src/wire/section.js'
import type { ActiveRoom } from './active-room.js'
import { isRecord } from './check-record.js'
import { finishCommit, type Flusher } from './flush.js'
import { differingColumn } from './hashes.js'
import { committedSeq, enterRecord, reserveRecord, storePending } from './history.js'

/**
 * What became of a record: `repeat` was here already; behind a gap, without space or bad, it was not taken, and nothing has changed; nor if it `differs`: its
 * owner says by hash that the state before it is another, in this table and column.
 */
export type Followed = 'applied' | 'repeat' | 'gap' | 'no-space' | 'bad-record' | `differs ${string}`

/** Takes the record of `bytes` bytes at `at`, a multiple of 8. */
export function followRecord(flusher: Flusher, room: ActiveRoom, at: number, bytes: number): Followed {
  const { arena, layout } = room
  if (bytes > layout.recordBytesMax || !isRecord(arena, layout, room.type, at, bytes)) return 'bad-record'
  const head = readRecordHead(arena, at), position = positionOf({ epoch: room.epoch, parentEpoch: room.parentEpoch, forkSeq: room.forkSeq, seq: committedSeq(arena, layout) })
  if (head.epoch === position.epoch && head.seq <= position.seq) return 'repeat'
  if (!continues(position, head)) return 'gap'
  const section = readSections(arena, at).find(({ stream }) => stream === roomStream)
  const differing = section === undefined ? undefined : differingColumn(room, section.address)
  if (differing !== undefined) return `differs ${differing}`
  const address = reserveRecord(arena, layout, bytes)
  if (address === 0 || !canClaim(flusher.output, recordWords * 4)) return 'no-space'
  arena.kernels.copy(address, at, bytes)
  // An epoch that begins at its fork is the same state: a thread that ends between these lines leaves nothing that is not true.
  setLineage(room, head)
  enterRecord(arena, layout, head.seq, address, bytes)
  if (!holdsGeneration(arena, flusher.generation)) throw new Error('following: a newer thread writes this arena')
  storePending(arena, layout, head.seq)
  finishCommit(flusher, room, head.seq, address, bytes)
  return 'applied'
}

export function setLineage(room: ActiveRoom, { epoch, parentEpoch, forkSeq }: Fork): void {
  if (room.epoch === epoch) return
  const { arena, layout: { base } } = room
  Object.assign(room, { epoch, parentEpoch, forkSeq })
  writeWide(arena, base + atEpoch, epoch)
  writeWide(arena, base + atParentEpoch, parentEpoch)
  writeWide(arena, base + atForkSeq, forkSeq)
}

/** Says which of the two the room is. Its journal begins empty: what an owner had not applied is its clients' to send again. */
export function setFollowing(room: ActiveRoom, isFollowing: boolean): void {
  const { arena, layout: { base }, journal } = room
  room.isFollowing = isFollowing
  // Whoever runs it tells the listing; whoever follows it does not know it.
  room.listingDue = true
  arena.u32[(base + atFollows) >>> 2] = isFollowing ? 1 : 0
  dropEntries(journal)
  room.appliedThrough = lastNumber(journal)
  writeWide(arena, base + atJournalThrough, room.appliedThrough)
  cutJournal(journal, room.appliedThrough)
}
