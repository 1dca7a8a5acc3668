/** Values for readers without a schema: as JSON would have them, but for bigints, which stay. Main thread. */
import { generationField, idField, isSlot, type FieldSpec, type FieldTable } from '../schema/field-tables.js'
import type { WordViews } from './envelope.js'
import { unpackSlot, unpackValue } from './fields.js'
import type { ColumnRef } from './section-rows.js'

const low32 = 0x1_0000_0000

/** A ref names row and generation; what is no number, as JSON has it, is null. */
export function plainValue(field: FieldSpec, value: unknown): unknown {
  if (value === null || value === undefined) return null
  switch (field.kind) {
    case 'ref': return { row: value as number % low32, generation: Math.floor(value as number / low32) }
    case 'list': return (value as readonly unknown[]).map((item) => plainValue(field.item!, item))
    case 'optional': return plainValue(field.item!, value)
    default: return typeof value === 'number' && !Number.isFinite(value) ? null : value
  }
}

/** Texts' own bytes, for the ids of rows: a text field without a table. */
const idText: FieldSpec = { kind: 'text', audience: 'everyone', bytes: 2, liveBytes: 2, default: '', maxBytes: 0xffff }

/** The name of a column's values, and the values of `count` rows; undefined for a field that these do not have. */
export function readColumn({ u8, u16 }: WordViews, { field: number, at, bytes }: ColumnRef, count: number, fields: readonly FieldTable[]): { readonly name: string; readonly values: unknown[] } | undefined {
  if (number === generationField) return { name: '$generation', values: [...u16.subarray(at >>> 1, (at >>> 1) + count)] }
  const isId = number === idField, field = isId ? idText : fields[number]
  if (field === undefined) return undefined
  const source = new DataView(u8.buffer, u8.byteOffset, at + bytes), values: unknown[] = []
  for (let n = 0, from = at + count * 2; n < count; n++) {
    const length = isSlot(field) ? u16[(at >>> 1) + n] : 0
    values.push(plainValue(field, isSlot(field) ? unpackSlot(field, source, from, length) : unpackValue(field, source, at + n * field.bytes)))
    from += length
  }
  return { name: isId ? 'id' : fields[number].name, values }
}
