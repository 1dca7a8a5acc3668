/**
 * A table as authors and the engine's own bookkeeping use it: columns over live memory, spawn, despawn, row views, ids, refs, near.
 * Worker thread. Numbers are plain typed arrays; all else goes through get and set.
 */
import { assert } from '../src/base/assert.js'
import { KasagiError } from '../src/base/errors.js'
import type { Arena } from '../src/memory/arena.js'
import type { TableLayout } from '../src/memory/room-layout.js'
import { dropRow, generationOfRef, isAlive, nextRow, packRef, rowOfRef, takeRow, type Rows } from '../src/memory/rows.js'
import type { FieldTable } from '../src/schema/field-tables.js'
import type { Column } from '../src/schema/index.js'
import type { Session } from '../src/room/types.js'
import { defaultOf, misfit } from '../src/schema/values.js'
import { createAges, enterRow, leaveRow, sortRows, type Ages } from './ages.js'
import { createColumn, numberColumn, type AnyColumn, type IsCurrent, type NumberArray } from './columns.js'
import { createGrid, type Grid } from './grid.js'
import { createRowViews } from './row-views.js'
import type { BookedSession } from './session-book.js'
import type { Mark } from './touch.js'

/** The engine's handle of a table. */
export interface AuthorTable {
  readonly name: string
  readonly rowsOf: Rows
  readonly capacity: number
  /** What authors get: the members of room/types.ts and the columns under their names. */
  readonly face: object
  spawn(values?: Record<string, unknown>, as?: { id?: string; owner?: Session }): number
  despawn(row: number): void
  has(row: number): boolean
  at(row: number): Record<string, unknown>
  rows(): Iterable<number>
  /** Numbers of the row were written past its setters: a flush is to look at it. `column`: the only one; without it at all. */
  touch(row: number, column?: number): void
  /** The column of a field, whatever its name, and its number among the table's. */
  column(name: string): AnyColumn
  numberOf(name: string): number
  /** Gives a living row its id; only while a room is filled from its store. */
  setId(row: number, id: string): void
  /** Takes ids, ages, places and decoded values from the live rows again: whoever wrote them went past spawn and setters. */
  rebuild(): void
  /** Undefined where nothing looks for neighbours. */
  readonly grid: Grid | undefined
}

interface Inside {
  readonly arena: Arena
  readonly layout: TableLayout
  readonly rows: Rows
  readonly columns: Map<string, AnyColumn>
  /** By column: what was read of its slots, by row. */
  readonly decoded: readonly unknown[][]
  /** By column: what a row gets that names no value. */
  readonly defaults: readonly unknown[]
  readonly ids: Map<string, number>
  readonly idColumn: Column<unknown> | undefined
  readonly owner: NumberArray | undefined
  /** `drop-oldest` only: the order of birth, and who is next to go. */
  readonly born: NumberArray | undefined
  readonly ages: Ages | undefined
  readonly nextOrder: () => number
  /** Only where the table tracks touches. */
  readonly mark: Mark | undefined
  readonly grid: Grid | undefined
}

/** `nextOrder`: the room's counter of whatever has to have an order that outlives the thread. */
export function createAuthorTable(arena: Arena, rows: Rows, isCurrent: IsCurrent, nextOrder: () => number, mark?: Mark): AuthorTable {
  const { layout } = rows
  const columns = new Map<string, AnyColumn>()
  const decoded = layout.columns.map((): unknown[] => [])
  for (const [number, column] of layout.columns.entries()) columns.set(column.field.name, marking(createColumn(arena, layout, column, isCurrent, decoded[number]), number, mark))
  const owner = columns.get('$owner'), born = columns.get('$born')
  const inside: Inside = {
    arena, layout, rows, columns, decoded, nextOrder, mark, ids: new Map(),
    defaults: layout.columns.map(({ field }) => defaultOf(field)),
    idColumn: layout.id === undefined ? undefined : createColumn(arena, layout, layout.id, isCurrent) as Column<unknown>,
    owner: owner === undefined ? undefined : numberColumn(owner),
    born: born === undefined ? undefined : numberColumn(born),
    ages: born === undefined ? undefined : createAges(rows),
    grid: layout.table.grid === undefined ? undefined : createGrid(layout.table.grid, rows, columns),
  }
  return assemble(inside)
}

