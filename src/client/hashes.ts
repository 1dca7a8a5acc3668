/** State hashes, as schema/section.fbs defines them, of replicas: what tells a client that it has what the room has. Browser and Node. */
import { createLaneHash, finishLaneHash, hashLane } from '../base/hash.js'
import { idField, isSlot } from '../schema/field-tables.js'
import { BadSection, countOf, hashVector, type SectionView } from './apply.js'
import type { NumberArray, Replica, ReplicaColumn } from './table.js'

/** Compares the section's hashes with the replicas as they are before it; gives the columns that differ. */
export function differingColumns(section: SectionView, replicas: readonly (Replica | null)[]): { table: string; field: string }[] {
  const differing: { table: string; field: string }[] = []
  let left = replicas.reduce((sum, replica) => sum + (replica === null ? 0 : replica.columns.length + 1), 0)
  for (let index = 0; index < countOf(section, hashVector); index++) {
    const at = (section.vectors[hashVector] >> 2) + index * 2
    const replica = replicas[section.u32[at] & 0xffff], field = section.u32[at] >>> 16, hash = section.u32[at + 1]
    if (replica === undefined) throw new BadSection('a hash names no table')
    const column = field === idField ? undefined : replica?.numbered[field]
    if (replica === null || column === null) continue
    if (--left < 0) throw new BadSection('there are more hashes than columns')
    const own = field === idField ? hashIds(replica) : column === undefined ? undefined : hashColumn(replica, column)
    if (own !== hash) differing.push({ table: replica.table.name, field: column?.field.name ?? '$id' })
  }
  return differing
}

/** True if the section carries hashes. */
export const hasHashes = (section: SectionView): boolean => countOf(section, hashVector) > 0

function hashColumn(replica: Replica, column: ReplicaColumn): number {
  const hash = createLaneHash()
  const { field } = column
  const lanes = isSlot(field) ? undefined : new DataView((column.wire as NumberArray).buffer)
  for (let row = 0; row < replica.end; row++) {
    if (replica.alive[row] === 0) continue
    hashLane(hash, row)
    if (lanes === undefined) { hashSlot(hash, (column.wire as (string | Uint8Array)[])[row]); continue }
    const at = row * field.bytes
    if (field.bytes === 1) hashLane(hash, lanes.getUint8(at))
    else if (field.bytes === 2) hashLane(hash, lanes.getUint16(at, true))
    else for (let lane = 0; lane < field.bytes; lane += 4) hashLane(hash, lanes.getUint32(at + lane, true))
  }
  return finishLaneHash(hash)
}

const encoder = new TextEncoder()

function hashSlot(hash: ReturnType<typeof createLaneHash>, value: string | Uint8Array): void {
  const bytes = typeof value === 'string' ? encoder.encode(value) : value
  hashLane(hash, bytes.length)
  for (let at = 0; at < bytes.length; at += 4) hashLane(hash, bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | bytes[at + 3] << 24)
}

/** The ids' hash: they are a text column without a field. */
function hashIds(replica: Replica): number {
  const hash = createLaneHash()
  for (let row = 0; row < replica.end; row++) {
    if (replica.alive[row] === 0) continue
    hashLane(hash, row)
    hashSlot(hash, replica.ids[row] ?? '')
  }
  return finishLaneHash(hash)
}
