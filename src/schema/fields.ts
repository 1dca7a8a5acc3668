/** The field types that authors declare, and what TypeScript infers from them. Pure data: a field is an immutable description. */
import { rowsMax, quantizedStepsMax, slotBytesMax, textBytesMax } from '../base/limits.js'
import { isSlot, type Audience, type FieldSpec, type FieldTable } from './field-tables.js'
import { plainOf } from './values.js'

/** Everything but plain numbers is read and written through get and set. */
export interface Column<T> { get(row: number): T; set(row: number, value: T): void }

/** `T`: what a value is; `C`: what its column is. */
export interface Field<T, C = Column<T>> {
  /** The value of a new row that names none. */
  default(value: T): this
  /** Who sees it: `everyone` (default), `owner` (the session that owns the row), `server` (nobody outside). */
  to(who: Audience): this
  /** Types only; never there at run time. */
  readonly $: { value: T; column: C }
  readonly spec: FieldSpec
}

/** Row and generation: null once its target is despawned. */
export type Ref<T extends string = string> = number & { readonly $ref: T }

type Num<A> = Field<number, A>

function field<F>(spec: FieldSpec): F {
  const made = {
    spec: Object.freeze(spec),
    default: (value: unknown) => field<F>({ ...spec, default: plainOf(spec, value) }),
    to: (audience: Audience) => field<F>({ ...spec, audience }),
  }
  return Object.freeze(made) as unknown as F
}

const number = <A>(kind: FieldTable['kind'], bytes: number): Num<A> =>
  field({ kind, audience: 'everyone', bytes, liveBytes: bytes, default: 0 })

export const i8 = number<Int8Array>('i8', 1), u8 = number<Uint8Array>('u8', 1)
export const i16 = number<Int16Array>('i16', 2), u16 = number<Uint16Array>('u16', 2)
export const i32 = number<Int32Array>('i32', 4), u32 = number<Uint32Array>('u32', 4)
export const f32 = number<Float32Array>('f32', 4), f64 = number<Float64Array>('f64', 8)
export const i64: Field<bigint, BigInt64Array> = field({ kind: 'i64', audience: 'everyone', bytes: 8, liveBytes: 8, default: '0' })
export const u64: Field<bigint, BigUint64Array> = field({ kind: 'u64', audience: 'everyone', bytes: 8, liveBytes: 8, default: '0' })
export const bool: Field<boolean> = field({ kind: 'bool', audience: 'everyone', bytes: 1, liveBytes: 1, default: false })

/**
 * A number in steps of `step` between `min` and `max`: f32 for authors, 1, 2 or 4 bytes on the wire and in committed state. Out of range is
 * clamped, NaN becomes `min`; both are counted. State that must be exact is not quantized.
 */
export function quantized(min: number, max: number, step: number): Num<Float32Array> {
  const steps = Math.round((max - min) / step)
  if (!(min < max && step > 0 && steps >= 1 && steps <= quantizedStepsMax)) {
    throw new RangeError(`quantized(${min}, ${max}, ${step}): needs min < max and 1 to ${quantizedStepsMax} steps`)
  }
  const bytes = steps <= 255 ? 1 : steps <= 65535 ? 2 : 4
  return field({ kind: 'quantized', audience: 'everyone', bytes, liveBytes: 4, default: min, min, step, steps })
}

/** A field kept in slots of `maxBytes` bytes behind their length. */
function slot<F>(what: string, kind: FieldSpec['kind'], maxBytes: number, first: FieldSpec['default'], more: Pick<FieldSpec, 'max' | 'item'> = {}): F {
  const bytes = 2 + maxBytes + (maxBytes & 1)
  if (bytes > slotBytesMax) throw new RangeError(`${what}: takes up to ${bytes} bytes a row, and ${slotBytesMax} are the most; big ones are tables of their own`)
  return field({ kind, audience: 'everyone', bytes, liveBytes: bytes, default: first, maxBytes, ...more })
}

/** UTF-8 of at most `maxBytes` bytes. Longer: throws for authors, refuses an input. */
export function text(maxBytes: number): Field<string> {
  if (!(Number.isInteger(maxBytes) && maxBytes >= 1 && maxBytes <= textBytesMax)) throw new RangeError(`text(${maxBytes}): 1 to ${textBytesMax} bytes`)
  return slot(`text(${maxBytes})`, 'text', maxBytes, '')
}

