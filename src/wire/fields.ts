/**
 * Packed fields: inputs, events and join data; and what stands in slots. One writer and one reader; in declaration order, little-endian, no
 * padding. Any thread, browser.
 *
 *   numbers raw · quantized its step's number in 1, 2 or 4 bytes · bool and choice u8 · text u16 length, UTF-8 · ref u32 row, u16 generation, u16 present
 *   json u16 length, UTF-8 · list u16 count, the items packed · optional u8 0, or u8 1 and the value packed
 *
 * A slot has a length of its own in front, so text and json stand in it without theirs, and an optional that is null as no bytes at all.
 */
import { KasagiError } from '../base/errors.js'
import { isSlot, type FieldSpec, type FieldTable } from '../schema/field-tables.js'
import { dequantize, quantize } from '../schema/quantize.js'
import { defaultOf, fits, frozen, isShallow, jsonOf, misfit } from '../schema/values.js'

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const low32 = 0x1_0000_0000

/** Bytes that `fields` can take at most. */
export const packedBytesMax = (fields: readonly FieldTable[]): number => fields.reduce((sum, field) => sum + field.bytes, 0)

/** Packs `values`; fields that it does not name take their defaults. Throws KasagiError('bad-input') that names the field. */
export function packToBytes(fields: readonly FieldTable[], values: Readonly<Record<string, unknown>>): Uint8Array {
  const bytes = new Uint8Array(packedBytesMax(fields))
  return bytes.subarray(0, packFields(fields, values, new DataView(bytes.buffer), 0))
}

/** What is asked of a room's listing: a bitmap of the fields that matter, then those packed. */
export function packMatch(fields: readonly FieldTable[], match: Readonly<Record<string, unknown>>): Uint8Array {
  for (const name of Object.keys(match)) if (!fields.some((field) => field.name === name)) throw new KasagiError('bad-input', `match: the listing has no field ${name}`)
  const asked = fields.filter(({ name }) => match[name] !== undefined)
  if (asked.length === 0) return new Uint8Array(0)
  const values = packToBytes(asked, match), bitmapBytes = Math.ceil(fields.length / 8)
  const bytes = new Uint8Array(bitmapBytes + values.length)
  fields.forEach((field, index) => { if (asked.includes(field)) bytes[index >>> 3] |= 1 << (index & 7) })
  bytes.set(values, bitmapBytes)
  return bytes
}

/** Reads a match from bytes that may be hostile; undefined if they are none. Never throws. */
export function unpackMatch(fields: readonly FieldTable[], bytes: Uint8Array): Record<string, unknown> | undefined {
  const bitmapBytes = Math.ceil(fields.length / 8)
  if (bytes.length === 0) return {}
  if (bytes.length < bitmapBytes) return undefined
  const asked = fields.filter((_, index) => (bytes[index >>> 3] >>> (index & 7) & 1) === 1)
  return unpackFields(asked, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), bitmapBytes, bytes.length)
}

/** Packs into `target` at `at`; returns the end. */
export function packFields(fields: readonly FieldTable[], values: Readonly<Record<string, unknown>>, target: DataView, at: number): number {
  for (const field of fields) {
    const given = values[field.name], value = given === undefined ? defaultOf(field) : given
    if (!fits(field, value)) throw new KasagiError('bad-input', misfit(field, value))
    at = pack(field, value, target, at)
  }
  return at
}

/** Writes what stands in the field's slot behind the length, and returns the end. The value fits. */
export function packSlot(field: FieldSpec, value: unknown, target: DataView, at: number): number {
  if (field.kind === 'text' || field.kind === 'json') return putBytes(textOf(field, value), target, at)
  return field.kind === 'optional' && value === null ? at : pack(field, value, target, at)
}

const textOf = (field: FieldSpec, value: unknown): Uint8Array => encoder.encode(field.kind === 'text' ? value as string : jsonOf(value))

