/**
 * Puts rows and values of a table into a section: row sets in their smallest form, columns through the kernels. Worker thread; allocates
 * nothing. Reads live columns for flushes, committed ones for snapshots.
 */
import { assert } from '../src/base/assert.js'
import { atScratch } from '../src/memory/arena-layout.js'
import type { Arena } from '../src/memory/arena.js'
import type { ColumnLayout } from '../src/memory/room-layout.js'
import { stage } from '../src/wire/envelope.js'
import { addColumn, addRowSet, form, type SectionWriter } from '../src/wire/section.js'

/** A set of rows: `count` bits in a bitmap of `words` words at address `bitmap`, whose bit 0 is row `first` (a multiple of 64). */
export interface RowBits { bitmap: number; words: number; first: number; count: number }

const lowestBit = (word: number): number => 31 - Math.clz32(word & -word)

function firstRowIn({ u32 }: Arena, bitmap: number, word: number): number {
  const low = u32[(bitmap >>> 2) + word * 2]
  return word * 64 + (low !== 0 ? lowestBit(low) : 32 + lowestBit(u32[(bitmap >>> 2) + word * 2 + 1]))
}

function lastRowIn({ u32 }: Arena, bitmap: number, word: number): number {
  const high = u32[(bitmap >>> 2) + word * 2 + 1]
  return word * 64 + (high !== 0 ? 63 - Math.clz32(high) : 31 - Math.clz32(u32[(bitmap >>> 2) + word * 2]))
}

/** Writes a row set as range, bitmap or gap list, whichever is smallest; returns its index. `rows.count` is not 0. */
export function putRows(arena: Arena, writer: SectionWriter, table: number, kind: number, rows: RowBits): number {
  const { kernels } = arena
  assert(rows.count > 0, 'gather: a row set has rows')
  const entry = stage(writer.bitmaps), { words: bitmaps } = writer.bitmaps
  bitmaps[entry] = bitmaps[entry + 1] = 0
  const isShort = rows.words === 1, from = isShort ? 0 : kernels.firstWord(rows.bitmap, rows.words), to = isShort ? 1 : kernels.lastWord(rows.bitmap, rows.words)
  const first = firstRowIn(arena, rows.bitmap, from), last = lastRowIn(arena, rows.bitmap, to - 1)
  if (last - first + 1 === rows.count) return addRowSet(writer, table, kind, form.range, rows.first + first, rows.count, 0)
  const bitmapBytes = (to - from) * 8
  const start = rows.bitmap + from * 8
  const gapBytes = rows.count < bitmapBytes ? kernels.writeGaps(start, to - from, writer.cursor, bitmapBytes - 1) : 0
  if (gapBytes > 0 && rows.bitmap !== atScratch) {
    bitmaps[entry] = start
    bitmaps[entry + 1] = to - from
  }
  if (gapBytes > 0) return addRowSet(writer, table, kind, form.gaps, rows.first + from * 64, rows.count, gapBytes)
  kernels.copy(writer.cursor, start, bitmapBytes)
  return addRowSet(writer, table, kind, form.bitmap, rows.first + from * 64, rows.count, bitmapBytes)
}

/** Appends the values of `rows` to the section; `source` says from which copy. Returns how many live values had to be clamped. */
export function putColumn(
  arena: Arena, writer: SectionWriter, rowSet: number, fieldNumber: number, column: ColumnLayout, source: 'live' | 'committed', rows: RowBits,
): number {
  const { bytes, isSlot } = column
  const { kernels } = arena
  const isQuantized = source === 'live' && column.isQuantized
  const from = (isQuantized ? column.wire : column[source]) + rows.first * bytes
  const to = writer.cursor
  if (isSlot) putSlots(arena, writer, from, bytes, rows)
  else if (bytes === 1) kernels.gather8(from, rows.bitmap, rows.words, to)
  else if (bytes === 2) kernels.gather16(from, rows.bitmap, rows.words, to)
  else if (bytes === 4) kernels.gather32(from, rows.bitmap, rows.words, to)
  else kernels.gather64(from, rows.bitmap, rows.words, to)
  addColumn(writer, rowSet, fieldNumber, isSlot ? slotBytes(arena, from, bytes, rows) : rows.count * bytes)
  return isQuantized ? clampedOf(arena, column, rows, to) : 0
}

/** Asked precisely only where a value stands at an end of its range. */
function clampedOf({ kernels }: Arena, { bytes, live, min, perStep, steps }: ColumnLayout, rows: RowBits, values: number): number {
  const touches = bytes === 1 ? kernels.touchesEdge8 : bytes === 2 ? kernels.touchesEdge16 : kernels.touchesEdge32
  if (touches(values, rows.count, steps) === 0) return 0
  return kernels.countClamped(live + rows.first * 4, rows.bitmap, rows.words, min, perStep, steps)
}

/** Calls `visit` with each row of `rows`, counted from `rows.first`. */
export function eachBit({ u32 }: Arena, rows: RowBits, visit: (row: number) => void): void {
  const at = rows.bitmap >>> 2
  for (let word = 0; word < rows.words * 2; word++) {
    for (let bits = u32[at + word]; bits !== 0; bits &= bits - 1) visit(word * 32 + lowestBit(bits))
  }
}

function slotBytes(arena: Arena, slots: number, stride: number, rows: RowBits): number {
  let bytes = rows.count * 2
  eachBit(arena, rows, (row) => { bytes += arena.u16[(slots + row * stride) >>> 1] })
  return bytes
}

/** Slots: `count` lengths (u16), then their bytes one after the other. */
function putSlots(arena: Arena, writer: SectionWriter, slots: number, stride: number, rows: RowBits): void {
  let length = writer.cursor >>> 1, to = writer.cursor + rows.count * 2
  eachBit(arena, rows, (row) => {
    const slot = slots + row * stride
    const bytes = arena.u16[slot >>> 1]
    arena.u16[length++] = bytes
    arena.u8.copyWithin(to, slot + 2, slot + 2 + bytes)
    to += bytes
  })
}

/** Sets `list` (rows counted from 0) as bits in the `words` words at `bitmap`. */
export function bitsOfList({ u32, kernels }: Arena, list: readonly number[], bitmap: number, words: number): RowBits {
  kernels.zero(bitmap, words * 8)
  for (const row of list) u32[(bitmap >>> 2) + (row >>> 5)] |= 1 << (row & 31)
  return { bitmap, words, first: 0, count: list.length }
}
