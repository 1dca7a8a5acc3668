/**
 * Checks a record that another instance has written before anything believes it: every offset, length, number and value of it fits this room's
 * tables, so that applying it writes nowhere else, and clients can read its sections. Worker thread; bounded by the record's bytes.
 */
import { atScratch, scratchBytes } from '../src/memory/arena-layout.js'
import type { Arena } from '../src/memory/arena.js'
import type { ColumnLayout, RoomLayout, TableLayout } from '../src/memory/room-layout.js'
import { generationField, idField, isSlot } from '../src/schema/field-tables.js'
import { vectorAt, vectorLength } from '../src/wire/envelope.js'
import { unpackSlot } from '../src/wire/fields.js'
import { readNacks, readReceivers, readRecordHead, readRoutes, readSections, recordAudience, recordRule, type RecordHead, type SectionRef } from '../src/wire/record.js'
import {
  addressedStream, columnWords, eventWords, form, hashWords, ownRowEvent, readSectionHead, roomStream, rowSetWords, sectionRule, sectionVectors, serverStream,
  sessionKind, streamKind, what,
} from '../src/wire/section.js'
import { verify } from '../src/wire/verifier.js'
import type { RoomType } from './room-type.js'

interface Checking { readonly arena: Arena; readonly layout: RoomLayout; readonly type: RoomType }

/** Bytes of the vectors' structs, for lengths that a verifier has passed: see schema/record.fbs, schema/section.fbs. */
interface Rows { readonly table: TableLayout; readonly kind: number; readonly count: number; readonly isServer: boolean }

/** True if the `bytes` bytes at `at`, a multiple of 8, are a record that this room can apply, whatever its position. */
export function isRecord(arena: Arena, layout: RoomLayout, type: RoomType, at: number, bytes: number): boolean {
  if (!verify(arena.u8.subarray(at, at + bytes), 'KREC', recordRule)) return false
  const checking: Checking = { arena, layout, type }
  const end = at + bytes, head = readRecordHead(arena, at), sections = readSections(arena, at)
  return sections.every((section) => isInside(section, at, end) && isSection(checking, section, head))
    && readRoutes(arena, at).every(({ slot, section }) => slot < type.definition.maxSessions && section < sections.length)
    && readNacks(arena, at).every((nack) => isInside(nack, at, end))
    && readReceivers(arena, at).every(({ section }) => sections[section]?.audience === recordAudience.some)
}

/** True if the `bytes` bytes at `at`, a multiple of 8, are a chunk of this room's whole state. */
export function isStateChunk(arena: Arena, layout: RoomLayout, type: RoomType, at: number, bytes: number): boolean {
  if (!verify(arena.u8.subarray(at, at + bytes), 'KSEC', sectionRule) || readSectionHead(arena, at).stream !== serverStream) return false
  return hasTables({ arena, layout, type }, at, true)
}

const isInside = ({ address, bytes }: { address: number; bytes: number }, from: number, end: number): boolean => address >= from && address + bytes <= end

/** The audience that a stream's sections have. */
export function audienceOf(stream: number): number | undefined {
  switch (streamKind(stream)) {
    case streamKind(roomStream): return recordAudience.everyone
    case streamKind(serverStream): return recordAudience.server
    case sessionKind: return recordAudience.owner
    case streamKind(addressedStream): return recordAudience.some
    default: return undefined
  }
}

function isSection(checking: Checking, { address, bytes, stream, audience }: SectionRef, { epoch, seq }: RecordHead): boolean {
  const { arena } = checking
  if (address % 8 !== 0 || audience !== audienceOf(stream) || !verify(arena.u8.subarray(address, address + bytes), 'KSEC', sectionRule)) return false
  const head = readSectionHead(arena, address)
  if (head.epoch !== epoch || head.seq !== seq || head.prevSeq >= seq || head.stream !== stream) return false
  if (vectorAt(arena, address, sectionVectors.ranges) !== 0) return false
  const hasRows = vectorLength(arena, vectorAt(arena, address, sectionVectors.rowSets)) > 0
  return (audience !== recordAudience.some || !hasRows) && hasEvents(checking, address) && hasHashes(checking, address) && hasTables(checking, address, audience === recordAudience.server)
}

/** Where a vector of structs of `words` words lies: first word, and one past the last. */
function structs(arena: Arena, address: number, vector: number, words: number): readonly [from: number, end: number] {
  const at = vectorAt(arena, address, vector)
  return [at >>> 2, (at >>> 2) + vectorLength(arena, at) * words]
}

function isInData({ arena }: Checking, address: number, offset: number, bytes: number): boolean {
  return offset % 8 === 0 && offset + bytes <= vectorLength(arena, vectorAt(arena, address, sectionVectors.data))
}

