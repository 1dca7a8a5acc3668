/**
 * `near` over a table with a grid: a uniform grid of cells, as linked lists in typed arrays, built when the first query of a turn comes.
 * Worker thread. Rows may move after it was built: each hit is tested at its present position, and a query looks a quarter of a cell
 * further than its radius, so a row can be missed only if it moved more than that within one turn.
 */
import { isAlive, nextRow, type Rows } from '../src/memory/rows.js'
import { numberColumn, type AnyColumn, type NumberArray } from './columns.js'

export interface Grid {
  /** Rows within `radius` of a point, alive when the query began and when reached, in no order that means anything. */
  near(x: number, y: number, radius: number): Iterable<number>
  /** Rows may have moved: the next query builds anew. */
  invalidate(): void
  insert(row: number): void
}

/** `holds`: by row, 1 if it stands in a list: a second time would make a ring of it. */
interface Cells { readonly heads: Map<number, number>; readonly next: Int32Array; readonly holds: Uint8Array; built: boolean }

const cellKey = (column: number, row: number): number => (column + 32768) * 65536 + (row + 32768)

export function createGrid(
  grid: { readonly x: string; readonly y: string; readonly cell: number }, rows: Rows, columns: ReadonlyMap<string, AnyColumn>,
): Grid {
  const xs = numberColumn(columns.get(grid.x)), ys = numberColumn(columns.get(grid.y))
  const cells: Cells = { heads: new Map(), next: new Int32Array(rows.capacity), holds: new Uint8Array(rows.capacity), built: false }
  return {
    invalidate: () => { cells.built = false },
    insert: (row) => {
      if (!cells.built) return
      // Its number was another row's in this very turn: the next query builds anew.
      if (cells.holds[row] === 1) cells.built = false
      else enter(cells, row, xs, ys, grid.cell)
    },
    near: (x, y, radius) => {
      if (!cells.built) build(cells, rows, xs, ys, grid.cell)
      return hits(cells, rows, xs, ys, grid.cell, x, y, radius)
    },
  }
}

function build(cells: Cells, rows: Rows, xs: NumberArray, ys: NumberArray, cell: number): void {
  cells.heads.clear()
  cells.holds.fill(0)
  for (let row = nextRow(rows, 0); row >= 0; row = nextRow(rows, row + 1)) enter(cells, row, xs, ys, cell)
  cells.built = true
}

function enter(cells: Cells, row: number, xs: NumberArray, ys: NumberArray, cell: number): void {
  const key = cellKey(Math.floor(xs[row] / cell), Math.floor(ys[row] / cell))
  cells.next[row] = cells.heads.get(key) ?? -1
  cells.holds[row] = 1
  cells.heads.set(key, row)
}

function* hits(cells: Cells, rows: Rows, xs: NumberArray, ys: NumberArray, cell: number, x: number, y: number, radius: number): Generator<number> {
  const reach = radius + cell / 4
  const left = Math.floor((x - reach) / cell), right = Math.floor((x + reach) / cell)
  const top = Math.floor((y - reach) / cell), bottom = Math.floor((y + reach) / cell)
  const isNear = (row: number): boolean => (xs[row] - x) ** 2 + (ys[row] - y) ** 2 <= radius * radius
  const found: number[] = []
  if ((right - left + 1) * (bottom - top + 1) > cells.heads.size) {
    for (let row = nextRow(rows, 0); row >= 0; row = nextRow(rows, row + 1)) if (isNear(row)) found.push(row)
  } else {
    for (let column = left; column <= right; column++) {
      for (let line = top; line <= bottom; line++) {
        for (let row = cells.heads.get(cellKey(column, line)) ?? -1; row >= 0; row = cells.next[row]) if (isNear(row)) found.push(row)
      }
    }
  }
  for (const row of found) if (isAlive(rows, row)) yield row
}
