/** Columns of a table over live memory: typed arrays for numbers, get and set for all else. Worker thread. */
import { KasagiError } from '../src/base/errors.js'
import type { Arena } from '../src/memory/arena.js'
import type { ColumnLayout, TableLayout } from '../src/memory/room-layout.js'
import { generationOfRef, packRef, rowOfRef } from '../src/memory/rows.js'
import type { Column } from '../src/schema/index.js'

export type NumberArray =
  Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array | Float32Array | Float64Array

/** Tells whether the row that a ref was made for still lives. */
export type IsCurrent = (table: string, ref: number) => boolean

/** The typed array behind a column that is one. */
export const numberColumn = (column: unknown): NumberArray => column as NumberArray

const arrays = {
  i8: Int8Array, u8: Uint8Array, i16: Int16Array, u16: Uint16Array, i32: Int32Array, u32: Uint32Array, f32: Float32Array, f64: Float64Array,
  quantized: Float32Array,
} as const

/** The column of one field. Never moves while the room is open. */
export function createColumn(arena: Arena, table: TableLayout, column: ColumnLayout, isCurrent: IsCurrent): NumberArray | Column<unknown> {
  const { field, live } = column
  switch (field.kind) {
    case 'bool': return boolColumn(arena, column)
    case 'choice': return choiceColumn(arena, column)
    case 'ref': return refColumn(arena, column, isCurrent)
    case 'text': return textColumn(arena, column)
    default: {
      const make = arrays[field.kind as keyof typeof arrays]
      if (make === undefined) throw new TypeError(`${table.table.name}.${field.name}: ${field.kind} is not supported by this version`)
      return new make(arena.buffer as ArrayBuffer, live, table.rows)
    }
  }
}

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
      if (index < 0) throw new KasagiError('bad-value', `${field.name}: ${JSON.stringify(value)} is none of ${choices.join(', ')}`)
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

/** Text: a slot of a u16 length and the declared bytes. The setter marks the row; flushes look at marked rows only. */
function textColumn(arena: Arena, { live, marked, field }: ColumnLayout): Column<unknown> {
  const { u16, u32 } = arena
  const bytes = Buffer.from(arena.buffer as ArrayBuffer)
  return {
    get: (row) => {
      const slot = live + row * field.bytes
      return bytes.toString('utf8', slot + 2, slot + 2 + u16[slot >>> 1])
    },
    set: (row, value) => {
      const text = value as string
      const length = Buffer.byteLength(text)
      if (length > field.maxBytes!) throw new KasagiError('bad-value', `${field.name}: ${length} bytes of text, at most ${field.maxBytes}`)
      const slot = live + row * field.bytes
      bytes.write(text, slot + 2, length, 'utf8')
      u16[slot >>> 1] = length
      u32[(marked >>> 2) + (row >>> 5)] |= 1 << (row & 31)
    },
  }
}
