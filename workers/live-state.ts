/**
 * A room's state as a whole, between its live and its committed columns: when it begins, is taken over or handed back. While it runs, flushes commit what
 * changed. Worker thread.
 */
import type { Arena } from '../src/memory/arena.js'
import { atBeganSeq, atJournalThrough, type ColumnLayout, type TableLayout } from '../src/memory/room-layout.js'
import { recount } from '../src/memory/rows.js'
import { readWide } from '../src/memory/views.js'
import { dequantize, quantize } from '../src/schema/quantize.js'
import type { Column } from '../src/schema/index.js'
import type { ActiveRoom } from './active-room.js'
import { storeCommitted, storePending } from './history.js'
import { forgetTouched } from './touch.js'

/** The block holds the state that it begins with. */
export function storeBegin({ arena, layout }: ActiveRoom): void {
  const seq = readWide(arena, layout.base + atBeganSeq)
  storePending(arena, layout, seq)
  storeCommitted(arena, layout, seq)
}

/** Committed columns, rows and generations from live ones; at which seq is the caller's to store. */
export function commitLive(room: ActiveRoom): void {
  const { arena } = room
  for (const { rows, layout: table } of room.plans) {
    arena.kernels.copy(table.aliveCommitted, table.alive, table.words * 8)
    for (const column of columnsOf(table)) {
      if (column.field.kind === 'quantized') commitQuantized(arena, column, table.rows)
      else arena.kernels.copy(column.committed, column.live, table.rows * column.field.bytes)
      if (column.marked !== 0) arena.kernels.zero(column.marked, table.words * 8)
    }
    forgetTouched(arena, table)
    recount(rows)
  }
  room.events.length = room.eventBytes = 0
  room.ownRows.clear()
}

const columnsOf = (table: TableLayout): ColumnLayout[] => [table.generation, ...(table.id === undefined ? [] : [table.id]), ...table.columns]

/** Live columns, rows and generations from committed ones; the clock keeps the later time, so that it never runs back. */
export function restoreLive(room: ActiveRoom): void {
  const { arena } = room
  const { clock } = room.book
  const { tick, timeMs } = clock
  for (const plan of room.plans) {
    const { rows, layout } = plan
    arena.kernels.copy(layout.alive, layout.aliveCommitted, layout.words * 8)
    for (const column of columnsOf(layout)) {
      if (column.field.kind !== 'quantized') arena.kernels.copy(column.live, column.committed, layout.rows * column.field.bytes)
      else restoreQuantized(arena, column.field, column.live, column.committed, layout.rows)
    }
    forgetTouched(arena, layout)
    recount(rows)
    // Which rows stay, another instance may have decided.
    plan.isSettled = false
  }
  for (const table of room.tables) table.rebuild()
  clock.tick = Math.max(clock.tick, tick)
  clock.timeMs = Math.max(clock.timeMs, timeMs)
  room.appliedThrough = readWide(arena, room.layout.base + atJournalThrough)
}

function commitQuantized({ u8, u16, u32, f32 }: Arena, { field, live, committed }: ColumnLayout, rows: number): void {
  const wire = field.bytes === 1 ? u8 : field.bytes === 2 ? u16 : u32
  for (let row = 0; row < rows; row++) wire[committed / field.bytes + row] = quantize(field, f32[(live >>> 2) + row])
}

function restoreQuantized({ u8, u16, u32, f32 }: Arena, field: Parameters<typeof dequantize>[0], live: number, committed: number, rows: number): void {
  const wire = field.bytes === 1 ? u8 : field.bytes === 2 ? u16 : u32
  const from = committed / field.bytes
  for (let row = 0; row < rows; row++) f32[(live >>> 2) + row] = dequantize(field, wire[from + row])
}

/** Generations of rows that do not live are no part of a state that was stored or handed over: a ref to one would come to mean the row's next but so many. */
export function voidDeadRefs(room: ActiveRoom): void {
  for (const table of room.tables) {
    for (const { field } of table.rowsOf.layout.columns) {
      if (field.kind !== 'ref') continue
      const column = table.column(field.name) as Column<unknown>
      for (const row of table.rows()) if (column.get(row) === null) column.set(row, null)
    }
  }
}
