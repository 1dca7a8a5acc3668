/**
 * Field tables: a schema as plain data. What a room's layout, its wire format and its catalog are computed from, on every thread and
 * in the browser. No imports: the numbers below stand in released frames and snapshots and never change meaning.
 */

/** The wire kinds. */
export const kinds = {
  u8: 1, i8: 2, u16: 3, i16: 4, u32: 5, i32: 6, f32: 7, f64: 8, u64: 9, i64: 10,
  bool: 11, choice: 12, quantized: 13, text: 14, ref: 15, list: 16, json: 17, optional: 18,
} as const
export type KindName = keyof typeof kinds

export const audiences = ['everyone', 'owner', 'server'] as const
export type Audience = (typeof audiences)[number]

/** What field tables say as JSON. */
export type Plain = number | string | boolean | null | readonly Plain[] | { readonly [key: string]: Plain }

export interface FieldTable {
  readonly name: string
  readonly kind: KindName
  readonly audience: Audience
  /** Bytes of one committed value. Slots: 2 (length) + maxBytes, rounded up to a multiple of 2. ref: 8 (row u32, generation u16, present u16). quantized: 1, 2 or 4. */
  readonly bytes: number
  /** Bytes of one live value: quantized is f32 (4), all others as committed. */
  readonly liveBytes: number
  /** The value of a new row that names none, as JSON has it: u64 and i64 in decimal. `defaultOf` gives it as authors see it. */
  readonly default: Plain
  /** quantized: value = min + wire * step; wire is 0 … steps. */
  readonly min?: number
  readonly step?: number
  readonly steps?: number
  /** Slots only, see {@link isSlot}: most bytes behind the length. */
  readonly maxBytes?: number
  /** list: most items. */
  readonly max?: number
  /** list: what each item is; optional: what is there, if it is. */
  readonly item?: FieldSpec
  /** choice: the names, in order of their wire value. */
  readonly choices?: readonly string[]
  /** Who owns the row: fixed at spawn until that session leaves, so flushes compare it only then. */
  readonly isOwner?: boolean
  /** Its values come through the journal, which bounds how many bytes of them one flush can hold. */
  readonly isJournaled?: boolean
  /** Fixed at spawn: flushes never compare it. */
  readonly isFixed?: boolean
  /** ref: the table it points into. */
  readonly table?: string
}

/** A field without its name. */
export type FieldSpec = Omit<FieldTable, 'name'>

/**
 * Text, list, json and optional: a u16 length and up to `maxBytes` bytes, live and committed alike. Setters mark the row; a flush compares
 * marked rows only.
 */
export const isSlot = (field: FieldSpec): boolean => field.maxBytes !== undefined

export interface EntityTable {
  readonly name: string
  /** Rows at most. Layouts pad it to a multiple of 64. */
  readonly capacity: number
  /**
   * `whenFull: 'drop-oldest'`: so many rows live at most, a spawn beyond ends the oldest. `capacity` is twice as much and one, because a number that clients know is
   * not given out again before its despawn was flushed.
   */
  readonly keep?: number
  readonly audience: Audience
  readonly ids: boolean
  readonly grid?: { readonly x: string; readonly y: string; readonly cell: number }
  readonly fields: readonly FieldTable[]
}

/** Inputs, events: a name and packed fields. */
export interface MessageTable { readonly name: string; readonly fields: readonly FieldTable[] }

/** Public field tables: what clients know. `tables[0]` is `$globals`, one row that always lives. Wire numbers are indices. */
export interface PublicTables {
  readonly name: string
  readonly player?: string
  readonly tables: readonly EntityTable[]
  readonly inputs: readonly MessageTable[]
  readonly events: readonly MessageTable[]
  readonly join: readonly FieldTable[]
}

/** Full field tables: with server fields and server tables, and the engine's own `$` tables behind the author's. */
export interface FullTables extends PublicTables {
  readonly options: readonly FieldTable[]
  readonly listing: readonly FieldTable[]
}

/** The wire numbers of the two columns that every spawned row has beside its fields. */
export const generationField = 65535
export const idField = 65534
