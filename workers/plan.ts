/**
 * The first half of a flush: what differs between live and committed, as bitmaps and counts, and how many bytes a record of it can take.
 * Writes only the room's own bitmaps, so a flush that is skipped afterwards has changed nothing. Worker thread.
 */
import type { Arena } from '../src/memory/arena.js'
import type { ColumnLayout, TableLayout } from '../src/memory/room-layout.js'
import { recount, type Rows } from '../src/memory/rows.js'
import { compareTouched, forgetTouched, isColumnTouched, isTouched, marksColumns } from './touch.js'

export interface TablePlan {
  readonly rows: Rows
  readonly layout: TableLayout
  /** Only what is marked is compared. */
  readonly tracksTouch: boolean
  /** The table has one row, and marks columns instead of blocks. */
  readonly marksColumns: boolean
  /** Columns whose setters mark slots. */
  readonly slots: readonly ColumnLayout[]
  /** Something is marked, as of the last compare. */
  isTouched: boolean
  /** Words that can hold rows, alive now or committed. */
  words: number
  spawned: number
  despawned: number
  /** Changed rows of each column among those that stayed. */
  readonly changed: Uint32Array
  /** Sum of `changed`. */
  changes: number
  /** `stayed` is every living row, and nothing is spawned or despawned: true until rows move. */
  isSettled: boolean
}

export const createTablePlan = (rows: Rows, tracksTouch: boolean): TablePlan => ({
  rows, layout: rows.layout, tracksTouch, marksColumns: tracksTouch && marksColumns(rows.layout), slots: slotsOf(rows.layout),
  isTouched: false, words: 0, spawned: 0, despawned: 0, changes: 0, isSettled: false, changed: new Uint32Array(rows.layout.columns.length),
})

const slotsOf = ({ columns, id }: TableLayout): ColumnLayout[] => [...columns.filter(({ marked }) => marked !== 0), ...(id === undefined ? [] : [id])]

/** Compares one table; true if anything differs. `withOwners`: a session has left, so its rows have lost their owner. */
export function planTable(arena: Arena, plan: TablePlan, withOwners: boolean): boolean {
  const { layout, rows } = plan
  const isTouchedNow = plan.tracksTouch && isTouched(arena, layout)
  if (plan.tracksTouch && plan.isSettled && !isTouchedNow && !rows.moved && !withOwners) return false
  plan.changes = 0
  plan.isTouched = isTouchedNow
  if (!plan.isSettled || rows.moved) sortRows(arena, plan)
  if (plan.words === 0) return false
  if (plan.marksColumns && plan.isSettled && rows.size === 1 && !withOwners) compareMarkedColumns(arena, plan)
  else for (let index = 0; index < plan.changed.length; index++) note(plan, index, comparePlanned(arena, plan, layout.columns[index], withOwners))
  const differs = plan.spawned + plan.despawned + plan.changes > 0
  // What was written is what is committed: without a record, nobody else would forget it.
  if (plan.isTouched && !differs) forgetTouched(arena, layout)
  return differs
}

function note(plan: TablePlan, column: number, count: number): void {
  plan.changed[column] = count
  plan.changes += count
}

const comparePlanned = (arena: Arena, { layout, words, tracksTouch, marksColumns }: TablePlan, column: ColumnLayout, withOwners: boolean): number =>
  tracksTouch && !marksColumns && isMarkable(column) ? compareTouched(arena, layout, column, words) : compareColumn(arena, layout, column, column.changed, words, withOwners)

/** The columns of the only row, which lives and is committed, where they are marked. */
function compareMarkedColumns(arena: Arena, plan: TablePlan): void {
  const { changed, layout: { columns } } = plan
  for (let index = 0; index < changed.length; index++) {
    changed[index] = 0
    if (isColumnTouched(arena, plan.layout, index)) note(plan, index, compareOnly(arena, plan, columns[index]))
  }
}

/** A kernel would read the padding's 63 rows, too. */
function compareOnly(arena: Arena, { layout, words }: TablePlan, column: ColumnLayout): number {
  const { bytes, isQuantized, isSlot, live, committed, changed } = column, { u8, u16, u32 } = arena
  if (isQuantized || isSlot) return compareColumn(arena, layout, column, changed, words, false)
  const isSame = bytes === 1 ? u8[live] === u8[committed] : bytes === 2 ? u16[live >>> 1] === u16[committed >>> 1]
    : u32[live >>> 2] === u32[committed >>> 2] && (bytes === 4 || u32[(live >>> 2) + 1] === u32[(committed >>> 2) + 1])
  u32[changed >>> 2] = isSame ? 0 : 1
  u32[(changed >>> 2) + 1] = 0
  return isSame ? 0 : 1
}

