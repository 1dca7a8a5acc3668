/**
 * Reads FlatBuffers that the verifier has passed: a table's fields by their places in the schema, in the order of its rule. What is absent is 0, or ''.
 * Any thread, browser. Generated readers would do, and be the largest part of what a page loads. Bytes that were not verified lead anywhere.
 */

/** A table at its place in a message; `at` 0: an absent one. */
export interface Table { readonly view: DataView; readonly at: number }

export function rootTable({ buffer, byteOffset, length }: Uint8Array): Table {
  const view = new DataView(buffer, byteOffset, length)
  return { view, at: view.getUint32(0, true) }
}

/** Where the field lies; 0 if it is absent. */
function placeOf({ view, at }: Table, field: number): number {
  const vtable = at - view.getInt32(at, true), entry = 4 + field * 2
  const offset = entry < view.getUint16(vtable, true) ? view.getUint16(vtable + entry, true) : 0
  return offset === 0 ? 0 : at + offset
}

export const isPresent = (table: Table, field: number): boolean => placeOf(table, field) !== 0

/** A scalar, by the DataView's own getter for it. */
const scalarOf = (get: (view: DataView, at: number) => number) => (table: Table, field: number): number => {
  const at = placeOf(table, field)
  return at === 0 ? 0 : get(table.view, at)
}
export const readU8 = /* @__PURE__ */ scalarOf((view, at) => view.getUint8(at))
export const readU16 = /* @__PURE__ */ scalarOf((view, at) => view.getUint16(at, true))
export const readU32 = /* @__PURE__ */ scalarOf((view, at) => view.getUint32(at, true))
export const readF32 = /* @__PURE__ */ scalarOf((view, at) => view.getFloat32(at, true))
export const readF64 = /* @__PURE__ */ scalarOf((view, at) => view.getFloat64(at, true))

/** A struct of wide numbers that has to be there: its `index`th. */
export function readWide(table: Table, field: number, index: number): number {
  const at = placeOf(table, field) + index * 8
  return table.view.getUint32(at, true) + table.view.getUint32(at + 4, true) * 0x1_0000_0000
}

const decoder = new TextDecoder()

export function readText(table: Table, field: number): string {
  const bytes = readBytes(table, field)
  return bytes === undefined ? '' : decoder.decode(bytes)
}

/** The bytes of a vector or a text, where they lie; undefined if it is absent. */
export function readBytes(table: Table, field: number): Uint8Array | undefined {
  const place = placeOf(table, field)
  if (place === 0) return undefined
  const { view } = table, at = targetOf(view, place)
  return new Uint8Array(view.buffer, view.byteOffset + at + 4, view.getUint32(at, true))
}

const targetOf = (view: DataView, place: number): number => place + view.getUint32(place, true)

/** A table that has to be there. */
export function readTable(table: Table, field: number): Table {
  const { view } = table
  return { view, at: targetOf(view, placeOf(table, field)) }
}

export function readTables(table: Table, field: number): Table[] {
  const { view } = table, place = placeOf(table, field)
  if (place === 0) return []
  const at = targetOf(view, place)
  return Array.from({ length: view.getUint32(at, true) }, (_, index) => ({ view, at: targetOf(view, at + 4 + index * 4) }))
}
