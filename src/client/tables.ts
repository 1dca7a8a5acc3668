/** Tables and globals as client authors read them, over replicas. Browser and Node. */
import type { Column, Fields, Ref, TableDef, Values } from '../schema/fields.js'
import { shownValue, slotValue, startSmoothing, type NumberArray, type Replica, type ReplicaColumn, type WideArray } from './table.js'

export type Off = () => void

/**
 * A table: columns under the fields' names, and the members below. Nothing of it can be written. A column of numbers is a longer array once a newer version
 * of the room has made the table larger; one that was captured before shows the rows that it has room for.
 */
export type ClientTable<F extends Fields> = { readonly [K in keyof F]: Readonly<F[K]['$']['column']> } & {
  readonly size: number
  /** The row of this session's own entity, in the schema's `player` table. */
  readonly mine: number | undefined
  rows(): Iterable<number>
  at(row: number): Readonly<Values<F>>
  get(id: string): Readonly<Values<F>> | undefined
  /** The row of a ref; undefined once it is despawned, or where this client cannot see it. */
  row(ref: Ref | null): number | undefined
  /** A number between its last two values, one flush interval behind: what to draw. */
  smooth(row: number, field: keyof F): number
  onSpawned(callback: (row: number) => void): Off
  onChanged(callback: (row: number, fields: ReadonlySet<keyof F>) => void): Off
  onDespawned(callback: (row: number) => void): Off
}

export type ClientTables<T> = { readonly [K in keyof T]: T[K] extends TableDef<infer F> ? ClientTable<F> : never }

/** What a table needs of its room. */
export interface TableContext {
  readonly nowMs: () => number
  readonly intervalMs: () => number
  mine(): number | undefined
  replica(table: string): Replica | undefined
}

export interface TableCallbacks {
  readonly spawned: Set<(row: number) => void>
  readonly changed: Set<(row: number, fields: ReadonlySet<string>) => void>
  readonly despawned: Set<(row: number) => void>
}

export const createCallbacks = (): TableCallbacks => ({ spawned: new Set(), changed: new Set(), despawned: new Set() })

export const subscribe = <F>(to: Set<F>, callback: F): Off => {
  to.add(callback)
  return () => { to.delete(callback) }
}

const low32 = 0x1_0000_0000

/** True if the ref's row lives here with that generation. */
export const refersTo = (replica: Replica | undefined, ref: number): boolean =>
  replica !== undefined && replica.alive[ref % low32] === 1 && replica.generation[ref % low32] === Math.floor(ref / low32)

export function createClientTable(replica: Replica, callbacks: TableCallbacks, context: TableContext): Record<string, unknown> {
  const views: (object | undefined)[] = []
  const prototype = createRowPrototype(replica, context)
  const at = (row: number): object => {
    if (replica.alive[row] !== 1) throw new RangeError(`${replica.table.name}: no row ${row}`)
    return views[row] ??= Object.create(prototype, { row: { value: row, enumerable: true } }) as object
  }
  const columnOf = (field: string): ReplicaColumn => {
    const column = replica.columns.find((entry) => entry.field.name === field)
    if (column === undefined || notSmooth.has(column.field.kind)) throw new TypeError(`${replica.table.name}: ${field} is no number`)
    return column
  }
  const members = {
    get size() { return replica.size },
    get mine() { return context.mine() },
    rows: () => livingRows(replica),
    at,
    get: (id: string) => { const row = replica.byId.get(id); return row === undefined ? undefined : at(row) },
    row: (ref: number | null) => ref !== null && refersTo(replica, ref) ? ref % low32 : undefined,
    smooth: (row: number, field: string) => {
      const column = columnOf(field)
      if (column.smoothing === undefined) startSmoothing(column)
      return shownValue(column, row, context.nowMs(), context.intervalMs())
    },
    onSpawned: (callback: (row: number) => void) => subscribe(callbacks.spawned, callback),
    onChanged: (callback: (row: number, fields: ReadonlySet<string>) => void) => subscribe(callbacks.changed, callback),
    onDespawned: (callback: (row: number) => void) => subscribe(callbacks.despawned, callback),
  }
  for (const column of replica.columns) Object.defineProperty(members, column.field.name, { get: publicColumn(column, context), enumerable: true })
  return members
}

const readThroughGet: ReadonlySet<string> = new Set(['bool', 'choice', 'text', 'ref', 'list', 'json', 'optional'])
const notSmooth: ReadonlySet<string> = new Set([...readThroughGet, 'u64', 'i64'])

/** Gives the column: of numbers the typed array itself, which is another once the table has grown; all else reads through `get`. */
function publicColumn(column: ReplicaColumn, context: TableContext): () => NumberArray | WideArray | Pick<Column<unknown>, 'get'> {
  const reader = { get: (row: number) => readValue(column, row, context) }
  return readThroughGet.has(column.field.kind) ? () => reader : () => column.values as NumberArray
}

/** One value as authors see it. */
export function readValue(column: ReplicaColumn, row: number, context: TableContext): unknown {
  const { field, values } = column
  switch (field.kind) {
    case 'bool': return values[row] === 1
    case 'choice': return field.choices![values[row] as number]
    case 'list': case 'json': case 'optional': return slotValue(column, row)
    case 'ref': {
      const low = values[row * 2] as number, high = values[row * 2 + 1] as number
      const ref = (high & 0xffff) * low32 + low
      return high >>> 16 === 1 && refersTo(context.replica(field.table!), ref) ? ref : null
    }
    default: return values[row]
  }
}

function createRowPrototype(replica: Replica, context: TableContext): object {
  const prototype = {}
  for (const column of replica.columns) {
    Object.defineProperty(prototype, column.field.name, {
      enumerable: true, get(this: { row: number }) { return readValue(column, this.row, context) },
    })
  }
  Object.defineProperty(prototype, 'id', { get(this: { row: number }) { return replica.ids[this.row] || undefined } })
  return prototype
}

function* livingRows(replica: Replica): Generator<number> {
  for (let row = 0; row < replica.end; row++) if (replica.alive[row] === 1) yield row
}

/** Globals are row 0 of a table that always lives. */
export function createGlobals(replica: Replica, context: TableContext): object {
  const globals = {}
  for (const column of replica.columns) {
    Object.defineProperty(globals, column.field.name, { enumerable: true, get: () => readValue(column, 0, context) })
  }
  return globals
}
