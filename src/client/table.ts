/**
 * A client's replica of one table: wire values as they came, and beside them, where they differ, the values that authors read. Allocated at
 * declared capacity when the room is joined, so a captured column never goes stale: one that was captured before a newer version of the room made the
 * table larger has the rows that it has room for. Browser and Node.
 */
import { assert } from '../base/assert.js'
import { isSlot, type EntityTable, type FieldTable } from '../schema/field-tables.js'
import { dequantize } from '../schema/quantize.js'
import { unpackSlot } from '../wire/fields.js'

export type NumberArray = Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array | Float32Array | Float64Array

/** u64 and i64: bigints for authors. */
export type WideArray = BigInt64Array | BigUint64Array

export interface ReplicaColumn {
  readonly field: FieldTable
  /** Wire values of `field.bytes` each; texts as strings, other slots as their bytes. */
  wire: NumberArray | WideArray | string[] | Uint8Array[]
  /** What authors index: the same array, or the decoded one of a quantized field; of a slot what was decoded since it came, undefined before. */
  values: NumberArray | WideArray | string[] | unknown[]
  /** What authors may have captured of `values` when it was smaller. */
  readonly captured: ReplicaColumn['values'][]
  smoothing: Smoothing | undefined
}

/** Where a smoothed value came from and when it began to move, by row. */
export interface Smoothing { readonly from: Float64Array; readonly startMs: Float64Array }

export interface Replica {
  readonly table: EntityTable
  /** Rows that there is room for: as many as the own table declares, or the server's. */
  capacity: number
  alive: Uint8Array
  generation: Uint16Array
  readonly ids: string[]
  readonly byId: Map<string, number>
  readonly columns: readonly ReplicaColumn[]
  /** The same by the server's numbers; null is a field that this client does not know. */
  numbered: readonly (ReplicaColumn | null)[]
  /** Owner fields of rows that everybody sees: no part of a spawn, so a new row must not show its predecessor's. */
  readonly ownerColumns: readonly ReplicaColumn[]
  size: number
  end: number
  /** Rows of the frame that is being applied, for callbacks after it. */
  readonly spawned: Set<number>
  readonly despawned: Set<number>
  readonly changed: Map<number, Set<string>>
}

const arrays = {
  i8: Int8Array, u8: Uint8Array, i16: Int16Array, u16: Uint16Array, i32: Int32Array, u32: Uint32Array, f32: Float32Array, f64: Float64Array,
  i64: BigInt64Array, u64: BigUint64Array, bool: Uint8Array, choice: Uint8Array,
} as const

/** A slot that never came. */
const nothing = new Uint8Array(0)

/** Room for the values of so many rows: as they come, and as they are shown. */
function createValues(field: FieldTable, rows: number): Pick<ReplicaColumn, 'wire' | 'values'> {
  if (field.kind === 'text') {
    const texts = new Array<string>(rows).fill('')
    return { wire: texts, values: texts }
  }
  if (isSlot(field)) return { wire: new Array<Uint8Array>(rows).fill(nothing), values: new Array<unknown>(rows).fill(undefined) }
  if (field.kind === 'quantized') {
    const wire = field.bytes === 1 ? new Uint8Array(rows) : field.bytes === 2 ? new Uint16Array(rows) : new Uint32Array(rows)
    return { wire, values: new Float32Array(rows) }
  }
  // A ref is 8 bytes: two lanes a row.
  const wire = field.kind === 'ref' ? new Uint32Array(rows * 2) : new arrays[field.kind as keyof typeof arrays](rows)
  return { wire, values: wire }
}

export function createReplica(table: EntityTable): Replica {
  const columns = table.fields.map((field): ReplicaColumn => ({ field, ...createValues(field, table.capacity), captured: [], smoothing: undefined }))
  return {
    table, capacity: table.capacity, alive: new Uint8Array(table.capacity), generation: new Uint16Array(table.capacity), ids: [], byId: new Map(), columns, numbered: columns,
    ownerColumns: table.audience === 'everyone' ? columns.filter(({ field }) => field.audience === 'owner') : [],
    size: 0, end: 0, spawned: new Set(), despawned: new Set(), changed: new Map(),
  }
}

/**
 * The server's table has so many rows at most: makes room for them, and lets go of those that it cannot have. What grows grows to twice its size at
 * least, so that however often a server says so, what may have been captured is no more than what is there.
 */
export function fitReplica(replica: Replica, rows: number): void {
  for (let row = rows; row < replica.end; row++) despawnRow(replica, row)
  if (rows <= replica.capacity) return
  const capacity = replica.capacity = Math.max(rows, replica.capacity * 2)
  replica.alive = grown(replica.alive, new Uint8Array(capacity))
  replica.generation = grown(replica.generation, new Uint16Array(capacity))
  for (const column of replica.columns) {
    const { wire, values } = createValues(column.field, capacity)
    if (!isSlot(column.field)) column.captured.push(column.values)
    column.wire = grown(column.wire, wire)
    column.values = grown(column.values, values)
    if (column.smoothing !== undefined) startSmoothing(column)
  }
}