function hasEvents(checking: Checking, address: number): boolean {
  const { u32 } = checking.arena, [from, end] = structs(checking.arena, address, sectionVectors.events, eventWords)
  for (let at = from; at < end; at += eventWords) {
    const event = u32[at] & 0xffff
    if (event >= checking.type.full.events.length && !(event === ownRowEvent && u32[at + 2] === 8)) return false
    if (!isInData(checking, address, u32[at + 1], u32[at + 2])) return false
  }
  return true
}

function hasHashes({ arena, type }: Checking, address: number): boolean {
  const [from, end] = structs(arena, address, sectionVectors.hashes, hashWords)
  for (let at = from; at < end; at += hashWords) {
    const table = type.tables.tables[arena.u32[at] & 0xffff], field = arena.u32[at] >>> 16
    if (table === undefined || (field >= table.fields.length && !(field === idField && table.ids))) return false
  }
  return true
}

function hasTables(checking: Checking, address: number, isServer: boolean): boolean {
  const { arena, layout, type: { index } } = checking, { u32 } = arena
  const [from, end] = structs(arena, address, sectionVectors.rowSets, rowSetWords)
  let [column, columnEnd] = structs(arena, address, sectionVectors.columns, columnWords)
  for (let at = from, set = 0; at < end; at += rowSetWords, set++) {
    const number = u32[at] & 0xffff, table = layout.tables[isServer ? number : index.tablesToFull[number] ?? -1]
    if (table === undefined || !isRowSet(checking, address, at, table)) return false
    const rows: Rows = { table, kind: u32[at] >>> 16 & 0xff, count: u32[at + 2], isServer }
    for (; column < columnEnd && (u32[column] & 0xffff) === set; column += columnWords) if (!isColumn(checking, address, column, rows)) return false
  }
  return column === columnEnd
}

function isRowSet(checking: Checking, address: number, at: number, table: TableLayout): boolean {
  const { u32, kernels } = checking.arena
  const kind = u32[at] >>> 16 & 0xff, rowForm = u32[at] >>> 24, first = u32[at + 1], count = u32[at + 2], offset = u32[at + 3], bytes = u32[at + 4]
  if (kind > what.despawned || count === 0 || first + count > table.rows || !isInData(checking, address, offset, bytes)) return false
  const rows = vectorAt(checking.arena, address, sectionVectors.data) + offset, words = table.words - (first >>> 6)
  switch (rowForm) {
    case form.range: return bytes === 0
    case form.bitmap: return first % 64 === 0 && bytes % 8 === 0 && bytes / 8 <= words && kernels.countBits(rows, bytes / 8) === count
    case form.gaps:
      if (first % 64 !== 0 || words * 8 > scratchBytes) return false
      kernels.zero(atScratch, words * 8)
      return kernels.readGaps(rows, bytes, count, atScratch, words) === 1
    default: return false
  }
}

/** A column is one of its table that this section may speak of, and its bytes are values of so many rows. */
function isColumn(checking: Checking, address: number, at: number, { table, kind, count, isServer }: Rows): boolean {
  const { u32 } = checking.arena, field = u32[at] >>> 16, offset = u32[at + 1], bytes = u32[at + 2]
  if (kind === what.despawned || !isInData(checking, address, offset, bytes)) return false
  const values = vectorAt(checking.arena, address, sectionVectors.data) + offset
  if (field === generationField) return kind === what.spawned && bytes === count * 2
  if (field === idField) return kind === what.spawned && table.id !== undefined && areSlots(checking, table.id, values, count, bytes)
  const column = table.columns[isServer ? field : checking.type.index.fieldsToFull[table.index][field] ?? -1]
  if (column === undefined) return false
  return isSlot(column.field) ? areSlots(checking, column, values, count, bytes) : bytes === count * column.field.bytes && areValues(checking, column, values, count)
}

/** Lengths that fit the slot and add up to the bytes, and packed values that can be read. */
function areSlots({ arena }: Checking, { field }: ColumnLayout, values: number, count: number, bytes: number): boolean {
  if (count * 2 > bytes) return false
  const isText = field.kind === 'text'
  let at = values + count * 2
  for (let n = 0; n < count; n++) {
    const length = arena.u16[(values >>> 1) + n]
    if (length > field.maxBytes! || at + length > values + bytes) return false
    if (!isText && unpackSlot(field, arena.packed, at, length) === undefined) return false
    at += length
  }
  return at === values + bytes
}

/** What an author's column could not give back: the number of a choice that there is not. */
function areValues({ arena: { u8 } }: Checking, { field: { kind, choices } }: ColumnLayout, values: number, count: number): boolean {
  if (kind === 'choice') for (let at = values; at < values + count; at++) if (u8[at] >= choices!.length) return false
  return true
}
