/**
 * Our forward FlatBuffers writer: the one shape that sections and records share, written front to back without garbage.
 *
 *   root offset   identifier   vtable   table: head struct, one offset per vector, trailing scalar   pad   data vector   struct vectors
 *
 * The data vector comes first and is 8-aligned; the struct vectors, whose lengths are known last, follow it. Generated readers accept
 * every byte (schema/*.fbs; the layout rules are FlatBuffers' own: flatbuffers.dev/internals). Any thread; a buffer begins 8-aligned.
 */
import { assert } from '../base/assert.js'

/** Views over the memory that is written; memory/views.ts has them. */
export interface WordViews { readonly u8: Uint8Array; readonly u16: Uint16Array; readonly u32: Uint32Array }

export interface EnvelopeShape {
  readonly identifier: number
  readonly headWords: number
  /** Vectors, the data vector included, in field order behind the head. */
  readonly vectors: number
  /** Trailing u32 scalars. */
  readonly scalars: number
  readonly vtableBytes: number
  readonly tableAt: number
  readonly tableBytes: number
  /** Where the bytes of the data vector begin; its length stands 4 before. */
  readonly dataAt: number
}

const identifierOf = (text: string): number =>
  text.charCodeAt(0) | text.charCodeAt(1) << 8 | text.charCodeAt(2) << 16 | text.charCodeAt(3) << 24

export function defineEnvelope(identifier: string, headWords: number, vectors: number, scalars: number): EnvelopeShape {
  const vtableBytes = 4 + 2 * (1 + vectors + scalars)
  const tableAt = Math.ceil((8 + vtableBytes) / 4) * 4
  const tableBytes = 4 + 4 * (headWords + vectors + scalars)
  const dataAt = Math.ceil((tableAt + tableBytes + 4) / 8) * 8
  return { identifier: identifierOf(identifier) >>> 0, headWords, vectors, scalars, vtableBytes, tableAt, tableBytes, dataAt }
}

const vectorOffset = (shape: EnvelopeShape, vector: number): number => 4 + 4 * (shape.headWords + vector)
const vtableEntry = (at: number, field: number): number => (at + 8 + 4 + 2 * field) >>> 1

/** Address of the head struct. */
export const headAt = (shape: EnvelopeShape, at: number): number => at + shape.tableAt + 4

/** Writes everything before the data: all vectors absent but data, all scalars 0. */
export function openEnvelope({ u16, u32 }: WordViews, shape: EnvelopeShape, at: number): void {
  assert((at & 7) === 0, 'envelope: begins at a multiple of 8')
  // A loop: TypedArray.fill over shared memory costs more than these few words.
  for (let word = at >>> 2, end = (at + shape.dataAt) >>> 2; word < end; word++) u32[word] = 0
  u32[at >>> 2] = shape.tableAt
  u32[(at + 4) >>> 2] = shape.identifier
  u16[(at + 8) >>> 1] = shape.vtableBytes
  u16[(at + 10) >>> 1] = shape.tableBytes
  u16[vtableEntry(at, 0)] = 4
  u32[(at + shape.tableAt) >>> 2] = shape.tableAt - 8
}

/** Closes the data vector at address `end`; returns where struct vectors go on. */
export function closeData(views: WordViews, shape: EnvelopeShape, at: number, end: number): number {
  const lengthAt = at + shape.dataAt - 4
  views.u32[lengthAt >>> 2] = end - at - shape.dataAt
  linkVector(views, shape, at, 0, lengthAt)
  return zeroTo(views, end, 4)
}

/** Zeroes up to the next multiple of `to`, and returns it. */
export function zeroTo({ u8 }: WordViews, at: number, to: number): number {
  const end = (at + to - 1) & -to
  while (at < end) u8[at++] = 0
  return end
}

function linkVector({ u16, u32 }: WordViews, shape: EnvelopeShape, at: number, vector: number, lengthAt: number): void {
  const slotAt = at + shape.tableAt + vectorOffset(shape, vector)
  u16[vtableEntry(at, 1 + vector)] = vectorOffset(shape, vector)
  u32[slotAt >>> 2] = lengthAt - slotAt
}

/** Appends the staged structs; returns the end. Nothing is written for an empty vector. */
export function appendStructs(views: WordViews, shape: EnvelopeShape, at: number, vector: number, end: number, staging: Staging): number {
  const { words, count, structWords } = staging
  if (count === 0) return end
  const { u32 } = views
  linkVector(views, shape, at, vector, end)
  let to = end >>> 2
  u32[to++] = count
  for (let i = 0; i < count * structWords; i++) u32[to++] = words[i]
  return to * 4
}

/** Sets a trailing scalar. */
export function setScalar({ u16, u32 }: WordViews, shape: EnvelopeShape, at: number, scalar: number, value: number): void {
  const offset = vectorOffset(shape, shape.vectors + scalar)
  u16[vtableEntry(at, 1 + shape.vectors + scalar)] = offset
  u32[(at + shape.tableAt + offset) >>> 2] = value
}

/** Address of a vector's first element, 0 if absent; its length is the u32 before. Only for bytes that were verified, or are our own. */
export function vectorAt({ u16, u32 }: WordViews, at: number, vector: number): number {
  const table = at + u32[at >>> 2]
  const vtable = table - u32[table >>> 2]
  const entry = 4 + 2 * (1 + vector)
  if (entry >= u16[vtable >>> 1]) return 0
  const offset = u16[(vtable + entry) >>> 1]
  if (offset === 0) return 0
  const slot = table + offset
  return slot + u32[slot >>> 2] + 4
}

/** Address of a struct field; 0 if absent. For bytes as above. */
export function structAt({ u16, u32 }: WordViews, at: number, field: number): number {
  const table = at + u32[at >>> 2]
  const offset = u16[(table - u32[table >>> 2] + 4 + 2 * field) >>> 1]
  return offset === 0 ? 0 : table + offset
}

export const vectorLength = ({ u32 }: WordViews, vector: number): number => vector === 0 ? 0 : u32[(vector - 4) >>> 2]

/** Structs staged until the data are complete; grows to the largest it ever held. */
export interface Staging { words: Uint32Array; count: number; readonly structWords: number }
export const createStaging = (structWords: number): Staging => ({ words: new Uint32Array(structWords * 64), count: 0, structWords })

/** Index of the new struct's first word. */
export function stage(staging: Staging): number {
  const at = staging.count * staging.structWords
  if (at + staging.structWords > staging.words.length) {
    const words = new Uint32Array(staging.words.length * 2)
    words.set(staging.words)
    staging.words = words
  }
  staging.count++
  return at
}