function grown<T extends ArrayLike<unknown>>(from: T, to: T): T {
  for (let at = 0; at < from.length; at++) (to as { [at: number]: unknown })[at] = from[at]
  return to
}

/** Columns captured before the table grew show what they have room for: a typed array ignores what is written behind its end. */
export function showCaptured({ captured, values }: ReplicaColumn, rows: Iterable<number>): void {
  for (const earlier of captured) for (const row of rows) (earlier as unknown[])[row] = values[row]
}

export function spawnRow(replica: Replica, row: number): void {
  if (replica.alive[row] === 0) replica.size++
  replica.alive[row] = 1
  replica.end = Math.max(replica.end, row + 1)
  replica.spawned.add(row)
  for (const column of replica.ownerColumns) {
    clearValue(column, row)
    showCaptured(column, [row])
  }
}

function clearValue({ field, wire, values, smoothing }: ReplicaColumn, row: number): void {
  if (smoothing !== undefined) smoothing.from[row] = NaN
  if (field.kind === 'text') { (wire as string[])[row] = ''; return }
  if (isSlot(field)) { putSlot(wire as Uint8Array[], values as unknown[], row, nothing); return }
  if (field.kind === 'u64' || field.kind === 'i64') { (wire as WideArray)[row] = 0n; return }
  const lanes = field.kind === 'ref' ? 2 : 1
  ;(wire as NumberArray).fill(0, row * lanes, (row + 1) * lanes)
  ;(values as NumberArray).fill(0, row * lanes, (row + 1) * lanes)
}

/** A slot's new bytes; what was decoded of the old ones is forgotten. */
export function putSlot(wire: Uint8Array[], values: unknown[], row: number, bytes: Uint8Array): void {
  wire[row] = bytes
  values[row] = undefined
}

/** A list, json or optional as authors see it: decoded once, and frozen. */
export function slotValue({ field, wire, values }: ReplicaColumn, row: number): unknown {
  const cache = values as unknown[]
  if (cache[row] !== undefined) return cache[row]
  const bytes = (wire as Uint8Array[])[row]
  const value = unpackSlot(field, new DataView(bytes.buffer, bytes.byteOffset), 0, bytes.length)
  assert(value !== undefined, `table: ${field.name} of row ${row} is no ${field.kind}`)
  return cache[row] = value
}

export function despawnRow(replica: Replica, row: number): void {
  if (replica.alive[row] === 0) return
  replica.alive[row] = 0
  replica.size--
  unnameRow(replica, row)
  if (!replica.spawned.delete(row)) replica.despawned.add(row)
  replica.changed.delete(row)
}

/** An id may have moved on to a row that came earlier in this frame or snapshot. */
function unnameRow({ byId, ids }: Replica, row: number): void {
  if (byId.get(ids[row]) === row) byId.delete(ids[row])
}

export function nameRow(replica: Replica, row: number, id: string): void {
  unnameRow(replica, row)
  replica.ids[row] = id
  if (id !== '') replica.byId.set(id, row)
}

/** Notes a changed field for the callbacks, and lets a smoothed value start from where it is shown now. */
export function touchRow(replica: Replica, column: ReplicaColumn, row: number, nowMs: number, intervalMs: number): void {
  const isNew = replica.spawned.has(row)
  if (!isNew) {
    const fields = replica.changed.get(row)
    if (fields === undefined) replica.changed.set(row, new Set([column.field.name]))
    else fields.add(column.field.name)
  }
  const { smoothing } = column
  if (smoothing === undefined) return
  smoothing.from[row] = isNew ? NaN : shownValue(column, row, nowMs, intervalMs)
  smoothing.startMs[row] = nowMs
}

/** The value between the last one and the one before, one flush interval behind; a new row starts at its value. */
export function shownValue(column: ReplicaColumn, row: number, nowMs: number, intervalMs: number): number {
  const to = (column.values as NumberArray)[row]
  if (column.smoothing === undefined) return to
  const from = column.smoothing.from[row], part = (nowMs - column.smoothing.startMs[row]) / intervalMs
  return Number.isNaN(from) || part >= 1 ? to : from + (to - from) * Math.max(0, part)
}

export function startSmoothing(column: ReplicaColumn): void {
  const rows = column.values.length
  column.smoothing = { from: new Float64Array(rows).fill(NaN), startMs: new Float64Array(rows) }
}

/** Copies decoded values of quantized rows. */
export function decodeRow(column: ReplicaColumn, row: number): void {
  if (column.field.kind === 'quantized') (column.values as NumberArray)[row] = dequantize(column.field, (column.wire as NumberArray)[row])
}