/** A column whose setter marks; numbers are written past everybody. */
function marking(column: AnyColumn, number: number, mark: Mark | undefined): AnyColumn {
  if (mark === undefined || ArrayBuffer.isView(column)) return column
  return { get: column.get, set: (row: number, value: unknown) => { column.set(row, value); mark(row, number) } }
}

const untracked: Mark = () => {}

function assemble(inside: Inside): AuthorTable {
  const { rows, columns, mark, layout: { table: { name, fields } } } = inside
  const views = createRowViews({ rows, columns: [...columns.values()], ids: inside.idColumn, mark })
  const handle = {
    name, rowsOf: rows, face: {}, capacity: inside.layout.table.keep ?? rows.capacity, grid: inside.grid,
    spawn: (values?: Record<string, unknown>, as?: { id?: string; owner?: Session }) => spawn(inside, values, as),
    despawn: (row: number) => despawn(inside, row),
    has: (row: number) => isAlive(rows, row),
    at: (row: number) => {
      if (!isAlive(rows, row)) throw new RangeError(`${name}: no row ${row}`)
      return views(row)
    },
    rows: () => livingRows(rows),
    touch: mark ?? untracked,
    column: (field: string) => { const column = columns.get(field); assert(column !== undefined, `table: no column ${field}`); return column },
    numberOf: (field: string) => fields.findIndex((entry) => entry.name === field),
    setId: (row: number, id: string) => inside.idColumn?.set(row, id),
    rebuild: () => rebuild(inside),
  }
  handle.face = createFace(inside, handle, views)
  return handle
}

/** What authors see of a table. A class, because an object with accessors of its own is slow to look anything up in. */
class Face {
  readonly #rows: Rows
  constructor(rows: Rows, members: object) {
    this.#rows = rows
    Object.assign(this, members)
  }

