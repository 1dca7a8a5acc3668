/**
 * Touch tracking: a table that opted in (`track: 'touch'`), and each of the engine's own, is compared at a flush only in blocks of 16 rows that are marked. Row views, setters and spawn mark by
 * themselves, raw columns are followed by `touch`. Worker thread; marking and comparing allocate nothing.
 *
 * Marks lie in the arena, where kernels read them, and are no state: live columns that are written anew from committed ones (a successor, a takeover) begin without
 * any. Invariant: outside marked blocks live is what is committed, but for what an author left unmarked. So marks go only once a flush is committed, or where
 * a compare has found nothing.
 */
import type { Arena } from '../src/memory/arena.js'
import type { ColumnLayout, TableLayout } from '../src/memory/room-layout.js'

/** Marks the block of a row. */
export type Mark = (row: number) => void

export function createMark({ u32 }: Arena, { touched, touchedWords }: TableLayout): Mark {
  const blocks = u32.subarray(touched >>> 2, (touched >>> 2) + touchedWords * 2)
  return (row) => { blocks[row >>> 9] |= 1 << (row >>> 4 & 31) }
}

export const isTouched = ({ kernels }: Arena, { touched, touchedWords }: TableLayout): boolean => kernels.firstWord(touched, touchedWords) < touchedWords

export const forgetTouched = ({ kernels }: Arena, { touched, touchedWords }: TableLayout): void => kernels.zero(touched, touchedWords * 8)

/** How many rows of marked blocks differ in a column of numbers; `changed` holds them if there are any. */
export function compareTouched({ kernels }: Arena, { stayed, touched }: TableLayout, column: ColumnLayout, words: number): number {
  const { field: { kind, bytes, min, step, steps }, live, committed, changed, wire } = column
  if (kind === 'quantized') {
    const compare = bytes === 1 ? kernels.compareTouchedQuantized8 : bytes === 2 ? kernels.compareTouchedQuantized16 : kernels.compareTouchedQuantized32
    return compare(live, committed, stayed, touched, changed, wire, words, min!, 1 / step!, steps!)
  }
  const compare = bytes === 1 ? kernels.compareTouched8 : bytes === 2 ? kernels.compareTouched16 : bytes === 4 ? kernels.compareTouched32 : kernels.compareTouched64
  return compare(live, committed, stayed, touched, changed, words)
}
