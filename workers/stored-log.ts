/**
 * The records behind a stored room, applied to replicas of all its tables. Worker thread; nothing of the room itself is touched.
 *
 * Everything may be hostile. Each record has to continue the one before (base/lineage.ts), and pays for the rows that it speaks of: with values, or with rows
 * that an earlier one has paid for. So few bytes never are much work. Throws BadStore, or what the reader of sections throws.
 */
import { continues, type Position } from '../src/base/lineage.js'
import { applySection, isChunk, openSection, type SectionView } from '../src/client/apply.js'
import type { Replica, ReplicaColumn } from '../src/client/table.js'
import { generationField, type EntityTable } from '../src/schema/field-tables.js'
import { hashTables, publicIndex } from '../src/schema/tables-of.js'
import type { WordViews } from '../src/wire/envelope.js'
import { readRecordHead, readSections, recordAudience, recordRule, type RecordHead, type SectionRef } from '../src/wire/record.js'
import { columnWords, rowSetWords, sectionVectors, what } from '../src/wire/section.js'
import { verify } from '../src/wire/verifier.js'
import { BadStore } from './bad-store.js'
import { audienceOf } from './check-record.js'

const check = (holds: boolean, problem: string): void => { if (!holds) throw new BadStore(problem) }

/** Applies the records, which follow `from`; returns where they end. */
export function applyLog(replicas: readonly Replica[], records: readonly Uint8Array[], from: Position): Position {
  const publicReplicas = publicReplicasOf(replicas)
  let position = from
  for (const bytes of records) {
    const head = applyStoredRecord(bytes, replicas, publicReplicas, position)
    position = { epoch: head.epoch, seq: head.seq }
  }
  checkTables(replicas)
  return position
}

/** Numbers of other field tables can fit these by chance; but then this one is not theirs. */
function checkTables(replicas: readonly Replica[]): void {
  const room = replicas.find(({ table }) => table.name === '$room'), hash = room?.columns.find(({ field }) => field.name === 'tablesHash')
  check(hash === undefined || hash.values[0] === hashTables(replicas.map(({ table }) => table)), 'its log was written with other field tables')
}

function applyStoredRecord(stored: Uint8Array, replicas: readonly Replica[], publicReplicas: readonly Replica[], position: Position): RecordHead {
  // A copy: it begins where typed arrays can be laid over it.
  const u8 = stored.slice(), { buffer } = u8
  check(verify(u8, 'KREC', recordRule), `what follows seq ${position.seq} in its log is no record`)
  const views: WordViews = { u8, u16: new Uint16Array(buffer, 0, u8.length >> 1), u32: new Uint32Array(buffer, 0, u8.length >> 2) }
  const head = readRecordHead(views, 0), sections = readSections(views, 0)
  check(continues(position, head), `its log goes on with seq ${head.seq} of epoch ${head.epoch} behind seq ${position.seq} of epoch ${position.epoch}`)
  check(sections.reduce((sum, { bytes }) => sum + bytes, 0) <= u8.length, `record ${head.seq} is smaller than its sections`)
  for (const ref of sections) {
    if (ref.audience !== recordAudience.some) applyStoredSection(u8, ref, head, ref.audience === recordAudience.server ? replicas : publicReplicas)
  }
  return head
}

function applyStoredSection(record: Uint8Array, ref: SectionRef, { epoch, seq }: RecordHead, replicas: readonly Replica[]): void {
  const { address, bytes, stream, audience } = ref
  const section = address + bytes <= record.length ? openSection(record.slice(address, address + bytes).buffer) : undefined
  if (section === undefined || isChunk(section)) throw new BadStore(`a section of record ${seq} is none`)
  check(section.epoch === epoch && section.seq === seq && section.stream === stream && audience === audienceOf(stream), `a section of record ${seq} is another's`)
  const sizes = sizesBehind(section, replicas)
  applySection(section, replicas, { nowMs: 0, intervalMs: 0 })
  // Whoever ends a row that does not live has paid for none.
  for (const [replica, size] of sizes) check(replica.size === size, `record ${seq} speaks of rows of ${replica.table.name} that its log does not have`)
}

/** How many rows each table has to have behind the section. Throws BadStore if rows come without what every writer gives them. */
function sizesBehind({ u32, vectors }: SectionView, replicas: readonly Replica[]): Map<Replica, number> {
  const words = (vector: number, each: number): [from: number, end: number] => {
    const at = vectors[vector]
    return at === 0 ? [0, 0] : [at >>> 2, (at >>> 2) + u32[(at >>> 2) - 1] * each]
  }
  const sizes = new Map<Replica, number>(), [first, end] = words(sectionVectors.rowSets, rowSetWords)
  let [column, columnEnd] = words(sectionVectors.columns, columnWords)
  for (let at = first, set = 0; at < end; at += rowSetWords, set++) {
    const replica = replicas[u32[at] & 0xffff], kind = u32[at] >>> 16 & 0xff, count = u32[at + 2]
    let columns = 0, generations = 0
    for (; column < columnEnd && (u32[column] & 0xffff) === set; column += columnWords, columns++) if (u32[column] >>> 16 === generationField) generations++
    check(replica !== undefined && kind <= what.despawned && count > 0, 'a row set is none')
    check(kind === what.despawned ? columns === 0 : kind === what.spawned ? generations === 1 : columns > 0 && generations === 0, 'a row set has other columns than its kind')
    if (kind !== what.changed) sizes.set(replica, (sizes.get(replica) ?? replica.size) + (kind === what.spawned ? count : -count))
  }
  check(column === columnEnd, 'values belong to no row set')
  return sizes
}

/** The tables and fields of these that clients know, as the streams of rooms and sessions number them. */
function publicReplicasOf(replicas: readonly Replica[]): Replica[] {
  const tables: readonly EntityTable[] = replicas.map(({ table }) => table), numbers = publicIndex({ tables }), found: Replica[] = []
  numbers.tables.forEach((number, index) => { if (number >= 0) found[number] = publicReplica(replicas[index], numbers.fields[index]) })
  return found
}

/** The same rows and values, by other numbers of fields. */
function publicReplica(full: Replica, numbers: readonly number[]): Replica {
  const columns: ReplicaColumn[] = []
  numbers.forEach((number, index) => { if (number >= 0) columns[number] = full.columns[index] })
  return {
    ...full, columns, numbered: columns,
    get size() { return full.size }, set size(size) { full.size = size },
    get end() { return full.end }, set end(end) { full.end = end },
  }
}
