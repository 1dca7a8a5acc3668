/** The field types that authors declare, and what TypeScript infers from them. Pure data: a field is an immutable description. */
import { rowsMax, quantizedStepsMax, textBytesMax } from '../base/limits.js'
import type { Audience, FieldTable } from './field-tables.js'

/** A field without its name, as a field table has it. */
export type FieldSpec = Omit<FieldTable, 'name'>

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
    default: (value: FieldTable['default']) => field<F>({ ...spec, default: value }),
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
export const i64: Field<bigint, BigInt64Array> = field({ kind: 'i64', audience: 'everyone', bytes: 8, liveBytes: 8, default: 0 })
export const u64: Field<bigint, BigUint64Array> = field({ kind: 'u64', audience: 'everyone', bytes: 8, liveBytes: 8, default: 0 })
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

/** UTF-8 of at most `maxBytes` bytes. Longer: throws for authors, refuses an input. */
export function text(maxBytes: number): Field<string> {
  if (!(Number.isInteger(maxBytes) && maxBytes >= 1 && maxBytes <= textBytesMax)) throw new RangeError(`text(${maxBytes}): 1 to ${textBytesMax} bytes`)
  const bytes = 2 + maxBytes + (maxBytes & 1)
  return field({ kind: 'text', audience: 'everyone', bytes, liveBytes: bytes, default: '', maxBytes })
}

/** One of 1 to 255 names; a byte on the wire. The first is the default. */
export function choice<const V extends readonly string[]>(...values: V): Field<V[number]> {
  if (values.length < 1 || values.length > 255 || new Set(values).size !== values.length) throw new RangeError('choice: 1 to 255 names, none twice')
  return field({ kind: 'choice', audience: 'everyone', bytes: 1, liveBytes: 1, default: values[0], choices: values })
}

/** A row of `table`: reads null once its target is despawned, or where its reader cannot see it. */
export const ref = <T extends string>(table: T): Field<Ref<T> | null> =>
  field({ kind: 'ref', audience: 'everyone', bytes: 8, liveBytes: 8, default: null, table })

/** Kinds that have their numbers already; `defineSchema` refuses them by name. */
export const json = <T>(maxBytes: number): Field<T> =>
  field({ kind: 'json', audience: 'everyone', bytes: maxBytes, liveBytes: maxBytes, default: null })
export const list = <T>(_item: Field<T, any>, max: number): Field<readonly T[]> =>
  field({ kind: 'list', audience: 'everyone', bytes: max, liveBytes: max, default: null })
export const optional = <T>(_field: Field<T, any>): Field<T | null> =>
  field({ kind: 'optional', audience: 'everyone', bytes: 1, liveBytes: 1, default: null })

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
  whenFull?: 'throw' | 'drop-oldest'
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
