/**
 * Writes the record of a planned flush: first the room's section, then one per session with rows or an own row of its own, then addressed
 * events, last the servers' section, which holds the engine's bookkeeping of this very flush. Worker thread.
 */
import type { Arena } from '../src/memory/arena.js'
import type { TableLayout } from '../src/memory/room-layout.js'
import { flushesPerHash } from '../src/base/limits.js'
import { atDurableSeq, atFlushes } from '../src/memory/room-layout.js'
import { loadWide } from '../src/memory/views.js'
import { generationField, idField } from '../src/schema/field-tables.js'
import {
  addNack, addReceiver, addRoute, addSection, beginRecord, createRecordWriter, finishRecord, recordAudience, routeFlags, type RecordHead, type RecordWriter,
} from '../src/wire/record.js'
import {
  addEvent, addressedStream, beginSection, createSectionWriter, finishSection, isEmptySection, roomStream, serverStream, sessionStream, what, type SectionHead, type SectionWriter,
} from '../src/wire/section.js'
import type { WordViews } from '../src/wire/envelope.js'
import type { ActiveRoom } from './active-room.js'
import { putColumn, putRows, type RowBits } from './gather.js'
import { putHashes } from './hashes.js'
import { encodeOwned, ownersOf } from './owned.js'
import { planTable, type TablePlan } from './plan.js'

/** A thread's writers and heads, reused by every flush: object literals with spreads were a fifth of a small flush. */
export interface Encoder {
  readonly record: RecordWriter
  readonly section: SectionWriter
  readonly head: SectionHead
  readonly recordHead: RecordHead
  onClamped(room: ActiveRoom, table: string, count: number): void
}

export const createEncoder = (views: WordViews, instance: number, onClamped: Encoder['onClamped']): Encoder => ({
  record: createRecordWriter(views), section: createSectionWriter(views),
  head: { epoch: 0, seq: 0, prevSeq: 0, tick: 0, stream: 0 },
  recordHead: { epoch: 0, seq: 0, durableSeq: 0, parentEpoch: 0, forkSeq: 0, journalThrough: 0, tick: 0, instance },
  onClamped,
})

const textEncoder = new TextEncoder()

/** Writes the record of `seq` at `address`; returns its length. */
export function encodeRecord(encoder: Encoder, room: ActiveRoom, address: number, seq: number): number {
  const { record, head, recordHead } = encoder
  head.epoch = recordHead.epoch = room.epoch
  head.seq = recordHead.seq = seq
  head.tick = recordHead.tick = room.book.clock.tick
  beginRecord(record, address)
  encoder.section.bitmaps.count = 0
  const hashDue = room.arena.u32[(room.layout.base + atFlushes) >>> 2]++ % flushesPerHash === 0
  encodeRoomSection(encoder, room, hashDue)
  const ownSections = encodeOwnSections(encoder, room)
  encodeAddressed(encoder, room)
  encodeServerSection(encoder, room, ownSections.size > 0)
  addRoutes(record, room, ownSections)
  if (room.nacks.length > 0) for (const nack of room.nacks) addNack(record, nack.slot, nack.number, textEncoder.encode(nack.text))
  // Without a log, committed is as durable as it gets.
  recordHead.durableSeq = room.type.definition.durability.startsWith('ops') ? loadWide(room.arena, room.layout.base + atDurableSeq) : seq
  recordHead.parentEpoch = room.parentEpoch
  recordHead.forkSeq = room.forkSeq
  recordHead.journalThrough = room.appliedThrough
  return finishRecord(record, recordHead)
}

/** Ends the section that was written at the record's cursor; returns its index in the record. */
function endSection({ record, section, head }: Encoder, stream: number, audience: number, prevSeq: number): number {
  head.prevSeq = prevSeq
  head.stream = stream
  return addSection(record, stream, audience, finishSection(section, head))
}

function encodeRoomSection(encoder: Encoder, room: ActiveRoom, hashDue: boolean): void {
  const { section, record } = encoder
  beginSection(section, record.cursor)
  const { index } = room.type
  for (let table = 0; table < room.dueCount; table++) {
    const plan = room.due[table], { layout } = plan
    if (layout.table.audience !== 'everyone') continue
    const clamped = putHomeTable(room.arena, section, plan, index.tables[layout.index], index.home[layout.index])
    if (clamped > 0) encoder.onClamped(room, layout.table.name, clamped)
  }
  if (room.events.length > 0) for (const event of room.events) if (event.receivers === undefined) addEvent(section, event.event, event.bytes)
  section.missedEvents = room.missedEvents
  if (isEmptySection(section)) return
  if (hashDue) putHashes(room, section)
  const { clock } = room.book
  const prevSeq = clock.roomChangedSeq
  clock.roomChangedSeq = encoder.head.seq
  endSection(encoder, roomStream, recordAudience.everyone, prevSeq)
}