/** One of 1 to 255 names; a byte on the wire. The first is the default. */
export function choice<const V extends readonly string[]>(...values: V): Field<V[number]> {
  if (values.length < 1 || values.length > 255 || new Set(values).size !== values.length) throw new RangeError('choice: 1 to 255 names, none twice')
  return field({ kind: 'choice', audience: 'everyone', bytes: 1, liveBytes: 1, default: values[0], choices: values })
}

/** A row of `table`: reads null once its target is despawned, or where its reader cannot see it. */
export const ref = <T extends string>(table: T): Field<Ref<T> | null> =>
  field({ kind: 'ref', audience: 'everyone', bytes: 8, liveBytes: 8, default: null, table })

/** Whatever JSON can say, in at most `maxBytes` bytes of it. The way out where nothing else fits: replaced as a whole, and null until it is set. */
export function json<T>(maxBytes: number): Field<T> {
  if (!(Number.isInteger(maxBytes) && maxBytes >= 4 && maxBytes <= slotBytesMax - 2)) throw new RangeError(`json(${maxBytes}): 4 to ${slotBytesMax - 2} bytes`)
  return slot(`json(${maxBytes})`, 'json', maxBytes, null)
}

/** Bytes of a packed value at most. */
const packedMax = (spec: FieldSpec): number =>
  !isSlot(spec) ? spec.bytes : spec.kind === 'text' || spec.kind === 'json' ? 2 + spec.maxBytes! : spec.maxBytes!

/** At most `max` items, replaced as a whole; what grows or changes often is a table of its own. */
export function list<T>(item: Field<T, any>, max: number): Field<readonly T[]> {
  if (!(Number.isInteger(max) && max >= 1 && max <= slotBytesMax)) throw new RangeError(`list(${item.spec.kind}, ${max}): 1 to ${slotBytesMax} items`)
  return slot(`list(${item.spec.kind}, ${max})`, 'list', 2 + max * packedMax(item.spec), [], { max, item: item.spec })
}

/** A value or null, and null until it is set. */
export const optional = <T>(inner: Field<T, any>): Field<T | null> =>
  slot(`optional(${inner.spec.kind})`, 'optional', 1 + packedMax(inner.spec), null, { item: inner.spec })

// A column's type is read back by inference alone, so any column fits here.
export type AnyField = Field<any, any>
export type Fields = Record<string, AnyField>
export type Values<F> = [F] extends [Fields] ? { -readonly [K in keyof F]: F[K]['$']['value'] } : {}

export interface TableOptions<F> {
  /** Rows at most, 1 to 2^20; reserved when a room opens. */
  capacity: number
  /** Who sees the rows; fields may narrow it, not widen it. */
  to?: Audience
  /** Rows may have ids: `spawn(values, { id })`, `get(id)`. */
  ids?: boolean
  /** What a spawn into a full table does: throw `table-full` (default), or despawn the row that was spawned first. */
  whenFull?: 'throw' | 'drop-oldest'
  /**
   * How changes are found. `scan` (default): every flush compares all rows, whatever wrote them. `touch`: only what was marked, which a large table that is mostly
   * quiet wants: whoever writes a number's column says `touch(row)`; row views, setters and spawn do so by themselves. It is about this code alone: neither clients nor
   * other instances know.
   */
  track?: 'scan' | 'touch'
  /** Lets `near` find rows by position, in cells of this size. */
  grid?: { x: keyof F; y: keyof F; cell: number }
}

export interface TableDef<F extends Fields = Fields> { readonly fields: F; readonly options: TableOptions<F> }

/** A table of entities. */
export function table<F extends Fields>(fields: F, options: TableOptions<F>): TableDef<F> {
  if (!(Number.isInteger(options.capacity) && options.capacity >= 1 && options.capacity <= rowsMax)) {
    throw new RangeError(`table: capacity ${options.capacity} is not within 1 to ${rowsMax}`)
  }
  return Object.freeze({ fields: Object.freeze({ ...fields }), options: Object.freeze({ ...options }) })
}

export interface Shape {
  globals?: Fields
  // A table's grid names its own fields, so tables of different fields have no common type but this.
  tables?: Record<string, TableDef<any>>
  inputs?: Record<string, Fields>
  events?: Record<string, Fields>
  options?: Fields
  join?: Fields
  listing?: Fields
  view?: { reach: number }
  /** The table that `session.row` and `mine` speak of. */
  player?: string
}

export type Schema<N extends string = string, S extends Shape = Shape> = S & { readonly name: N }
