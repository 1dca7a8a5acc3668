/**
 * The rows of a table: which live, which can be given out, and their generations. Worker thread.
 *
 * Three bitmaps say it all, so a successor has nothing to rebuild but `used`: alive (now), aliveCommitted (what clients were told) and
 * used (alive, or committed, or despawned since the last flush). Invariant: the number of a row that clients know is not given out again
 * before its despawn was flushed. Its generation grows with each despawn, which voids every ref to it.
 */
import type { TableLayout } from './room-layout.js'
import type { Views } from './views.js'

export interface Rows {
  readonly views: Views
  readonly layout: TableLayout
  readonly capacity: number
  readonly alive: Uint32Array
  readonly used: Uint32Array
  readonly generation: Uint16Array
  size: number
  /** A row was spawned or despawned since {@link recount}. */
  moved: boolean
  /** One past the highest row that may be alive. */
  end: number
  /** No row below 32 times this is free. */
  hint: number
}

const half = (views: Views, address: number, words: number): Uint32Array => views.u32.subarray(address >>> 2, (address >>> 2) + words * 2)

export function createRows(views: Views, layout: TableLayout): Rows {
  const rows: Rows = {
    views, layout, capacity: layout.table.capacity,
    alive: half(views, layout.alive, layout.words),
    used: half(views, layout.used, layout.words),
    generation: views.u16.subarray(layout.generation.live >>> 1, (layout.generation.live >>> 1) + layout.rows),
    size: 0, moved: false, end: 0, hint: 0,
  }
  recount(rows)
  return rows
}

const bits = (word: number): number => {
  let x = word - ((word >>> 1) & 0x55555555)
  x = (x & 0x33333333) + ((x >>> 2) & 0x33333333)
  return Math.imul((x + (x >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}

/** Takes size, end and used from the bitmap of living rows: after a commit, and when a successor attaches. */
export function recount(rows: Rows): void {
  let size = 0, last = -1
  for (let at = 0; at < rows.alive.length; at++) {
    const word = rows.alive[at]
    if (word === 0) continue
    size += bits(word)
    last = at
  }
  rows.used.set(rows.alive)
  rows.size = size
  rows.end = last < 0 ? 0 : last * 32 + 32 - Math.clz32(rows.alive[last])
  rows.hint = 0
  rows.moved = false
}

export const isAlive = (rows: Rows, row: number): boolean =>
  row >= 0 && row < rows.capacity && (rows.alive[row >>> 5] >>> (row & 31) & 1) === 1

/** Gives out the lowest free row and marks it alive; -1 if the table is full. */
export function takeRow(rows: Rows): number {
  const row = takeFree(rows)
  return row >= 0 || !reclaim(rows) ? row : takeFree(rows)
}

/** True if {@link takeRow} would find one. Not so in a table with space, if those that died are all still known to clients: then it does after the next flush. */
export function hasFreeRow({ views, layout, alive, capacity }: Rows): boolean {
  const committed = half(views, layout.aliveCommitted, layout.words)
  for (let at = 0; at < alive.length; at++) {
    const free = ~(alive[at] | committed[at])
    if (free !== 0) return at * 32 + 31 - Math.clz32(free & -free) < capacity
  }
  return false
}

/** Only when nothing else is left: rows that lived and died since the last flush, of which nobody was told. True if there are any. */
function reclaim(rows: Rows): boolean {
  const committed = half(rows.views, rows.layout.aliveCommitted, rows.layout.words)
  let found = false
  for (let at = 0; at < rows.used.length; at++) {
    const used = rows.alive[at] | committed[at]
    if ((used >>> 0) !== rows.used[at]) found = true
    rows.used[at] = used
  }
  rows.hint = 0
  return found
}

function takeFree(rows: Rows): number {
  const { used } = rows
  for (let at = rows.hint; at < used.length; at++) {
    const free = ~used[at]
    if (free === 0) continue
    rows.hint = at
    const row = at * 32 + 31 - Math.clz32(free & -free)
    if (row >= rows.capacity) return -1
    used[at] |= 1 << (row & 31)
    rows.alive[at] |= 1 << (row & 31)
    rows.size++
    rows.moved = true
    if (row >= rows.end) rows.end = row + 1
    return row
  }
  rows.hint = used.length
  return -1
}

/** Makes a certain row live, with its generation; only while a room is filled from its store. {@link recount} follows. */
export function placeRow(rows: Rows, row: number, generation: number): void {
  rows.alive[row >>> 5] |= 1 << (row & 31)
  rows.generation[row] = generation
}

/** Ends a living row; its number stays used until the next flush. */
export function dropRow(rows: Rows, row: number): void {
  rows.alive[row >>> 5] &= ~(1 << (row & 31))
  rows.generation[row]++
  rows.moved = true
  rows.size--
}

/** The first living row at or after `from`, or -1. */
export function nextRow(rows: Rows, from: number): number {
  const { alive } = rows
  let at = from >>> 5
  if (at >= alive.length) return -1
  let word = alive[at] & (-1 << (from & 31))
  while (word === 0) {
    if (++at >= alive.length || at * 32 >= rows.end) return -1
    word = alive[at]
  }
  return at * 32 + 31 - Math.clz32(word & -word)
}

/** Refs: generation and row in one number below 2^48. */
const generationStep = 0x1_0000_0000
export const packRef = (row: number, generation: number): number => generation * generationStep + row
export const rowOfRef = (ref: number): number => ref % generationStep
export const generationOfRef = (ref: number): number => Math.floor(ref / generationStep)
