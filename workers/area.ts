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

export function endChunk(area: Area, stream: number): void {
  const { room, seq } = area
  closeEntry(area, finishSection(area.section, { epoch: room.epoch, seq, prevSeq: 0, tick: room.book.clock.tick, stream }), stream)
}

/** The entry's head, before what was just written behind it. */
export function closeEntry(area: Area, bytes: number, stream: number): void {
  const { u32 } = area.room.arena
  u32[area.cursor >>> 2] = bytes
  u32[(area.cursor >>> 2) + 1] = stream
  area.cursor = align(area.cursor + 8 + bytes, 8)
}

/** All living rows of `plans`, in chunks of about chunkBytesMax whose ranges together cover the tables. */
export function putTables(area: Area, stream: number, plans: readonly TablePlan[], numbers: StreamNumbers): void {
  const { room, section } = area
  beginChunk(area)
  plans.forEach((plan, index) => {
    const { layout } = plan
    const rowBytes = layout.columns.reduce((sum, { field }) => sum + field.bytes, 4)
    const rowsPerChunk = Math.max(1, Math.floor(chunkBytesMax / rowBytes / rowsPerWord)) * rowsPerWord
    const end = room.arena.kernels.lastWord(layout.aliveCommitted, layout.words) * rowsPerWord
    for (let first = 0; first === 0 || first < end; first += rowsPerChunk) {
      const isEnd = first + rowsPerChunk >= end
      const words = (isEnd ? end - first : rowsPerChunk) / rowsPerWord
      if (section.cursor - section.at + words * rowsPerWord * rowBytes > chunkBytesMax && !isEmptySection(section)) { endChunk(area, stream); beginChunk(area) }
      addRange(section, numbers.table(plan), first, isEnd ? layout.rows : first + rowsPerChunk, isEnd && index === plans.length - 1)
      putCommitted(area, plan, what.spawned, bitsAt(room, layout, first, words), numbers)
    }
  })
  endChunk(area, stream)
}

function bitsAt({ arena }: ActiveRoom, layout: TableLayout, first: number, words: number): RowBits {
  const bitmap = layout.aliveCommitted + first / 8
  return { bitmap, words, first, count: arena.kernels.countBits(bitmap, words) }
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
