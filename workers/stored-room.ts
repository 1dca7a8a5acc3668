/**
 * A stored room: a snapshot of all its committed tables, with the field tables that say what they are, and the records behind it (stored-log.ts). One writer,
 * one reader. Worker thread; the main thread and the backplane see opaque bytes.
 *
 *   the form of a snapshot area (area.ts): first an entry of the stream `tablesStream`, JSON of the full field tables; then chunks of
 *   the servers' stream with the full tables' numbers.
 */
import type { RingWriter } from '../src/memory/ring.js'
import { send, toMain, wideWords } from '../src/memory/crossing.js'
import { isSame, start, type Position } from '../src/base/lineage.js'
import { arenaBytesMax, rowsMax } from '../src/base/limits.js'
import { isSlot, kinds, type EntityTable, type FieldTable } from '../src/schema/field-tables.js'
import { serverStream, type SectionWriter } from '../src/wire/section.js'
import { applySection, openSection } from '../src/client/apply.js'
import { createReplica, type Replica } from '../src/client/table.js'
import type { ActiveRoom } from './active-room.js'
import { applyStateChunk } from './apply.js'
import { isStateChunk } from './check-record.js'
import { closeEntry, handOver, openArea, putTables, type Area } from './area.js'
import { BadStore } from './bad-store.js'
import { applyLog } from './stored-log.js'

/** Beside the streams of the wire: the field tables themselves. */
const tablesStream = 0xffff_ffff

/** Writes the room into its area, which is free, and hands it to the main thread; false if it could not be posted. */
export function storeRoom(room: ActiveRoom, section: SectionWriter, output: RingWriter): boolean {
  const area = openArea(room, section)
  putStored(area)
  const { layout, epoch, book } = room
  return handOver(area, () => send(output, toMain.store, [room.key, ...wideWords(epoch), ...wideWords(area.seq), book.clock.tick >>> 0, layout.snapshot, area.cursor - layout.snapshot]))
}

/** The room in its stored form. */
export function putStored(area: Area): void {
  const { room } = area
  const json = new TextEncoder().encode(JSON.stringify(room.type.full.tables))
  room.arena.u8.set(json, area.cursor + 8)
  closeEntry(area, json.length, tablesStream)
  putTables(area, serverStream, room.plans, { table: ({ layout }) => layout.index, field: (_, field) => field }, 0)
}

/** The entries of a stored room: field tables first, then chunks. Throws BadStore. */
function* entriesOf(bytes: Uint8Array): Generator<{ readonly stream: number; readonly entry: Uint8Array }> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let at = 0; at + 8 <= bytes.length;) {
    const length = view.getUint32(at, true), stream = view.getUint32(at + 4, true)
    if (at + 8 + length > bytes.length) throw new BadStore('an entry is longer than the data')
    yield { stream, entry: bytes.slice(at + 8, at + 8 + length) }
    at += 8 + (length + 7 & ~7)
  }
}

/** What is stored of a room: its newest snapshot, if there is one, and the records behind it. */
export interface Stored { readonly state: Uint8Array | undefined; readonly records: readonly Uint8Array[] }

/**
 * Reads a stored room as replicas of its tables: the snapshot by the field tables that it was written with, and the records behind it by the same. Without a
 * snapshot they reach back to the room's beginning, and `own` says what they speak of. `end`: the position of the last record. Throws BadStore.
 */
export function readStoredRoom(state: Uint8Array | undefined, records: readonly Uint8Array[], own: readonly EntityTable[], end: Position): readonly Replica[] {
  try {
    if (state === undefined && records.length === 0) throw new BadStore('there is neither a snapshot nor a log')
    const { replicas, position } = state === undefined ? { replicas: own.map(createReplica), position: start } : readState(state)
    if (records.length === 0) return replicas
    const last = applyLog(replicas, records, position)
    if (!isSame(last, end)) throw new BadStore(`its log ends with seq ${last.seq} of epoch ${last.epoch}, not with seq ${end.seq} of epoch ${end.epoch}`)
    return replicas
  } catch (error) {
    throw error instanceof BadStore ? error : new BadStore((error as Error).message)
  }
}