  get size(): number { return this.#rows.size }
  get end(): number { return this.#rows.end }
}

function createFace({ rows, columns, ids, grid, layout: { table: { name } } }: Inside, handle: AuthorTable, views: (row: number) => Record<string, unknown>): object {
  const { spawn, despawn, has, at, rows: living, capacity } = handle
  const face = new Face(rows, {
    spawn, despawn, has, at, rows: living, capacity,
    get: (id: string) => { const row = ids.get(id); return row === undefined ? undefined : views(row) },
    rowOf: (id: string) => ids.get(id),
    touch: (row: number) => {
      if (!isAlive(rows, row)) throw new RangeError(`${name}: no row ${row} to touch`)
      handle.touch(row)
    },
    ref: (row: number) => {
      if (!isAlive(rows, row)) throw new RangeError(`${name}: no row ${row} to refer to`)
      return packRef(row, rows.generation[row])
    },
    row: (ref: number | null) => ref !== null && refersToLiving(rows, ref) ? rowOfRef(ref) : undefined,
    near: (x: number, y: number, radius: number) => {
      if (grid === undefined) throw new TypeError(`${name}: near needs a grid in its schema`)
      return grid.near(x, y, radius)
    },
  })
  for (const [field, column] of columns) if (!field.startsWith('$')) Object.defineProperty(face, field, { value: column, enumerable: true })
  return face
}

/** True if the row that `ref` was made for still lives. */
export const refersToLiving = (rows: Rows, ref: number): boolean =>
  isAlive(rows, rowOfRef(ref)) && rows.generation[rowOfRef(ref)] === generationOfRef(ref)

function spawn(inside: Inside, values: Record<string, unknown> = {}, as: { id?: string; owner?: Session } = {}): number {
  const { rows, layout, columns } = inside
  const { name } = layout.table
  if (as.id !== undefined && inside.idColumn === undefined) throw new TypeError(`${name}: rows have ids only if the table is declared with ids: true`)
  if (as.id !== undefined && inside.ids.has(as.id)) throw new KasagiError('id-taken', `${name}: a row with id ${as.id} lives already`)
  const row = takeRow(rows)
  if (row < 0) throw new KasagiError('table-full', `${name}: all ${rows.capacity} rows are taken`)
  try {
    for (let index = 0; index < layout.columns.length; index++) {
      const { field } = layout.columns[index]
      putValue(columns.get(field.name)!, row, field, field.name in values ? values[field.name] : inside.defaults[index])
    }
    inside.idColumn?.set(row, as.id ?? '')
  } catch (error) {
    dropRow(rows, row)
    inside.mark?.(row)
    throw error
  }
  if (as.id !== undefined) inside.ids.set(as.id, row)
  if (inside.owner !== undefined) inside.owner[row] = ownerOf(as.owner as BookedSession | undefined)
  if (inside.ages !== undefined) takeAge(inside, inside.ages, row)
  inside.grid?.insert(row)
  inside.mark?.(row)
  return row
}

/** Whoever has left owns nothing any more: 0. */
const ownerOf = (session: BookedSession | undefined): number => session === undefined || session.hasLeft ? 0 : session.slot + 1

function putValue(column: AnyColumn, row: number, field: FieldTable, value: unknown): void {
  if (!ArrayBuffer.isView(column)) column.set(row, value)
  // Numbers wrap as JavaScript does; what is no bigint would throw without saying where.
  else if (column.constructor !== BigInt64Array && column.constructor !== BigUint64Array) (column as NumberArray)[row] = value as number
  else if (typeof value === 'bigint') column[row] = value
  else throw new KasagiError('bad-value', misfit(field, value))
}

/** The row is the youngest; one beyond those that are kept ends the oldest. Only now that nothing can refuse the new one any more. */
function takeAge(inside: Inside, ages: Ages, row: number): void {
  inside.born![row] = inside.nextOrder()
  enterRow(ages, row)
  if (inside.rows.size > inside.layout.table.keep!) despawn(inside, ages.oldest)
}

function despawn(inside: Inside, row: number): void {
  if (!isAlive(inside.rows, row)) return
  if (inside.idColumn !== undefined) inside.ids.delete(inside.idColumn.get(row) as string)
  if (inside.ages !== undefined) leaveRow(inside.ages, row)
  dropRow(inside.rows, row)
  inside.mark?.(row)
}

function rebuild(inside: Inside): void {
  inside.ids.clear()
  inside.grid?.invalidate()
  for (const values of inside.decoded) values.length = 0
  if (inside.ages !== undefined) sortRows(inside.ages, inside.rows, inside.born!)
  if (inside.idColumn === undefined) return
  for (let row = nextRow(inside.rows, 0); row >= 0; row = nextRow(inside.rows, row + 1)) {
    const id = inside.idColumn.get(row) as string
    if (id !== '') inside.ids.set(id, row)
  }
}

/** Rows that lived when the loop began and still live when they are reached. */
function* livingRows(rows: Rows): Generator<number> {
  const words = Math.ceil(rows.end / 32)
  if (words === 0) return
  const began = rows.alive.slice(0, words)
  for (let at = 0; at < words; at++) {
    for (let bits = began[at]; bits !== 0; bits &= bits - 1) {
      const bit = 31 - Math.clz32(bits & -bits)
      if ((rows.alive[at] >>> bit & 1) === 1) yield at * 32 + bit
    }
  }
}

/** A column of the engine's own tables. */
export const engineColumn = (table: AuthorTable, name: string): NumberArray => numberColumn(table.column(name))
export const engineText = (table: AuthorTable, name: string): Column<string> => table.column(name) as Column<string>
