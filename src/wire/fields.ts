/**
 * Packed fields: inputs, events and join data. One writer and one reader; in declaration order, little-endian, no padding. Any thread, browser.
 *
 *   numbers raw · quantized its step's number in 1, 2 or 4 bytes · bool and choice u8 · text u16 length, UTF-8 · ref u32 row, u16 generation, u16 present
 */
import { KasagiError } from '../base/errors.js'
import type { FieldTable } from '../schema/field-tables.js'
import { dequantize, quantize } from '../schema/quantize.js'

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const integerRanges: Partial<Record<FieldTable['kind'], readonly [number, number]>> = {
  i8: [-128, 127], u8: [0, 255], i16: [-32768, 32767], u16: [0, 65535], i32: [-(2 ** 31), 2 ** 31 - 1], u32: [0, 2 ** 32 - 1],
}
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
  for (const field of fields) at = packField(field, values[field.name] ?? field.default, target, at)
  return at
}

const refuse = (field: FieldTable, value: unknown): never => {
  throw new KasagiError('bad-input', `${field.name}: ${JSON.stringify(value) ?? String(value)} is no ${field.kind}`)
}

function packField(field: FieldTable, value: unknown, target: DataView, at: number): number {
  switch (field.kind) {
    case 'bool':
      if (typeof value !== 'boolean') refuse(field, value)
      target.setUint8(at, value === true ? 1 : 0)
      return at + 1
    case 'choice': {
      const index = field.choices!.indexOf(value as string)
      if (index < 0) refuse(field, value)
      target.setUint8(at, index)
      return at + 1
    }
    case 'text': return packText(field, value, target, at)
    case 'ref': return packRef(field, value, target, at)
    default: return packNumber(field, value, target, at)
  }
}

function packText(field: FieldTable, value: unknown, target: DataView, at: number): number {
  if (typeof value !== 'string') refuse(field, value)
  const bytes = encoder.encode(value as string)
  if (bytes.length > field.maxBytes!) throw new KasagiError('bad-input', `${field.name}: ${bytes.length} bytes of text, at most ${field.maxBytes}`)
  target.setUint16(at, bytes.length, true)
  new Uint8Array(target.buffer, target.byteOffset + at + 2, bytes.length).set(bytes)
  return at + 2 + bytes.length
}

function packRef(field: FieldTable, value: unknown, target: DataView, at: number): number {
  if (value !== null && !(Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 48)) refuse(field, value)
  const ref = (value ?? 0) as number
  target.setUint32(at, ref % low32, true)
  target.setUint16(at + 4, Math.floor(ref / low32), true)
  target.setUint16(at + 6, value === null ? 0 : 1, true)
  return at + 8
}

function packNumber(field: FieldTable, value: unknown, target: DataView, at: number): number {
  const range = integerRanges[field.kind]
  const fits = typeof value === 'number' && (range === undefined ? Number.isFinite(value) : Number.isInteger(value) && value >= range[0] && value <= range[1])
  if (!fits) refuse(field, value)
  const number = value as number
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
    default: refuse(field, value)
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
    values[field.name] = unpackField(field, reading)
    if (!reading.ok) return undefined
  }
  return reading.at === end ? values : undefined
}

const fail = (reading: Reading): undefined => { reading.ok = false; return undefined }

/** Moves over `bytes` bytes; where they began, or -1 if they are not there. */
function take(reading: Reading, bytes: number): number {
  const from = reading.at
  if (from + bytes > reading.end) return -1
  reading.at = from + bytes
  return from
}

function unpackField(field: FieldTable, reading: Reading): unknown {
  if (field.kind === 'text') return unpackText(field, reading)
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

function unpackText(field: FieldTable, reading: Reading): string | undefined {
  const { source } = reading
  const lengthAt = take(reading, 2)
  if (lengthAt < 0) return fail(reading)
  const length = source.getUint16(lengthAt, true)
  const from = length > field.maxBytes! ? -1 : take(reading, length)
  if (from < 0) return fail(reading)
  // A decoder refuses shared memory, so the few bytes are copied.
  const bytes = new Uint8Array(source.buffer, source.byteOffset + from, length).slice()
  try {
    return decoder.decode(bytes)
  } catch {
    return fail(reading)
  }
}
