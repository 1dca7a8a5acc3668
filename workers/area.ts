/**
 * A room's snapshot area: where sections are written that belong to no record. Worker thread, right after a commit, from committed columns at one
 * seq. It belongs to the main thread from the post until it has copied (`snapshotBusy`); until then everybody else waits.
 *
 *   area:  u32 bytes   u32 stream   section, padded to 8     one after the other
 */
import { chunkBytesMax, rowsPerWord } from '../src/base/limits.js'
import { atSnapshotBusy, type TableLayout } from '../src/memory/room-layout.js'
import { align, loadWord, storeWord } from '../src/memory/views.js'
import { generationField, idField } from '../src/schema/field-tables.js'
import { addRange, beginSection, finishSection, isEmptySection, what, type SectionWriter } from '../src/wire/section.js'
import type { ActiveRoom } from './active-room.js'
import { putColumn, putRows, type RowBits } from './gather.js'
import { committedSeq } from './history.js'
import type { TablePlan } from './plan.js'

export interface Area { readonly room: ActiveRoom; readonly section: SectionWriter; readonly end: number; cursor: number; readonly seq: number }

/** The numbers that tables and fields have in a stream; -1: not part of it. */
export interface StreamNumbers { table(plan: TablePlan): number; field(plan: TablePlan, field: number): number }

export const isAreaFree = ({ arena, layout }: ActiveRoom): boolean => loadWord(arena, layout.base + atSnapshotBusy) === 0

export const openArea = (room: ActiveRoom, section: SectionWriter): Area => {
  const { layout } = room
  // Nobody applies what is written here: where its rows lie as bitmaps is of no use, and would be kept for ever.
  section.bitmaps.count = 0
  return { room, section, end: layout.snapshot + layout.snapshotBytes, cursor: layout.snapshot, seq: committedSeq(room.arena, layout) }
}

/** Hands the area over by `post`; takes it back if that found the ring full. */
export function handOver(area: Area, post: () => boolean): boolean {
  const { arena, layout } = area.room
  storeWord(arena, layout.base + atSnapshotBusy, 1)
  if (post()) {
    area.room.fault('area:posted')
    return true
  }
  storeWord(arena, layout.base + atSnapshotBusy, 0)
  return false
}

export function beginChunk(area: Area): void { beginSection(area.section, area.cursor + 8) }

/** `since`: what has not changed behind that seq is left out; 0: nothing is. */
export function endChunk(area: Area, stream: number, since: number): void {
  const { room, seq } = area
  closeEntry(area, finishSection(area.section, { epoch: room.epoch, seq, prevSeq: since, tick: room.book.clock.tick, stream }), stream)
}

/** The entry's head, before what was just written behind it. */
export function closeEntry(area: Area, bytes: number, stream: number): void {
  const { u32 } = area.room.arena
  u32[area.cursor >>> 2] = bytes
  u32[(area.cursor >>> 2) + 1] = stream
  area.cursor = align(area.cursor + 8 + bytes, 8)
}

/**
 * The living rows of `plans`, in chunks of about chunkBytesMax, each of which replaces all that its ranges cover; the last one says so.
 * `since`: not 0, only blocks in which something has changed for everybody behind that seq.
 */
export function putTables(area: Area, stream: number, plans: readonly TablePlan[], numbers: StreamNumbers, since: number): void {
  beginChunk(area)
  for (const plan of plans) {
    for (const [from, to] of runsOf(area.room, plan.layout, since)) putRun(area, stream, plan, numbers, since, from, to)
  }
  addRange(area.section, 0, 0, 0, true)
  endChunk(area, stream, since)
}

/** Words of a table's bitmaps, as runs from one to before another: all, or those that were stamped behind `since`. */
function* runsOf({ arena }: ActiveRoom, { words, stamps }: TableLayout, since: number): Generator<readonly [from: number, to: number]> {
  if (since === 0) return yield [0, words]
  // Stamps are the low half of a seq: what lies 2^31 flushes apart looks changed, and is sent once too often.
  const isChanged = (word: number): boolean => ((arena.u32[(stamps >>> 2) + word] - since) | 0) > 0
  for (let from = 0, to = 0; from < words; from = to + 1) {
    for (to = from; to < words && isChanged(to);) to++
    if (to > from) yield [from, to]
  }
}

function putRun(area: Area, stream: number, plan: TablePlan, numbers: StreamNumbers, since: number, from: number, to: number): void {
  const { room, section } = area
  const { layout } = plan
  const wordBytes = rowsPerWord * layout.columns.reduce((sum, { field }) => sum + field.bytes, 4)
  const wordsPerChunk = Math.max(1, Math.floor(chunkBytesMax / wordBytes))
  const end = from + room.arena.kernels.lastWord(layout.aliveCommitted + from * 8, to - from)
  for (let word = from; word < to;) {
    // What is empty behind the last living row is cleared with it.
    const next = word + wordsPerChunk >= end ? to : word + wordsPerChunk
    const words = Math.max(0, Math.min(next, end) - word)
    if (section.cursor - section.at + words * wordBytes > chunkBytesMax && !isEmptySection(section)) { endChunk(area, stream, since); beginChunk(area) }
    addRange(section, numbers.table(plan), word * rowsPerWord, next * rowsPerWord, false)
    putCommitted(area, plan, what.spawned, bitsAt(room, layout, word, words), numbers)
    word = next
  }
}

function bitsAt({ arena }: ActiveRoom, layout: TableLayout, word: number, words: number): RowBits {
  const bitmap = layout.aliveCommitted + word * 8
  return { bitmap, words, first: word * rowsPerWord, count: arena.kernels.countBits(bitmap, words) }
}

/** Committed values of `rows`: with generations and ids if they are spawned. */
export function putCommitted({ room, section }: Area, plan: TablePlan, kind: number, rows: RowBits, numbers: StreamNumbers): void {
  if (rows.count === 0) return
  const { arena } = room
  const { layout } = plan
  const rowSet = putRows(arena, section, numbers.table(plan), kind, rows)
  if (kind === what.spawned) {
    putColumn(arena, section, rowSet, generationField, layout.generation, 'committed', rows)
    if (layout.id !== undefined) putColumn(arena, section, rowSet, idField, layout.id, 'committed', rows)
  }
  for (let field = 0; field < layout.columns.length; field++) {
    const number = numbers.field(plan, field)
    if (number >= 0) putColumn(arena, section, rowSet, number, layout.columns[field], 'committed', rows)
  }
}
