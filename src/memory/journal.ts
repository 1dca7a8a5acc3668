/**
 * A room's journal: everything that happened to the room from outside, numbered, until the state that contains it is committed.
 *
 *   header (in the room's header)   +0 tail   +4 head   running bytes mod 2^32      +8 number (wide): of the last entry written   +16 bytes: capacity, a power of two
 *   entry   u32 payload bytes   u32 kind   u32 number low   u32 number high   payload, padded to 16: whatever is left at the end holds a header
 *
 * Written and read by the room's worker alone, but it outlives the thread: an entry exists once head has moved over it. Entries up to the
 * committed number are cut; those behind it are applied again by a successor. Inputs may not use the last journalReservedBytes.
 */
import { assert } from '../base/assert.js'
import { journalReservedBytes } from '../base/limits.js'
import { atJournal, atJournalThrough, journalAt, type RoomLayout } from './room-layout.js'
import { align, readWide, writeWide, type Views } from './views.js'

const entryHeaderBytes = 16
const kindFill = 0
const sizeOf = (bytes: number): number => entryHeaderBytes + align(bytes, entryHeaderBytes)

export interface Journal {
  readonly views: Views
  readonly data: number
  readonly header: number
  readonly capacity: number
  /** Where reading goes on; not in memory, because a successor begins behind what is committed. */
  cursor: number
}

/** One entry, as {@link nextEntry} gives it; the object is reused. */
export interface JournalEntry { kind: number; number: number; at: number; bytes: number }
const entry: JournalEntry = { kind: 0, number: 0, at: 0, bytes: 0 }

const tailOf = (journal: Journal): number => journal.views.u32[journal.header >>> 2]
const headOf = (journal: Journal): number => journal.views.u32[(journal.header + 4) >>> 2]

/** Attaches; reading begins behind the entries that committed state contains. */
export function openJournal(views: Views, layout: RoomLayout): Journal {
  const journal = { views, data: layout.journal, header: layout.base + atJournal, capacity: layout.journalBytes, cursor: 0 }
  views.u32[(journal.header + 16) >>> 2] = layout.journalBytes
  cutJournal(journal, readWide(views, layout.base + atJournalThrough))
  journal.cursor = tailOf(journal)
  return journal
}

/** How full the journal of the room whose block begins at `base` is, 0 to 1. Any thread. */
export const journalFill = ({ u32 }: Views, base: number): number =>
  ((u32[(base + atJournal + 4) >>> 2] - u32[(base + atJournal) >>> 2]) >>> 0) / u32[(base + atJournal + 16) >>> 2]

/**
 * Kind and payload address of entry `number` in the journal of the room whose block begins at `base`, or undefined if it is not there. Any
 * thread, while nobody writes: for the report of a thread that died.
 */
export function findEntry(views: Views, base: number, number: number): { readonly kind: number; readonly at: number } | undefined {
  const { u32 } = views, header = (base + atJournal) >>> 2, capacity = u32[header + 4]
  for (let tail = u32[header]; tail !== u32[header + 1]; tail = (tail + sizeOf(u32[(journalAt(base) + tail % capacity) >>> 2])) >>> 0) {
    const at = journalAt(base) + tail % capacity, kind = u32[(at + 4) >>> 2]
    if (kind !== kindFill && readWide(views, at + 8) === number) return { kind, at: at + entryHeaderBytes }
  }
  return undefined
}

/** The number of the entry written last; 0 in a new room. */
export const lastNumber = (journal: Journal): number => readWide(journal.views, journal.header + 8)

/** Appends an entry and copies `bytes` from address `source`; false if it is full. `reserved`: may use what inputs may not. */
export function appendEntry(journal: Journal, kind: number, source: number, bytes: number, reserved: boolean): boolean {
  const { u32, u8 } = journal.views, { capacity } = journal
  const head = headOf(journal)
  const size = sizeOf(bytes)
  const offset = head % capacity
  const fill = offset + size > capacity ? capacity - offset : 0
  const limit = reserved ? capacity : capacity - journalReservedBytes
  if (((head - tailOf(journal)) >>> 0) + fill + size > limit) return false
  if (fill !== 0) {
    u32[(journal.data + offset) >>> 2] = fill - entryHeaderBytes
    u32[(journal.data + offset + 4) >>> 2] = kindFill
  }
  const at = journal.data + (fill === 0 ? offset : 0)
  const number = lastNumber(journal) + 1
  u32[at >>> 2] = bytes
  u32[(at + 4) >>> 2] = kind
  writeWide(journal.views, at + 8, number)
  u8.copyWithin(at + entryHeaderBytes, source, source + bytes)
  writeWide(journal.views, journal.header + 8, number)
  u32[(journal.header + 4) >>> 2] = (head + fill + size) >>> 0
  return true
}

/** The next entry to apply, or undefined. The object is reused; its payload stays where it is until the journal is cut. */
export function nextEntry(journal: Journal): JournalEntry | undefined {
  const { u32 } = journal.views
  while (journal.cursor !== headOf(journal)) {
    const at = journal.data + journal.cursor % journal.capacity
    const bytes = u32[at >>> 2]
    assert(entryHeaderBytes + bytes <= journal.capacity, 'journal: an entry lies inside the journal')
    journal.cursor = (journal.cursor + sizeOf(bytes)) >>> 0
    if (u32[(at + 4) >>> 2] === kindFill) continue
    entry.kind = u32[(at + 4) >>> 2]
    entry.number = readWide(journal.views, at + 8)
    entry.at = at + entryHeaderBytes
    entry.bytes = bytes
    return entry
  }
  return undefined
}

/** True if entries wait behind the cursor. */
export const hasEntries = (journal: Journal): boolean => journal.cursor !== headOf(journal)

/** Passes over all entries, unread. */
export function dropEntries(journal: Journal): void { journal.cursor = headOf(journal) }

/** Frees the entries up to and including number `through`. */
export function cutJournal(journal: Journal, through: number): void {
  const { u32 } = journal.views
  let tail = tailOf(journal)
  const head = headOf(journal)
  while (tail !== head) {
    const at = journal.data + tail % journal.capacity
    const isFill = u32[(at + 4) >>> 2] === kindFill
    if (!isFill && readWide(journal.views, at + 8) > through) break
    tail = (tail + sizeOf(u32[at >>> 2])) >>> 0
  }
  u32[journal.header >>> 2] = tail
}
