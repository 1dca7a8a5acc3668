/**
 * Applies sections (schema/section.fbs) to a client's replicas, straight from typed-array views over the message. Browser and Node.
 * What does not fit the field tables throws BadSection: the caller answers with a resync. Replicas are given by the server's numbers: where null
 * stands, and where a replica's `numbered` has null, the server speaks of what this client does not know, and is not listened to.
 */
import { generationField, idField, isSlot } from '../schema/field-tables.js'
import { sectionRule } from '../wire/section.js'
import { verify } from '../wire/verifier.js'
import {
  decodeRow, despawnRow, nameRow, putSlot, showCaptured, spawnRow, touchRow, type NumberArray, type Replica, type ReplicaColumn,
} from './table.js'

export class BadSection extends Error {}

export interface SectionView {
  readonly u32: Uint32Array
  readonly u16: Uint16Array
  readonly u8: Uint8Array
  readonly epoch: number
  readonly seq: number
  readonly prevSeq: number
  readonly tick: number
  readonly stream: number
  /** Byte offsets of the vectors' first elements, 0 if absent. */
  readonly vectors: readonly number[]
  readonly missedEvents: number
}

const vectorCount = 6
const dataVector = 0, rangeVector = 1, rowSetVector = 2, columnVector = 3, eventVector = 4
export const hashVector = 5

/** True if the bytes are a section that can be read safely; what its numbers mean is checked while it is applied. */
export const verifySection = (bytes: Uint8Array): boolean => verify(bytes, 'KSEC', sectionRule)

/** Opens a message that is a section; undefined if it is something else. Throws BadSection for a broken one. */
export function openSection(message: ArrayBuffer): SectionView | undefined {
  const u8 = new Uint8Array(message)
  if (u8.length < 8 || u8[4] !== 75 || u8[5] !== 83 || u8[6] !== 69 || u8[7] !== 67) return undefined
  if (!verifySection(u8)) throw new BadSection('the section is no FlatBuffer')
  const u32 = new Uint32Array(message, 0, message.byteLength >> 2), u16 = new Uint16Array(message, 0, message.byteLength >> 1)
  const table = u32[0], vtable = table - (u32[table >> 2] | 0)
  const offsetOf = (field: number): number => 4 + 2 * field < u16[vtable >> 1] ? u16[(vtable + 4 + 2 * field) >> 1] : 0
  const vectors = Array.from({ length: vectorCount }, (_, index) => {
    const offset = offsetOf(1 + index)
    return offset === 0 ? 0 : table + offset + u32[(table + offset) >> 2] + 4
  })
  const head = (table + offsetOf(0)) >> 2
  const wide = (at: number): number => u32[head + at] + u32[head + at + 1] * 0x1_0000_0000
  const missed = offsetOf(7)
  return {
    u32, u16, u8, vectors, epoch: wide(0), seq: wide(2), prevSeq: wide(4), tick: u32[head + 6], stream: u32[head + 7],
    missedEvents: missed === 0 ? 0 : u32[(table + missed) >> 2],
  }
}

export const countOf = (section: SectionView, vector: number): number => {
  const at = section.vectors[vector]
  return at === 0 ? 0 : section.u32[(at - 4) >> 2]
}

export interface ApplyTime { readonly nowMs: number; readonly intervalMs: number }

/** True if it is the last chunk of its stream's snapshot. */
export function isLastChunk(section: SectionView): boolean {
  for (let index = 0; index < countOf(section, rangeVector); index++) {
    if (section.u32[(section.vectors[rangeVector] >> 2) + index * 3] >>> 16 === 1) return true
  }
  return false
}

export const isChunk = (section: SectionView): boolean => countOf(section, rangeVector) > 0

/**
 * What a section may still cost: bytes of its data that no part of it has claimed, and rows. Each row of a set pays with a byte of each of its
 * columns; only a table that is cleared or despawned pays nothing, and that happens once. So nobody makes much work of few bytes.
 */