const bits: RowBits = { bitmap: 0, words: 0, first: 0, count: 0 }

/** The rows that are being put. One object, used again. */
function rowBits(bitmap: number, words: number, count: number): RowBits {
  bits.bitmap = bitmap
  bits.words = words
  bits.count = count
  return bits
}

/** Despawned and spawned rows, and changed columns, of a table in the section that its rows live in. `numbers`: of its fields there, -1: not in it. */
function putHomeTable(arena: Arena, section: SectionWriter, plan: TablePlan, table: number, numbers: readonly number[]): number {
  const { layout, words } = plan
  let clamped = 0
  if (plan.despawned > 0) putRows(arena, section, table, what.despawned, rowBits(layout.despawned, words, plan.despawned))
  if (plan.spawned > 0) clamped += putSpawned(arena, section, plan, table, numbers)
  if (plan.changes > 0) clamped += putChanged(arena, section, plan, table, numbers)
  return clamped
}

function putSpawned(arena: Arena, section: SectionWriter, plan: TablePlan, table: number, numbers: readonly number[]): number {
  const { layout } = plan
  const rows = rowBits(layout.spawned, plan.words, plan.spawned)
  const rowSet = putRows(arena, section, table, what.spawned, rows)
  putColumn(arena, section, rowSet, generationField, layout.generation, 'live', rows)
  if (layout.id !== undefined) putColumn(arena, section, rowSet, idField, layout.id, 'live', rows)
  let clamped = 0
  for (let field = 0; field < layout.columns.length; field++) {
    if (numbers[field] >= 0) clamped += putColumn(arena, section, rowSet, numbers[field], layout.columns[field], 'live', rows)
  }
  return clamped
}

/** Changed columns, ordered by row set: columns whose changed rows are the same share one. */
function putChanged(arena: Arena, section: SectionWriter, plan: TablePlan, table: number, numbers: readonly number[]): number {
  const { layout, words, changed } = plan
  let clamped = 0
  for (let field = 0; field < layout.columns.length; field++) {
    if (changed[field] === 0 || numbers[field] < 0 || sharesEarlierRows(arena, plan, field, numbers)) continue
    const rows = rowBits(layout.columns[field].changed, words, changed[field])
    const rowSet = putRows(arena, section, table, what.changed, rows)
    for (let other = field; other < layout.columns.length; other++) {
      if (numbers[other] < 0 || !sameRows(arena, plan, field, other)) continue
      clamped += putColumn(arena, section, rowSet, numbers[other], layout.columns[other], 'live', rows)
    }
  }
  return clamped
}

function sameRows({ kernels, u32 }: Arena, { layout: { columns }, words, changed }: TablePlan, a: number, b: number): boolean {
  if (a === b) return true
  if (changed[a] !== changed[b]) return false
  const one = columns[a].changed, other = columns[b].changed
  // Not worth a call.
  if (words === 1) return u32[one >>> 2] === u32[other >>> 2] && u32[(one >>> 2) + 1] === u32[(other >>> 2) + 1]
  return kernels.equalBits(one, other, words) === 1
}

function sharesEarlierRows(arena: Arena, plan: TablePlan, field: number, numbers: readonly number[]): boolean {
  for (let earlier = 0; earlier < field; earlier++) {
    if (numbers[earlier] >= 0 && sameRows(arena, plan, earlier, field)) return true
  }
  return false
}

const noSections: ReadonlyMap<number, number> = new Map()

