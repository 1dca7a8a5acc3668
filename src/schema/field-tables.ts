/**
 * Field tables: a schema as plain data. What a room's layout, its wire format and its catalog are computed from, on every thread and
 * in the browser. No behaviour here, no imports: the numbers below stand in released frames and snapshots and never change meaning.
 */

/** The wire kinds. List, json, optional, u64 and i64 have their numbers already. */
export const kinds = {
  u8: 1, i8: 2, u16: 3, i16: 4, u32: 5, i32: 6, f32: 7, f64: 8, u64: 9, i64: 10,
  bool: 11, choice: 12, quantized: 13, text: 14, ref: 15, list: 16, json: 17, optional: 18,
} as const
export type KindName = keyof typeof kinds

export const audiences = ['everyone', 'owner', 'server'] as const
export type Audience = (typeof audiences)[number]

export interface FieldTable {
  readonly name: string
  readonly kind: KindName
  readonly audience: Audience
  /** Bytes of one committed value. text: 2 (length) + declared bytes, rounded up to a multiple of 2. ref: 8 (row u32, generation u16, present u16). quantized: 1, 2 or 4. */
  readonly bytes: number
  /** Bytes of one live value: quantized is f32 (4), all others as committed. */
  readonly liveBytes: number
  readonly default: number | string | boolean | null
  /** quantized: value = min + wire * step; wire is 0 … steps. */
  readonly min?: number
  readonly step?: number
  readonly steps?: number
  /** text: most UTF-8 bytes. */
  readonly maxBytes?: number
  /** choice: the names, in order of their wire value. */
  readonly choices?: readonly string[]
  /** Who owns the row: fixed at spawn until that session leaves, so flushes compare it only then. */
  readonly isOwner?: boolean
  /** Its values come through the journal, which bounds how many bytes of them one flush can hold. */
  readonly isJournaled?: boolean
  /** ref: the table it points into. */
  readonly table?: string
}

export interface EntityTable {
  readonly name: string
  /** Rows at most. Layouts pad it to a multiple of 64. */
  readonly capacity: number
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
