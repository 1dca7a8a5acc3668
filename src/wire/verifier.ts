/**
 * A bounded FlatBuffers verifier, table-driven: it is run over every byte that comes from outside before anything reads it. Never throws,
 * never loops; work is bounded by the message's length. Any thread, browser. FlatBuffers has none in TypeScript, and its readers follow
 * any offset. The rules are those of flatbuffers.dev/internals: offsets point forward and inside, vtables fit, strings end in zero.
 */

/** A field by its place in the vtable. `struct`: bytes; `structs`: a vector of structs of so many bytes. */
export type FieldRule =
  | { readonly kind: 'scalar' | 'struct' | 'structs'; readonly bytes: number; readonly align: number; readonly required?: boolean }
  | { readonly kind: 'string'; readonly bytesMax: number; readonly required?: boolean }
  | { readonly kind: 'table' | 'tables'; readonly rule: TableRule; readonly required?: boolean }
  /** The member's table; its type stands in the scalar field before. */
  | { readonly kind: 'union'; readonly members: readonly (TableRule | undefined)[]; readonly required?: boolean }
export interface TableRule { readonly fields: readonly FieldRule[] }

export const scalar = (bytes: number): FieldRule => ({ kind: 'scalar', bytes, align: bytes })
export const struct = (bytes: number, required = false): FieldRule => ({ kind: 'struct', bytes, align: 4, required })
export const bytesVector: FieldRule = { kind: 'structs', bytes: 1, align: 1 }
/** Bytes with `force_align: 8`: typed arrays are laid over them. */
export const alignedVector: FieldRule = { kind: 'structs', bytes: 1, align: 8 }
export const structVector = (bytes: number): FieldRule => ({ kind: 'structs', bytes, align: 4 })
export const string = (bytesMax: number, required = false): FieldRule => ({ kind: 'string', bytesMax, required })

/** How many tables, and bytes of vectors and texts, may still be visited. What several offsets share counts each time, so sharing cannot multiply the work. */
interface Checking { readonly view: DataView; readonly end: number; tables: number; bytes: number }

/** A table takes at least its offset and the offset of its vtable; a message holds no more of them than fit. */
const tableBytesMin = 8
/** Writers may let a few short texts share their bytes. */
const sharedMax = 2
/** Generated readers take vtables' numbers as signed 16-bit ones: beyond this they would read somewhere else than was verified. */
const tableBytesMax = 0x7fff

/** True if `bytes` is a whole message of the root `rule` with this file identifier. */
export function verify(bytes: Uint8Array, identifier: string, rule: TableRule): boolean {
  if (bytes.length < 12 || bytes.length > 0x7fffffff) return false
  for (let i = 0; i < 4; i++) if (bytes[4 + i] !== identifier.charCodeAt(i)) return false
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const checking: Checking = { view, end: bytes.length, tables: Math.floor(bytes.length / tableBytesMin), bytes: bytes.length * sharedMax }
  return checkTable(checking, checking.view.getUint32(0, true), rule)
}

const inside = ({ end }: Checking, at: number, bytes: number): boolean => at >= 0 && bytes >= 0 && at + bytes <= end

function checkTable(checking: Checking, table: number, rule: TableRule): boolean {
  const { view } = checking
  if (--checking.tables < 0 || table % 4 !== 0 || !inside(checking, table, 4)) return false
  const vtable = table - view.getInt32(table, true)
  if (vtable % 2 !== 0 || !inside(checking, vtable, 4)) return false
  const vtableBytes = view.getUint16(vtable, true), tableBytes = view.getUint16(vtable + 2, true)
  if (vtableBytes < 4 || vtableBytes % 2 !== 0 || vtableBytes > tableBytesMax || !inside(checking, vtable, vtableBytes)) return false
  if (tableBytes < 4 || tableBytes > tableBytesMax || !inside(checking, table, tableBytes)) return false
  for (let index = 0; index < rule.fields.length; index++) {
    const field = rule.fields[index]
    const offset = 4 + index * 2 < vtableBytes ? view.getUint16(vtable + 4 + index * 2, true) : 0
    if (offset === 0) {
      if ('required' in field && field.required === true) return false
      continue
    }
    const inline = field.kind === 'scalar' || field.kind === 'struct' ? field.bytes : 4
    if (offset < 4 || offset + inline > tableBytes) return false
    const member = field.kind === 'union' ? unionType(checking, table, vtable, vtableBytes, index - 1) : 0
    if (!checkField(checking, table + offset, field, member)) return false
  }
  return true
}

function unionType({ view }: Checking, table: number, vtable: number, vtableBytes: number, index: number): number {
  const offset = 4 + index * 2 < vtableBytes ? view.getUint16(vtable + 4 + index * 2, true) : 0
  return offset === 0 ? 0 : view.getUint8(table + offset)
}

function checkField(checking: Checking, at: number, field: FieldRule, member: number): boolean {
  if (field.kind === 'scalar' || field.kind === 'struct') return at % field.align === 0
  if (at % 4 !== 0) return false
  const target = at + checking.view.getUint32(at, true)
  switch (field.kind) {
    case 'string': return checkString(checking, target, field.bytesMax)
    case 'structs': return checkVector(checking, target, field.bytes) >= 0 && (target + 4) % field.align === 0
    case 'table': return checkTable(checking, target, field.rule)
    case 'tables': return checkTables(checking, target, field.rule)
    case 'union': {
      const rule = field.members[member]
      return rule !== undefined && checkTable(checking, target, rule)
    }
  }
}

/** Elements of the vector at `at`, or -1 if it does not lie inside. */
function checkVector(checking: Checking, at: number, elementBytes: number): number {
  if (at % 4 !== 0 || !inside(checking, at, 4)) return -1
  const count = checking.view.getUint32(at, true)
  checking.bytes -= count * elementBytes
  return checking.bytes >= 0 && inside(checking, at + 4, count * elementBytes) ? count : -1
}

function checkString(checking: Checking, at: number, bytesMax: number): boolean {
  const count = checkVector(checking, at, 1)
  return count >= 0 && count <= bytesMax && inside(checking, at + 4 + count, 1) && checking.view.getUint8(at + 4 + count) === 0
}

function checkTables(checking: Checking, at: number, rule: TableRule): boolean {
  const count = checkVector(checking, at, 4)
  if (count < 0) return false
  for (let index = 0; index < count; index++) {
    const slot = at + 4 + index * 4
    if (!checkTable(checking, slot + checking.view.getUint32(slot, true), rule)) return false
  }
  return true
}