/** A snapshot, and where it was taken: its chunks say it themselves. */
function readState(bytes: Uint8Array): { readonly replicas: readonly Replica[]; readonly position: Position } {
  const replicas: Replica[] = []
  let position: Position | undefined
  for (const { stream, entry } of entriesOf(bytes)) {
    if (stream !== tablesStream) {
      const { epoch, seq } = readChunk(entry, replicas)
      if (position !== undefined && !isSame(position, { epoch, seq })) throw new BadStore('its chunks are of two states')
      position = { epoch, seq }
    } else if (replicas.length === 0) replicas.push(...readTables(entry).map(createReplica))
    else throw new BadStore('there are field tables twice')
  }
  if (replicas.length === 0) throw new BadStore('there are no field tables')
  return { replicas, position: position ?? start }
}

/**
 * Puts a stored room with this type's field tables into committed columns, byte for byte. Nothing else of the room is in use yet: each chunk lies in its
 * history meanwhile. Throws BadStore.
 */
export function commitStored({ arena, layout, type }: ActiveRoom, bytes: Uint8Array | undefined): void {
  if (bytes === undefined) throw new BadStore('its owner has given no state')
  for (const { stream, entry } of entriesOf(bytes)) {
    if (stream === tablesStream) {
      if (new TextDecoder().decode(entry) !== JSON.stringify(type.full.tables)) throw new BadStore('its owner has other field tables')
      continue
    }
    if (entry.length > layout.historyBytes) throw new BadStore('a chunk is larger than the room')
    arena.u8.set(entry, layout.history)
    if (!isStateChunk(arena, layout, type, layout.history, entry.length)) throw new BadStore('a chunk does not fit the field tables')
    applyStateChunk(arena, layout, type.index, layout.history)
  }
}

function readChunk(entry: Uint8Array, replicas: readonly Replica[]): Position {
  const section = openSection(entry.buffer as ArrayBuffer)
  if (section === undefined) throw new BadStore('a chunk is no section')
  applySection(section, replicas, { nowMs: 0, intervalMs: 0 })
  return section
}

const isCount = (value: unknown, max: number): boolean => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= max

/** The field tables that a stored form was written with. Throws BadStore. */
export function tablesOfState(bytes: Uint8Array): EntityTable[] {
  const [first] = entriesOf(bytes)
  if (first?.stream !== tablesStream) throw new BadStore('there are no field tables')
  try {
    return readTables(first.entry)
  } catch (error) {
    throw error instanceof BadStore ? error : new BadStore((error as Error).message)
  }
}

function readTables(json: Uint8Array): EntityTable[] {
  const tables = JSON.parse(new TextDecoder().decode(json)) as EntityTable[]
  const isField = (field: FieldTable): boolean => typeof field.name === 'string' && field.kind in kinds && isCount(field.bytes, 2 ** 16)
  const isTable = (table: EntityTable): boolean =>
    typeof table.name === 'string' && isCount(table.capacity, rowsMax * 2) && Array.isArray(table.fields) && table.fields.every(isField)
  if (!Array.isArray(tables) || !tables.every(isTable)) throw new BadStore('the field tables are none')
  if (tables.reduce((sum, table) => sum + replicaBytes(table), 0) > arenaBytesMax / copiesMin) throw new BadStore('the field tables say more than an arena holds')
  return tables
}

/** A room's block holds its rows at least so often: live, committed, in the record and snapshot that its areas are made for. */
const copiesMin = 6

/** What a replica takes: values, what marks a row, and the references to values that lie in slots. */
const replicaBytes = ({ capacity, fields }: EntityTable): number => capacity * fields.reduce((sum, field) => sum + field.bytes + (isSlot(field) ? 8 : 0), 3)