interface Budget { bytes: number; rows: number }

export function applySection(section: SectionView, replicas: readonly (Replica | null)[], time: ApplyTime): void {
  const bytes = countOf(section, dataVector), budget: Budget = { bytes, rows: replicas.reduce((sum, replica) => sum + (replica?.capacity ?? 0) * 2, bytes) }
  clearRanges(section, replicas, budget)
  const columns = countOf(section, columnVector)
  let column = 0
  for (let index = 0; index < countOf(section, rowSetVector); index++) {
    const at = (section.vectors[rowSetVector] >> 2) + index * 5
    const replica = replicas[section.u32[at] & 0xffff]
    if (replica === undefined) throw new BadSection('a row set names no table')
    if (replica === null) {
      while (column < columns && rowSetOf(section, column) === index) column++
      continue
    }
    const rows = readRows(section, at, replica.capacity, budget)
    const what = section.u32[at] >>> 16 & 0xff
    if (what === 1) for (const row of rows) spawnRow(replica, row)
    if (what === 2) for (const row of rows) despawnRow(replica, row)
    for (; column < columns && rowSetOf(section, column) === index; column++) {
      const word = (section.vectors[columnVector] >> 2) + column * 3
      applyColumn(section, replica, section.u32[word] >>> 16, rows, dataAt(section, word + 1, budget), section.u32[word + 2], time)
    }
  }
}

const rowSetOf = ({ u32, vectors }: SectionView, column: number): number => u32[(vectors[columnVector] >> 2) + column * 3] & 0xffff

function clearRanges(section: SectionView, replicas: readonly (Replica | null)[], budget: Budget): void {
  for (let index = 0; index < countOf(section, rangeVector); index++) {
    const at = (section.vectors[rangeVector] >> 2) + index * 3
    const replica = replicas[section.u32[at] & 0xffff]
    if (replica === undefined) throw new BadSection('a range names no table')
    if (replica === null) continue
    const first = section.u32[at + 1], end = Math.min(section.u32[at + 2], replica.end)
    spend(budget, 0, Math.max(0, end - first))
    for (let row = first; row < end; row++) despawnRow(replica, row)
  }
}

function spend(budget: Budget, bytes: number, rows: number): void {
  budget.bytes -= bytes
  budget.rows -= rows
  if (budget.bytes < 0 || budget.rows < 0) throw new BadSection('its parts are larger than the section')
}

let scratch = new Uint32Array(1024)

function readRows(section: SectionView, at: number, capacity: number, budget: Budget): Uint32Array {
  const { u32, u8 } = section
  const form = u32[at] >>> 24, first = u32[at + 1], count = u32[at + 2], bytes = u32[at + 4]
  const from = dataAt(section, at + 3, budget)
  if (count > capacity || first > capacity) throw new BadSection('a row set is larger than its table')
  spend(budget, 0, count)
  if (scratch.length < count) scratch = new Uint32Array(count * 2)
  const rows = scratch.subarray(0, count)
  let found = 0, next = first
  if (form === 0) while (found < count) rows[found++] = next++
  else if (form === 1) {
    for (let byte = 0; byte < bytes; byte++) {
      for (let bits = u8[from + byte]; bits !== 0 && found < count; bits &= bits - 1) {
        rows[found++] = first + byte * 8 + 31 - Math.clz32(bits & -bits)
      }
    }
  } else {
    for (let byte = from; byte < from + bytes && found < count;) {
      let gap = 0, shift = 0, part = 128
      while (part >= 128 && shift < 35) { part = u8[byte++]; gap += (part & 127) * 2 ** shift; shift += 7 }
      next += gap
      // Before it is stored, which would cut it to 32 bits.
      if (next >= capacity) break
      rows[found++] = next++
    }
  }
  if (found !== count || (count > 0 && rows[count - 1] >= capacity)) throw new BadSection('a row set does not hold its rows')
  return rows
}