function putBytes(bytes: Uint8Array, target: DataView, at: number): number {
  new Uint8Array(target.buffer, target.byteOffset + at, bytes.length).set(bytes)
  return at + bytes.length
}

/** Packs a value that {@link fits}. */
function pack(field: FieldSpec, value: unknown, target: DataView, at: number): number {
  switch (field.kind) {
    case 'bool': target.setUint8(at, value === true ? 1 : 0); return at + 1
    case 'choice': target.setUint8(at, field.choices!.indexOf(value as string)); return at + 1
    case 'text': case 'json': {
      const bytes = textOf(field, value)
      target.setUint16(at, bytes.length, true)
      return putBytes(bytes, target, at + 2)
    }
    case 'list': return packList(field.item!, value as readonly unknown[], target, at)
    case 'optional':
      target.setUint8(at, value === null ? 0 : 1)
      return value === null ? at + 1 : pack(field.item!, value, target, at + 1)
    case 'ref': return packRef(value as number | null, target, at)
    case 'u64': target.setBigUint64(at, value as bigint, true); return at + 8
    case 'i64': target.setBigInt64(at, value as bigint, true); return at + 8
    default: return packNumber(field, value as number, target, at)
  }
}

function packList(item: FieldSpec, values: readonly unknown[], target: DataView, at: number): number {
  target.setUint16(at, values.length, true)
  at += 2
  for (const value of values) at = pack(item, value, target, at)
  return at
}

function packRef(value: number | null, target: DataView, at: number): number {
  const ref = value ?? 0
  target.setUint32(at, ref % low32, true)
  target.setUint16(at + 4, Math.floor(ref / low32), true)
  target.setUint16(at + 6, value === null ? 0 : 1, true)
  return at + 8
}

function packNumber(field: FieldSpec, number: number, target: DataView, at: number): number {
  switch (field.kind) {
    case 'i8': target.setInt8(at, number); break
    case 'u8': target.setUint8(at, number); break
    case 'i16': target.setInt16(at, number, true); break
    case 'u16': target.setUint16(at, number, true); break
    case 'i32': target.setInt32(at, number, true); break
    case 'u32': target.setUint32(at, number, true); break
    case 'f32': target.setFloat32(at, number, true); break
    case 'f64': target.setFloat64(at, number, true); break
    case 'quantized': setUint(target, at, field.bytes, quantize(field, number)); break
  }
  return at + field.bytes
}

function setUint(target: DataView, at: number, bytes: number, value: number): void {
  if (bytes === 1) target.setUint8(at, value)
  else if (bytes === 2) target.setUint16(at, value, true)
  else target.setUint32(at, value, true)
}

/** Where reading stands; `ok` is false once anything did not fit. */
interface Reading { readonly source: DataView; at: number; readonly end: number; ok: boolean }

/** Reads packed fields from bytes that may be hostile: undefined for whatever a writer would not have written. Never throws. */
export function unpackFields(fields: readonly FieldTable[], source: DataView, at: number, end: number): Record<string, unknown> | undefined {
  const reading: Reading = { source, at, end, ok: true }
  const values: Record<string, unknown> = {}
  for (const field of fields) {
    values[field.name] = unpack(field, reading)
    if (!reading.ok) return undefined
  }
  return reading.at === end ? values : undefined
}

/** Reads the bytes of a slot, `length` of them at `at`; undefined if they are none. A slot that was never written is as empty as its kind can be. */
export function unpackSlot(field: FieldSpec, source: DataView, at: number, length: number): unknown {
  const reading: Reading = { source, at, end: at + length, ok: true }
  if (field.kind === 'text') return textAt(reading, length)
  if (length === 0) return field.kind === 'list' ? nothing : null
  const value = field.kind === 'json' ? jsonAt(field, reading, length) : unpack(field, reading)
  const isWritten = field.kind !== 'optional' || value !== null
  return reading.ok && isWritten && reading.at === reading.end ? value : undefined
}