/** Columns that are compared at every flush; setters mark slots by themselves, and whose a row is changes only when somebody leaves. */
export const isMarkable = ({ isFixed, isOwner, isSlot }: ColumnLayout): boolean => !isFixed && !isOwner && !isSlot

/** Which rows stayed, are new, or are gone. */
function sortRows({ kernels }: Arena, plan: TablePlan): void {
  const { layout, rows } = plan
  plan.words = Math.max((rows.end + 63) >>> 6, kernels.lastWord(layout.aliveCommitted, layout.words))
  kernels.masks(layout.alive, layout.aliveCommitted, layout.stayed, layout.spawned, layout.despawned, plan.words)
  plan.spawned = kernels.countBits(layout.spawned, plan.words)
  plan.despawned = kernels.countBits(layout.despawned, plan.words)
  plan.isSettled = plan.spawned + plan.despawned === 0
}

/** How many rows that stayed differ in a column; `changed`: where they go. */
export function compareColumn({ kernels }: Arena, { alive, stayed }: TableLayout, column: ColumnLayout, changed: number, words: number, withOwners: boolean): number {
  const { bytes, live, committed } = column
  if (column.isFixed || (column.isOwner && !withOwners)) return 0
  if (column.isQuantized) {
    const compare = bytes === 1 ? kernels.compareQuantized8 : bytes === 2 ? kernels.compareQuantized16 : kernels.compareQuantized32
    return compare(live, committed, alive, stayed, changed, column.wire, words, column.min, column.perStep, column.steps)
  }
  if (column.isSlot) {
    if (kernels.countBits(column.marked, words) === 0) { kernels.zero(changed, words * 8); return 0 }
    kernels.and(column.marked, stayed, words)
    return kernels.compareSlots(live, committed, column.marked, changed, words, bytes)
  }
  const compare = bytes === 1 ? kernels.compare8 : bytes === 2 ? kernels.compare16 : bytes === 4 ? kernels.compare32 : kernels.compare64
  return compare(live, committed, stayed, changed, words)
}

const structBytes = 32

/** What the sections of this table can take at most, whoever they go to. */
export function plannedBytesMax(plan: TablePlan): number {
  if (plan.spawned === 0 && plan.despawned === 0 && plan.changes === 0) return 0
  const { layout } = plan
  const rowSetBytes = plan.words * 8 + structBytes
  let bytes = rowSetBytes * 4
  const idBytes = layout.id === undefined ? 0 : layout.id.bytes
  bytes += plan.spawned * (2 + idBytes)
  for (let index = 0; index < layout.columns.length; index++) {
    const rows = plan.changed[index] + plan.spawned
    if (rows > 0) bytes += rows * layout.columns[index].bytes + rowSetBytes + structBytes
  }
  return bytes
}

/**
 * Notes for each block of 64 rows that the flush of `seq` changes something in it that everybody sees. Written before the flush is committed: one that
 * is not leaves blocks that look newer than they are, which costs bytes and no state.
 */
export function stampTable({ kernels }: Arena, { layout, words, spawned, despawned, changed }: TablePlan, seq: number): void {
  if (words === 0 || layout.table.audience !== 'everyone') return
  const { stamps } = layout, stamp = seq >>> 0
  if (spawned > 0) kernels.stampWords(layout.spawned, words, stamps, stamp)
  if (despawned > 0) kernels.stampWords(layout.despawned, words, stamps, stamp)
  for (let field = 0; field < layout.columns.length; field++) {
    const column = layout.columns[field]
    if (changed[field] > 0 && column.field.audience === 'everyone') kernels.stampWords(column.changed, words, stamps, stamp)
  }
}

/** Forgets the marks of blocks, slots and despawned rows of a table in which something differed: the record that says so is committed. */
export function settleTable(arena: Arena, plan: TablePlan): void {
  const { rows, layout, isTouched, slots, words } = plan
  if (isTouched) forgetTouched(arena, layout)
  for (let index = 0; index < slots.length; index++) arena.kernels.zero(slots[index].marked, words * 8)
  if (rows.moved) recount(rows)
  if (!plan.isSettled) sortRows(arena, plan)
}