/** Where the bytes lie that the words `at` (offset) and behind it (length) name. */
function dataAt(section: SectionView, at: number, budget: Budget): number {
  const offset = section.u32[at], bytes = section.u32[at + 1]
  if (offset % 8 !== 0 || offset + bytes > countOf(section, dataVector)) throw new BadSection('values lie outside the data')
  spend(budget, bytes, 0)
  return section.vectors[dataVector] + offset
}

function applyColumn(
  section: SectionView, replica: Replica, field: number, rows: Uint32Array, from: number, bytes: number, time: ApplyTime,
): void {
  if (field === idField) return applySlots(section, rows, from, bytes, (row, at, end) => nameRow(replica, row, textAt(section, at, end)))
  if (field === generationField) {
    if (bytes !== rows.length * 2) throw new BadSection('generations do not fit their rows')
    for (let n = 0; n < rows.length; n++) replica.generation[rows[n]] = section.u16[(from >> 1) + n]
    return
  }
  const column = replica.numbered[field]
  if (column === null) return
  if (column === undefined) throw new BadSection('values name no field')
  if (isSlot(column.field)) return applySlots(section, rows, from, bytes, (row, at, end) => {
    touchRow(replica, column, row, time.nowMs, time.intervalMs)
    if (column.field.kind === 'text') (column.wire as string[])[row] = textAt(section, at, end)
    // Copied: a view would keep the whole message alive.
    else putSlot(column.wire as Uint8Array[], column.values as unknown[], row, section.u8.slice(at, end))
  })
  if (bytes !== rows.length * column.field.bytes) throw new BadSection('values do not fit their rows')
  applyNumbers(section, replica, column, rows, from, time)
}

function applyNumbers(
  section: SectionView, replica: Replica, column: ReplicaColumn, rows: Uint32Array, from: number, time: ApplyTime,
): void {
  const wire = column.wire as NumberArray
  const lanes = wire.length / replica.capacity
  const Values = wire.constructor as new (buffer: ArrayBufferLike, at: number, length: number) => NumberArray
  const values = new Values(section.u8.buffer, from, rows.length * lanes)
  for (let n = 0; n < rows.length; n++) {
    const row = rows[n]
    touchRow(replica, column, row, time.nowMs, time.intervalMs)
    for (let lane = 0; lane < lanes; lane++) wire[row * lanes + lane] = values[n * lanes + lane]
    decodeRow(column, row)
  }
  showCaptured(column, rows)
}

/** `ignoreBOM` keeps a leading U+FEFF, which is part of the text and of its hash. */
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

const textAt = (section: SectionView, at: number, end: number): string => decoder.decode(section.u8.subarray(at, end))

/** `count` lengths (u16), then the texts or packed values one after the other. */
function applySlots(section: SectionView, rows: Uint32Array, from: number, bytes: number, put: (row: number, at: number, end: number) => void): void {
  let at = from + rows.length * 2
  for (let n = 0; n < rows.length; n++) {
    const length = section.u16[(from >> 1) + n]
    // A length from behind the message is undefined, and fits nowhere either.
    if (!(at + length <= from + bytes)) throw new BadSection('texts lie outside their values')
    put(rows[n], at, at + length)
    at += length
  }
}

export interface ReceivedEvent { readonly event: number; readonly data: DataView; readonly at: number; readonly end: number }

export function eventsOf(section: SectionView): ReceivedEvent[] {
  const data = new DataView(section.u8.buffer), budget: Budget = { bytes: countOf(section, dataVector), rows: 0 }
  return Array.from({ length: countOf(section, eventVector) }, (_, index) => {
    const word = (section.vectors[eventVector] >> 2) + index * 3
    const at = dataAt(section, word + 1, budget)
    return { event: section.u32[word] & 0xffff, data, at, end: at + section.u32[word + 2] }
  })
}
