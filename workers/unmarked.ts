/**
 * Development's look behind touch tracking: compares such a table whole, beside its flush, and names what was written without `touch`. Worker thread; production
 * has none of this.
 *
 * What it finds is not sent: clients miss it here as they would in production, so that nobody who overlooks the line believes that all is well. Each row is told once,
 * and anew when it was right in between.
 */
import { atScratch } from '../src/memory/arena-layout.js'
import type { Arena } from '../src/memory/arena.js'
import type { TableLayout } from '../src/memory/room-layout.js'
import type { ActiveRoom } from './active-room.js'
import { compareColumn, isMarkable, type TablePlan } from './plan.js'
import { isColumnTouched } from './touch.js'

/** `rows` of a column were left unmarked since the last look, `row` first. */
export interface Unmarked { readonly table: string; readonly field: string; readonly row: number; readonly rows: number }

export type Verify = (room: ActiveRoom, plan: TablePlan) => void

/** Looks at one table after the other, behind the compare of its flush. */
export function createVerify(onUnmarked: (room: ActiveRoom, found: Unmarked) => void): Verify {
  /** By column of a table: rows that were told already. */
  const told = new WeakMap<TablePlan, Uint32Array[]>()
  return (room, plan) => {
    if (!plan.tracksTouch || plan.words === 0 || isEngines(plan)) return
    const { layout, words } = plan
    if (!told.has(plan)) told.set(plan, layout.columns.map(() => new Uint32Array(layout.words * 2)))
    for (const [index, known] of told.get(plan)!.entries()) {
      const column = layout.columns[index]
      if (!isMarkable(column)) continue
      compareColumn(room.arena, layout, column, atScratch, words, false)
      const { row, rows } = takeNew(room.arena, plan, index, known)
      if (rows > 0) onUnmarked(room, { table: layout.table.name, field: column.field.name, row, rows })
    }
  }
}

/** The engine's own tables track touches too; who wrote past them is no author's affair. */
const isEngines = ({ layout: { table: { name } } }: TablePlan): boolean => name.startsWith('$')

/** How many rows in scratch are unmarked, themselves or their `column`, and not known yet, and the first of them. All that differ are known then. */
function takeNew(arena: Arena, { layout, marksColumns, words }: TablePlan, column: number, known: Uint32Array): { row: number; rows: number } {
  let row = -1, rows = 0
  for (let half = 0; half < words * 2; half++) {
    const marked = marksColumns ? -Number(isColumnTouched(arena, layout, column)) : markedRows(arena, layout, half)
    const found = arena.u32[(atScratch >>> 2) + half] & ~marked
    for (let fresh = found & ~known[half]; fresh !== 0; fresh &= fresh - 1) {
      if (rows++ === 0) row = half * 32 + 31 - Math.clz32(fresh & -fresh)
    }
    known[half] = found
  }
  return { row, rows }
}

/** Of 32 rows, which are two blocks, those in marked ones. */
function markedRows({ u32 }: Arena, { touched }: TableLayout, half: number): number {
  const marks = u32[(touched >>> 2) + (half >>> 4)] >>> (half & 15) * 2
  return (marks & 1) * 0xffff | (marks >>> 1 & 1) * 0xffff_0000
}
