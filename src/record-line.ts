/** A record in a line: where it leads, and how much it says of what. */
import { KasagiError } from './base/errors.js'
import type { EntityTable } from './schema/field-tables.js'
import { publicIndex } from './schema/tables-of.js'
import type { WordViews } from './wire/envelope.js'
import { readSections, recordAudience, type SectionRef } from './wire/record.js'
import { ownRowEvent, sectionRule, what } from './wire/section.js'
import { readEvents, readRowSets } from './wire/section-rows.js'
import { verify } from './wire/verifier.js'
import type { PeerRecord } from './server/peer-record.js'

/** A table's name in the sections of servers, and in those of clients. */
export interface TableNames { readonly server: (table: number) => string; readonly client: (table: number) => string }

/** Without field tables there are only numbers. */
export function tableNames(tables: readonly EntityTable[] | undefined): TableNames {
  if (tables === undefined) return { server: (table) => `server table ${table}`, client: (table) => `table ${table}` }
  const numbers = publicIndex({ tables }).tables
  return { server: (table) => tables[table]?.name ?? `server table ${table}`, client: (table) => tables[numbers.indexOf(table)]?.name ?? `table ${table}` }
}

type Counts = Record<string, number>

/** `despawned` and `spawned` count rows, `changed` values, by table; `events` counts by number. */
export interface RecordLine { readonly epoch: number; readonly seq: number; readonly tick: number; readonly bytes: number; readonly despawned: Counts; readonly spawned: Counts; readonly changed: Counts; readonly events: Counts }

const viewsOf = (u8: Uint8Array): WordViews => ({ u8, u16: new Uint16Array(u8.buffer, 0, u8.length >> 1), u32: new Uint32Array(u8.buffer, 0, u8.length >> 2) })

const add = (counts: Counts, name: string, by: number): void => { counts[name] = (counts[name] ?? 0) + by }

/** Throws KasagiError `data-bad` for sections that are none. */
export function lineOf({ head: { epoch, seq, tick }, bytes }: PeerRecord, names: TableNames): RecordLine {
  const line: RecordLine = { epoch, seq, tick, bytes: bytes.length, despawned: {}, spawned: {}, changed: {}, events: {} }
  for (const ref of readSections(viewsOf(bytes.slice()), 0)) addSection(line, bytes, ref, names)
  return line
}

function addSection(line: RecordLine, record: Uint8Array, { address, bytes, audience }: SectionRef, names: TableNames): void {
  // A copy: it begins where typed arrays can be laid over it.
  const section = record.slice(address, address + bytes), views = viewsOf(section), isServer = audience === recordAudience.server
  if (section.length !== bytes || !verify(section, 'KSEC', sectionRule)) throw new KasagiError('data-bad', `a section of record ${line.epoch}-${line.seq} is none`)
  for (const { table, kind, count, columns } of readRowSets(views, 0)) {
    const name = (isServer ? names.server : names.client)(table)
    if (kind === what.despawned) add(line.despawned, name, count)
    else if (kind === what.spawned) add(line.spawned, name, count)
    else add(line.changed, name, count * columns.length)
  }
  for (const { event } of readEvents(views, 0)) if (event !== ownRowEvent) add(line.events, String(event), 1)
}
