/**
 * A record as one MessagePack map, for consumers without a schema: docs/redis.md draws it. Main thread. The only door to `msgpackr`, which here only writes:
 * instances take the record's own bytes out of the map, by a reader that makes nothing of the rest.
 */
import { Packr } from 'msgpackr'
import type { PublicTables } from '../schema/field-tables.js'
import type { WordViews } from './envelope.js'
import { unpackFields } from './fields.js'
import { plainValue, readColumn } from './plain-values.js'
import { readReceivers, readRecordHead, readSections, recordAudience, type SectionRef } from './record.js'
import { ownRowEvent, what } from './section.js'
import { readEvents, readRowSets, rowsOf, type RowSetRef } from './section-rows.js'

type Row = Record<string, unknown>
type ByTable<T> = Record<string, T[]>

/** What clients may see of one record. */
interface RecordMap { readonly despawned: ByTable<number>; readonly spawned: ByTable<Row>; readonly changed: ByTable<Row>; readonly events: Row[] }

// Records and structures are this library's own extension, which others cannot read.
const packr = new Packr({ useRecords: false, variableMapSize: true })

/** `bytes`: a record of our own, at the beginning of its buffer. */
export function writeRecordMap(bytes: Uint8Array, tables: PublicTables): Uint8Array {
  const views: WordViews = { u8: bytes, u16: new Uint16Array(bytes.buffer, 0, bytes.length >> 1), u32: new Uint32Array(bytes.buffer, 0, bytes.length >> 2) }
  const { epoch, seq, tick } = readRecordHead(views, 0), map: RecordMap = { despawned: {}, spawned: {}, changed: {}, events: [] }
  const receivers = readReceivers(views, 0)
  readSections(views, 0).forEach((section, index) => {
    if (section.audience === recordAudience.server) return
    for (const set of readRowSets(views, section.address)) putRows(views, map, set, tables)
    const to = section.audience === recordAudience.some ? receivers.filter((receiver) => receiver.section === index).map(({ slot }) => slot) : undefined
    putEvents(views, map, section, tables, to)
  })
  const packed = packr.pack({ epoch, seq, tick, ...map, record: Buffer.from(bytes.buffer, 0, bytes.length) })
  return new Uint8Array(packed.buffer, packed.byteOffset, packed.length)
}

function putRows(views: WordViews, { despawned, spawned, changed }: RecordMap, set: RowSetRef, tables: PublicTables): void {
  const { name, fields } = tables.tables[set.table], numbers = rowsOf(views, set)
  if (set.kind === what.despawned) {
    const rows = despawned[name] ??= []
    for (const row of numbers) rows.push(row)
    return
  }
  const rows: Row[] = numbers.map((row) => ({ row }))
  for (const column of set.columns) {
    const read = readColumn(views, column, rows.length, fields)
    if (read !== undefined) rows.forEach((row, index) => { row[read.name] = read.values[index] })
  }
  if (set.kind === what.spawned) for (const row of rows) (spawned[name] ??= []).push(withoutId(row))
  else mergeRows(changed[name] ??= [], rows)
}

/** A row that was given no id has none. */
function withoutId(row: Row): Row {
  if (row.id === '') delete row.id
  return row
}

/** Columns that changed in other rows come as a set of their own: each row is named once. */
function mergeRows(into: Row[], rows: readonly Row[]): void {
  const known = into.length === 0 ? undefined : new Map(into.map((row) => [row.row, row]))
  for (const row of rows) {
    const same = known?.get(row.row)
    if (same === undefined) into.push(row)
    else Object.assign(same, row)
  }
}

function putEvents(views: WordViews, { events }: RecordMap, section: SectionRef, tables: PublicTables, to: readonly number[] | undefined): void {
  for (const { event, at, bytes } of readEvents(views, section.address)) {
    if (event === ownRowEvent) continue
    const { name, fields } = tables.events[event], values = unpackFields(fields, new DataView(views.u8.buffer), at, at + bytes) ?? {}
    const data = Object.fromEntries(fields.map((field) => [field.name, plainValue(field, values[field.name])]))
    events.push({ name, data, ...(to === undefined ? {} : { to }) })
  }
}
