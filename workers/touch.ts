/**
 * Touch tracking: a table that opted in (`track: 'touch'`), and each of the engine's own, is compared at a flush only in blocks of 16 rows that are marked; one that
 * can hold but one row (globals, the room's clock), only in columns that are. Row views, setters and spawn mark by themselves, raw columns are followed by `touch`.
 * Worker thread; marking and comparing allocate nothing.
 *
 * Marks lie in the arena, where kernels read them, and are no state: live columns that are written anew from committed ones (a successor, a takeover) begin without
 * any. Invariant: outside what is marked live is what is committed, but for what an author left unmarked. So marks go only once a flush is committed, or where
 * a compare has found nothing.
 */
import type { Arena } from '../src/memory/arena.js'
import type { ColumnLayout, TableLayout } from '../src/memory/room-layout.js'

/** Marks what was written of a row. `column`: the only one; without it any may have been. */
export type Mark = (row: number, column?: number) => void

/** Of one row its columns are marked, not its block: at each flush of a room most of the engine's bookkeeping stands still. */
export const marksColumns = ({ table }: TableLayout): boolean => table.capacity === 1

export function createMark({ u32 }: Arena, layout: TableLayout): Mark {
  const { touched, touchedWords } = layout
  const marks = u32.subarray(touched >>> 2, (touched >>> 2) + touchedWords * 2)
  if (!marksColumns(layout)) return (row) => { marks[row >>> 9] |= 1 << (row >>> 4 & 31) }
  return (_, column) => {
    // Of more than 64 columns some share a mark.
    if (column !== undefined) marks[column >>> 5 & 1] |= 1 << (column & 31)
    else marks.fill(-1)
  }
}

/** Whether a column of a table of one row is marked. */
export const isColumnTouched = ({ u32 }: Arena, { touched }: TableLayout, column: number): boolean =>
  (u32[(touched >>> 2) + (column >>> 5 & 1)] >>> (column & 31) & 1) === 1

export function isTouched({ kernels, u32 }: Arena, { touched, touchedWords }: TableLayout): boolean {
  // Most tables have a single word: not worth a call.
  if (touchedWords === 1) return (u32[touched >>> 2] | u32[(touched >>> 2) + 1]) !== 0
  return kernels.firstWord(touched, touchedWords) < touchedWords
}

export const forgetTouched = ({ kernels }: Arena, { touched, touchedWords }: TableLayout): void => kernels.zero(touched, touchedWords * 8)

/** How many rows of marked blocks differ in a column of numbers; `changed` holds them if there are any. */
export function compareTouched({ kernels }: Arena, { stayed, touched }: TableLayout, column: ColumnLayout, words: number): number {
  const { bytes, isQuantized, live, committed, changed, wire } = column
  if (isQuantized) {
    const compare = bytes === 1 ? kernels.compareTouchedQuantized8 : bytes === 2 ? kernels.compareTouchedQuantized16 : kernels.compareTouchedQuantized32
    return compare(live, committed, stayed, touched, changed, wire, words, column.min, column.perStep, column.steps)
  }
  const compare = bytes === 1 ? kernels.compareTouched8 : bytes === 2 ? kernels.compareTouched16 : bytes === 4 ? kernels.compareTouched32 : kernels.compareTouched64
  return compare(live, committed, stayed, touched, changed, words)
}
