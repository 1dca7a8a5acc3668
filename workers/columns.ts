/** Columns of a table over live memory: typed arrays for numbers, get and set for all else. Worker thread. */
import { assert } from '../src/base/assert.js'
import { KasagiError } from '../src/base/errors.js'
import { slotBytesMax } from '../src/base/limits.js'
import type { Arena } from '../src/memory/arena.js'
import type { ColumnLayout, TableLayout } from '../src/memory/room-layout.js'
import { generationOfRef, packRef, rowOfRef } from '../src/memory/rows.js'
import type { FieldTable } from '../src/schema/field-tables.js'
import type { Column } from '../src/schema/index.js'
import { fits, misfit } from '../src/schema/values.js'
import { packSlot, unpackSlot } from '../src/wire/fields.js'

export type NumberArray =
  Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array | Float32Array | Float64Array

/** Tells whether the row that a ref was made for still lives. */
export type IsCurrent = (table: string, ref: number) => boolean

/** u64 and i64: bigints for authors. */
export type WideArray = BigInt64Array | BigUint64Array

export type AnyColumn = NumberArray | WideArray | Column<unknown>

/** The typed array behind a column that is one of numbers. */
export const numberColumn = (column: unknown): NumberArray => column as NumberArray

const arrays = {
  i8: Int8Array, u8: Uint8Array, i16: Int16Array, u16: Uint16Array, i32: Int32Array, u32: Uint32Array, f32: Float32Array, f64: Float64Array,
  i64: BigInt64Array, u64: BigUint64Array, quantized: Float32Array,
} as const

/** The column of one field. Never moves while the room is open. `decoded`: what was read of its slots, by row; to be emptied when they are written past the setter. */
export function createColumn(arena: Arena, table: TableLayout, column: ColumnLayout, isCurrent: IsCurrent, decoded: unknown[] = []): AnyColumn {
  const { field, live } = column
  switch (field.kind) {
    case 'bool': return boolColumn(arena, column)
    case 'choice': return choiceColumn(arena, column)
    case 'ref': return refColumn(arena, column, isCurrent)
    case 'text': return textColumn(arena, column)
    case 'list': case 'json': case 'optional': return packedColumn(arena, column, decoded)
    default: return new arrays[field.kind](arena.buffer as ArrayBuffer, live, table.rows)
  }
}

/** Numbers are plain arrays; all else goes through get and set. */
export const hasSetter = ({ kind }: FieldTable): boolean => !(kind in arrays)

const boolColumn = ({ u8 }: Arena, { live }: ColumnLayout): Column<unknown> => ({
  get: (row) => u8[live + row] !== 0,
  set: (row, value) => { u8[live + row] = value === true ? 1 : 0 },
})

function choiceColumn({ u8 }: Arena, { live, field }: ColumnLayout): Column<unknown> {
  const choices = field.choices!
  return {
    get: (row) => choices[u8[live + row]],
    set: (row, value) => {
      const index = choices.indexOf(value as string)
      if (index < 0) throw new KasagiError('bad-value', misfit(field, value))
      u8[live + row] = index
    },
  }
}

/** A ref is 8 bytes: row, generation, present. It reads null once its target is gone. */
function refColumn({ u32, u16 }: Arena, { live, field }: ColumnLayout, isCurrent: IsCurrent): Column<unknown> {
  return {
    get: (row) => {
      const at = live + row * 8
      if (u16[(at + 6) >>> 1] === 0) return null
      const ref = packRef(u32[at >>> 2], u16[(at + 4) >>> 1])
      return isCurrent(field.table!, ref) ? ref : null
    },
    set: (row, value) => {
      const at = live + row * 8
      const ref = value as number | null
      u32[at >>> 2] = ref === null ? 0 : rowOfRef(ref)
      u16[(at + 4) >>> 1] = ref === null ? 0 : generationOfRef(ref)
      u16[(at + 6) >>> 1] = ref === null ? 0 : 1
    },
  }
}

/** Text: a slot of UTF-8. The setter marks the row; flushes look at marked rows only. */
function textColumn(arena: Arena, { live, marked, field }: ColumnLayout): Column<unknown> {
  const { u16, u32 } = arena
  const bytes = Buffer.from(arena.buffer as ArrayBuffer)
  return {
    get: (row) => {
      const slot = live + row * field.bytes
      return bytes.toString('utf8', slot + 2, slot + 2 + u16[slot >>> 1])
    },
    set: (row, value) => {
      const length = typeof value === 'string' ? Buffer.byteLength(value) : Infinity
      if (length > field.maxBytes!) throw new KasagiError('bad-value', misfit(field, value))
      const slot = live + row * field.bytes
      bytes.write(value as string, slot + 2, length, 'utf8')
      u16[slot >>> 1] = length
      u32[(marked >>> 2) + (row >>> 5)] |= 1 << (row & 31)
    },
  }
}

/** Where a value is packed before it takes its slot's place: one whose packing throws leaves the slot as it was. */
const packed = new Uint8Array(slotBytesMax), packedView = new DataView(packed.buffer)

/**
 * List, json, optional: a slot of packed bytes, replaced as a whole. What is read is decoded once until it is set again, and frozen, so that
 * nobody changes a value that is no longer the room's.
 */
function packedColumn(arena: Arena, { live, marked, field }: ColumnLayout, decoded: unknown[]): Column<unknown> {
  const { u8, u16, u32, packed: view } = arena
  return {
    get: (row) => {
      if (decoded[row] !== undefined) return decoded[row]
      const slot = live + row * field.bytes
      const value = unpackSlot(field, view, slot + 2, u16[slot >>> 1])
      assert(value !== undefined, 'columns: a slot holds what was set')
      return decoded[row] = value
    },
    set: (row, value) => {
      if (!fits(field, value)) throw new KasagiError('bad-value', misfit(field, value))
      const length = packSlot(field, value, packedView, 0)
      assert(length <= field.maxBytes!, 'columns: what fits is packed into its slot')
      const slot = live + row * field.bytes
      for (let byte = 0; byte < length; byte++) u8[slot + 2 + byte] = packed[byte]
      u16[slot >>> 1] = length
      u32[(marked >>> 2) + (row >>> 5)] |= 1 << (row & 31)
      decoded[row] = undefined
    },
  }
}
