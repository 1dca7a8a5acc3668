/** What is a value of which kind, and defaults in field tables. Pure functions; any thread, browser. The bytes of values are wire/fields.ts's. */
import { jsonDepthMax } from '../base/limits.js'
import type { FieldSpec, FieldTable, KindName, Plain } from './field-tables.js'

const integerRanges: Partial<Record<KindName, readonly [number, number]>> = {
  i8: [-128, 127], u8: [0, 255], i16: [-32768, 32767], u16: [0, 65535], i32: [-(2 ** 31), 2 ** 31 - 1], u32: [0, 2 ** 32 - 1],
}
/** bigint for authors. */
const wideRanges: Partial<Record<KindName, readonly [bigint, bigint]>> = {
  i64: [-(2n ** 63n), 2n ** 63n - 1n], u64: [0n, 2n ** 64n - 1n],
}

const isInteger = (value: unknown, low: number, high: number): boolean => Number.isInteger(value) && (value as number) >= low && (value as number) <= high
const isWide = (value: unknown, low: bigint, high: bigint): boolean => typeof value === 'bigint' && value >= low && value <= high

/** Tells what an integer field holds; undefined for other kinds. */
export function rangeCheck({ kind }: FieldSpec): ((value: unknown) => boolean) | undefined {
  const range = integerRanges[kind], wide = wideRanges[kind]
  if (range !== undefined) { const [low, high] = range; return (value) => isInteger(value, low, high) }
  if (wide !== undefined) { const [low, high] = wide; return (value) => isWide(value, low, high) }
  return undefined
}

const isRef = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 48

/** True for what packed fields can carry as a value of the field. */
export function fits(field: FieldSpec, value: unknown): boolean {
  switch (field.kind) {
    case 'bool': return typeof value === 'boolean'
    case 'choice': return field.choices!.includes(value as string)
    case 'text': return typeof value === 'string' && utf8Bytes(value) <= field.maxBytes!
    case 'json': return fitsJson(field, value)
    case 'list': return fitsList(field, value)
    case 'optional': return value === null || fits(field.item!, value)
    case 'ref': return value === null || isRef(value)
    case 'u64': case 'i64': { const [low, high] = wideRanges[field.kind]!; return isWide(value, low, high) }
    case 'f64': case 'quantized': return Number.isFinite(value)
    // What rounds to infinity is none.
    case 'f32': return typeof value === 'number' && Number.isFinite(Math.fround(value))
    default: { const [low, high] = integerRanges[field.kind]!; return isInteger(value, low, high) }
  }
}

function fitsList({ max, item }: FieldSpec, value: unknown): boolean {
  if (!Array.isArray(value) || value.length > max!) return false
  // Not `every`, which skips holes.
  for (let n = 0; n < value.length; n++) if (!fits(item!, value[n])) return false
  return true
}

function fitsJson(field: FieldSpec, value: unknown): boolean {
  const text = jsonOf(value)
  return text !== undefined && utf8Bytes(text) <= field.maxBytes! && isShallow(text)
}

/** JSON of a value; undefined for what has none: functions, circles, bigints, and what nests beyond the stack. */
export function jsonOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value)
  } catch {
    return undefined
  }
}

/** True if JSON text nests no deeper than `jsonDepthMax`; asked before it is parsed. */
export function isShallow(text: string): boolean {
  let depth = 0, inString = false
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (inString) {
      if (code === 92) at++
      else if (code === 34) inString = false
    } else if (code === 34) inString = true
    else if (code === 91 || code === 123) { if (++depth > jsonDepthMax) return false }
    else if (code === 93 || code === 125) depth--
  }
  return true
}

/** Bytes of a text's UTF-8, as a TextEncoder makes it: 3 for half a surrogate pair. */
export function utf8Bytes(text: string): number {
  let bytes = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    const isPair = code >= 0xd800 && code < 0xdc00 && (text.charCodeAt(at + 1) & 0xfc00) === 0xdc00
    if (isPair) at++
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : isPair ? 4 : 3
  }
  return bytes
}

/** Why a value is none of the field: for people. */
export function misfit(field: FieldTable, value: unknown): string {
  if (field.kind === 'text' && typeof value === 'string') return `${field.name}: ${utf8Bytes(value)} bytes of text, at most ${field.maxBytes}`
  if (field.kind === 'list' && Array.isArray(value) && value.length > field.max!) return `${field.name}: ${value.length} items, at most ${field.max}`
  const json = field.kind === 'json' ? jsonOf(value) : undefined
  if (json !== undefined) return `${field.name}: ${utf8Bytes(json)} bytes of JSON, at most ${field.maxBytes}, nested ${jsonDepthMax} deep at most`
  if (field.kind === 'choice') return `${field.name}: ${shown(value)} is none of ${field.choices!.join(', ')}`
  return `${field.name}: ${shown(value)} is no ${nameOf(field)}`
}

const nameOf = ({ kind, item }: FieldSpec): string => item === undefined ? kind : `${kind} of ${nameOf(item)}`
const shownMax = 120
function shown(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`
  return (jsonOf(value) ?? (typeof value === 'object' ? 'an object without JSON' : String(value))).slice(0, shownMax)
}

/** A value as field tables have it: bigints in decimal, objects copied. What is no value of the field stays as it is, for `defineSchema` to name. */
export function plainOf(field: FieldSpec, value: unknown): Plain {
  if (field.kind === 'list' && Array.isArray(value)) return Object.freeze(Array.from(value, (entry) => plainOf(field.item!, entry)))
  if (field.kind === 'optional' && value !== null) return plainOf(field.item!, value)
  if (field.kind === 'json') { const json = jsonOf(value); return json === undefined ? value as Plain : frozen(JSON.parse(json)) as Plain }
  return typeof value === 'bigint' ? String(value) : value as Plain
}

/** The default as authors see it. */
export const defaultOf = (field: FieldSpec): unknown => valueOf(field, field.default)

function valueOf(field: FieldSpec, plain: Plain): unknown {
  switch (field.kind) {
    case 'u64': case 'i64': return typeof plain === 'string' && /^-?\d{1,20}$/.test(plain) ? BigInt(plain) : plain
    case 'list': return Array.isArray(plain) ? Object.freeze(plain.map((entry) => valueOf(field.item!, entry))) : plain
    case 'optional': return plain === null ? null : valueOf(field.item!, plain)
    default: return plain
  }
}

/** The value, frozen to its last leaf. Throws for a number that JSON cannot write: 1e999 reads as infinity. */
export function frozen(value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new RangeError('json: a number without end')
  if (typeof value !== 'object' || value === null) return value
  for (const part of Object.values(value)) frozen(part)
  return Object.freeze(value)
}