/** One section per owner of changed rows, and per session whose own row moved; gives the section's index by slot. */
function encodeOwnSections(encoder: Encoder, room: ActiveRoom): ReadonlyMap<number, number> {
  if (room.ownRows.size === 0 && !room.type.index.anyOwned) return noSections
  const sections = new Map<number, number>()
  const owners = ownersOf(room)
  for (const slot of room.ownRows) if (!owners.has(slot)) owners.set(slot, [])
  for (const [slot, changes] of owners) {
    const { section, record } = encoder
    beginSection(section, record.cursor)
    encodeOwned(room, section, changes)
    if (room.ownRows.has(slot)) room.book.putOwnRow(section, slot)
    const prevSeq = room.book.takeChangedSeq(slot, encoder.head.seq)
    sections.set(slot, endSection(encoder, sessionStream(slot), recordAudience.owner, prevSeq))
  }
  return sections
}

/** Events to some sessions: encoded once each, without prevSeq; the receivers stand in the route list. */
function encodeAddressed(encoder: Encoder, room: ActiveRoom): void {
  const { section, record } = encoder
  if (room.events.length === 0) return
  for (const { event, bytes, receivers } of room.events) {
    if (receivers === undefined) continue
    beginSection(section, record.cursor)
    addEvent(section, event, bytes)
    const index = endSection(encoder, addressedStream, recordAudience.some, 0)
    for (const slot of receivers) addReceiver(record, slot, index)
  }
}

/** Server tables and fields; part of every record. Planned only now where this flush itself has written: the room's clock, and sessions that have a section of their own. */
function encodeServerSection(encoder: Encoder, room: ActiveRoom, hasOwnSections: boolean): void {
  const { section, record, head } = encoder
  if (hasOwnSections) planLate(room, room.plans[room.type.sessionsTable])
  planLate(room, room.plans[room.type.roomTable])
  beginSection(section, record.cursor)
  const { home, servers } = room.type.index
  for (let table = 0; table < room.dueCount; table++) {
    const plan = room.due[table], { index } = plan.layout
    if (plan.layout.table.audience === 'server') putHomeTable(room.arena, section, plan, index, home[index])
    else putServerFields(room.arena, section, plan, servers[index])
  }
  endSection(encoder, serverStream, recordAudience.server, head.seq - 1)
}

/** Plans a table after the others, which keep their order. */
function planLate(room: ActiveRoom, plan: TablePlan): void {
  if (!planTable(room.arena, plan, false)) return
  const { due } = room
  let at = room.dueCount
  while (at > 0 && due[at - 1].layout.index > plan.layout.index) at--
  if (at > 0 && due[at - 1] === plan) return
  for (let last = room.dueCount++; last > at; last--) due[last] = due[last - 1]
  due[at] = plan
}

/** Server fields of rows that live in another section: with their values for every spawned row, and for changed ones. */
function putServerFields(arena: Arena, section: SectionWriter, plan: TablePlan, numbers: readonly number[]): void {
  const { layout, words } = plan
  if (plan.changes > 0) putChanged(arena, section, plan, layout.index, numbers)
  if (plan.spawned === 0 || !hasServerField(layout)) return
  const rows = rowBits(layout.spawned, words, plan.spawned)
  const rowSet = putRows(arena, section, layout.index, what.changed, rows)
  for (let field = 0; field < layout.columns.length; field++) {
    if (numbers[field] >= 0) putColumn(arena, section, rowSet, field, layout.columns[field], 'live', rows)
  }
}

const hasServerField = ({ columns }: TableLayout): boolean => columns.some(({ field }) => field.audience === 'server')

/** Every session that joined, left, or whose number or own section is due. */
function addRoutes(record: RecordWriter, room: ActiveRoom, ownSections: ReadonlyMap<number, number>): void {
  const { book } = room
  if (room.left.size + room.replaced.length + room.moved.size + room.joined.size + ownSections.size === 0) return
  // A dropped session that ends has nobody to be told.
  for (const [slot, connection] of room.left) if (connection !== 0) addRoute(record, slot, connection, 0, routeFlags.left | (room.closing === undefined ? 0 : routeFlags.closing), -1)
  for (const { slot, connection } of room.replaced) addRoute(record, slot, connection, 0, routeFlags.replaced, -1)
  // Most often all that there is to say is whose inputs were applied.
  const slots = room.joined.size + ownSections.size === 0 ? room.moved : new Set([...room.moved, ...room.joined, ...ownSections.keys()])
  for (const slot of slots) {
    if (!book.has(slot) || book.connectionOf(slot) === 0) continue
    const flags = room.joined.has(slot) ? routeFlags.joined : 0
    addRoute(record, slot, book.connectionOf(slot), book.appliedThroughOf(slot), flags, ownSections.get(slot) ?? -1)
  }
}
