/**
 * A room's history: the last records, whole, in a ring of bytes inside the room's block, with an index by seq. Worker thread.
 *
 * Everything but the oldest kept seq is derived from (oldest, pending) and the index, so a successor finds it as it was left. Invariant: a
 * record is overwritten only after the main thread has released its seq; clients read the bytes in place.
 */
import type { Arena } from '../src/memory/arena.js'
import {
  atCommittedSeq, atHistoryOldest, atPendingLow, atReleasedSeq, historyRecordsMax, type RoomLayout,
} from '../src/memory/room-layout.js'
import { align, loadWide, loadWord, readWide, storeWide, storeWord, writeWide } from '../src/memory/views.js'

/** Reads of the positions in a room's header. `pending` is committed, or one more between the point of commitment and the end of a commit. */
export const committedSeq = (arena: Arena, layout: RoomLayout): number => readWide(arena, layout.base + atCommittedSeq)
export const oldestSeq = (arena: Arena, layout: RoomLayout): number => readWide(arena, layout.base + atHistoryOldest)
export const releasedSeq = (arena: Arena, layout: RoomLayout): number => loadWide(arena, layout.base + atReleasedSeq)
export function pendingSeq(arena: Arena, layout: RoomLayout): number {
  const committed = committedSeq(arena, layout)
  return loadWord(arena, layout.base + atPendingLow) === committed >>> 0 ? committed : committed + 1
}

/** False until the room has committed something: what a thread leaves that ends before is opened anew. */
export const hasBegun = (arena: Arena, layout: RoomLayout): boolean => loadWord(arena, layout.base + atPendingLow) !== 0

const indexAt = (layout: RoomLayout, seq: number): number => layout.historyIndex + (seq % historyRecordsMax) * 16

export interface KeptRecord { readonly seq: number; readonly address: number; readonly bytes: number }

const isKept = (arena: Arena, layout: RoomLayout, seq: number): boolean => seq >= oldestSeq(arena, layout) && readWide(arena, indexAt(layout, seq)) === seq

/** The record of `seq`, or undefined if history does not reach it. */
export function recordOf(arena: Arena, layout: RoomLayout, seq: number): KeptRecord | undefined {
  const at = indexAt(layout, seq)
  return !isKept(arena, layout, seq) ? undefined : { seq, address: layout.history + arena.u32[(at + 8) >>> 2], bytes: arena.u32[(at + 12) >>> 2] }
}

/**
 * Finds `bytes` contiguous bytes behind the newest record, dropping old ones for it; returns their address, or 0 while the main thread
 * still needs what lies there. Reserving writes nothing but the oldest seq: a reservation that is not used costs history, not state. Allocates nothing.
 */
export function reserveRecord(arena: Arena, layout: RoomLayout, bytes: number): number {
  const newest = pendingSeq(arena, layout), last = indexAt(layout, newest) >>> 2
  if (!isKept(arena, layout, newest)) return layout.history
  const after = align(arena.u32[last + 2] + arena.u32[last + 3], 8)
  const wraps = after + bytes > layout.historyBytes
  const start = wraps ? 0 : after
  const released = releasedSeq(arena, layout)
  let oldest = oldestSeq(arena, layout)
  for (; oldest <= newest; oldest++) {
    if (newest - oldest + 1 < historyRecordsMax && !overlaps(arena, layout, oldest, after, start, bytes, wraps)) break
    if (oldest > released || oldest === newest) return 0
  }
  writeWide(arena, layout.base + atHistoryOldest, oldest)
  return layout.history + start
}

/** True if record `seq` lies where `bytes` from `start` go, or in the tail that wrapping leaves behind. */
function overlaps(arena: Arena, layout: RoomLayout, seq: number, after: number, start: number, bytes: number, wraps: boolean): boolean {
  if (!isKept(arena, layout, seq)) return false
  const at = indexAt(layout, seq) >>> 2, offset = arena.u32[at + 2]
  if (wraps && offset >= after) return true
  return offset < start + bytes && offset + arena.u32[at + 3] > start
}

/** Enters the record that was written at `address` under `seq`. It exists once pending says so. */
export function enterRecord(arena: Arena, layout: RoomLayout, seq: number, address: number, bytes: number): void {
  const at = indexAt(layout, seq)
  writeWide(arena, at, seq)
  arena.u32[(at + 8) >>> 2] = address - layout.history
  arena.u32[(at + 12) >>> 2] = bytes
}

/** The point of commitment: one atomic store. */
export const storePending = (arena: Arena, layout: RoomLayout, seq: number): void => storeWord(arena, layout.base + atPendingLow, seq >>> 0)

/** Committed columns are at `seq` now. */
export const storeCommitted = (arena: Arena, layout: RoomLayout, seq: number): void => storeWide(arena, layout.base + atCommittedSeq, seq)