/** Reads one value of a field that is no slot; undefined if the bytes are none, such as a number that is not finite. */
export const unpackValue = (field: FieldSpec, source: DataView, at: number): unknown => unpack(field, { source, at, end: at + field.bytes, ok: true })

const nothing: readonly never[] = Object.freeze([])

const fail = (reading: Reading): undefined => { reading.ok = false; return undefined }

/** Moves over `bytes` bytes; where they began, or -1 if they are not there. */
function take(reading: Reading, bytes: number): number {
  const from = reading.at
  if (from + bytes > reading.end) return -1
  reading.at = from + bytes
  return from
}

function unpack(field: FieldSpec, reading: Reading): unknown {
  if (isSlot(field)) return unpackSized(field, reading)
  const from = take(reading, field.bytes)
  if (from < 0) return fail(reading)
  const { source } = reading
  switch (field.kind) {
    case 'i8': return source.getInt8(from)
    case 'u8': return source.getUint8(from)
    case 'i16': return source.getInt16(from, true)
    case 'u16': return source.getUint16(from, true)
    case 'i32': return source.getInt32(from, true)
    case 'u32': return source.getUint32(from, true)
    case 'f32': return finite(source.getFloat32(from, true), reading)
    case 'f64': return finite(source.getFloat64(from, true), reading)
    case 'u64': return source.getBigUint64(from, true)
    case 'i64': return source.getBigInt64(from, true)
    case 'bool': return source.getUint8(from) <= 1 ? source.getUint8(from) === 1 : fail(reading)
    case 'choice': return field.choices![source.getUint8(from)] ?? fail(reading)
    case 'quantized': {
      const wire = field.bytes === 1 ? source.getUint8(from) : field.bytes === 2 ? source.getUint16(from, true) : source.getUint32(from, true)
      return wire <= field.steps! ? dequantize(field, wire) : fail(reading)
    }
    case 'ref': {
      const present = source.getUint16(from + 6, true)
      if (present > 1) return fail(reading)
      return present === 0 ? null : source.getUint16(from + 4, true) * low32 + source.getUint32(from, true)
    }
    default: return fail(reading)
  }
}

const finite = (value: number, reading: Reading): number | undefined => Number.isFinite(value) ? value : fail(reading)

/** What says by itself how long it is. */
function unpackSized(field: FieldSpec, reading: Reading): unknown {
  const { source } = reading
  const from = take(reading, field.kind === 'optional' ? 1 : 2)
  if (from < 0) return fail(reading)
  if (field.kind === 'optional') {
    const present = source.getUint8(from)
    return present === 1 ? unpack(field.item!, reading) : present === 0 ? null : fail(reading)
  }
  const size = source.getUint16(from, true)
  if (field.kind === 'list') return unpackList(field, size, reading)
  if (size > field.maxBytes!) return fail(reading)
  return field.kind === 'text' ? textAt(reading, size) : jsonAt(field, reading, size)
}

function unpackList({ max, item }: FieldSpec, count: number, reading: Reading): readonly unknown[] | undefined {
  if (count > max!) return fail(reading)
  const items: unknown[] = []
  while (reading.ok && items.length < count) items.push(unpack(item!, reading))
  return reading.ok ? Object.freeze(items) : undefined
}

function textAt(reading: Reading, length: number): string | undefined {
  const from = take(reading, length)
  if (from < 0) return fail(reading)
  // A decoder refuses shared memory, so the few bytes are copied.
  const bytes = new Uint8Array(reading.source.buffer, reading.source.byteOffset + from, length).slice()
  try {
    return decoder.decode(bytes)
  } catch {
    return fail(reading)
  }
}

function jsonAt(field: FieldSpec, reading: Reading, length: number): unknown {
  const text = textAt(reading, length)
  if (text === undefined || !isShallow(text)) return fail(reading)
  try {
    const value = frozen(JSON.parse(text))
    // 1e20 is written out when it is packed again: what is read must fit where it came from.
    return fits(field, value) ? value : fail(reading)
  } catch {
    return fail(reading)
  }
}
