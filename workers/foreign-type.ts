/**
 * A room type as another version of its module lays it out: for following a room whose owner runs other code. Worker thread. Its field tables come from
 * another instance, and are checked before anything is laid out by them. Clients must see the same: only what servers keep to themselves may differ.
 */
import { fieldsMax, rowsMax, slotBytesMax, tablesMax } from '../src/base/limits.js'
import { audiences, isSlot, type Audience, type EntityTable, type FieldTable, type KindName } from '../src/schema/field-tables.js'
import { hashTables, publicIndex, publicTablesOf, schemaHash } from '../src/schema/tables-of.js'
import { BadStore } from './bad-store.js'
import { invertIndex } from './public-index.js'
import { trackingOf, type RoomType } from './room-type.js'

/** The type with these field tables instead of its own. Throws BadStore. */
export function foreignType(type: RoomType, tables: readonly EntityTable[]): RoomType {
  if (tables.length === 0 || tables.length > tablesMax * 2 || !tables.every(isTable) || new Set(tables.map(({ name }) => name)).size !== tables.length) throw new BadStore('its owner\'s field tables are none')
  const full = { ...type.full, tables }, number = (name: string): number => tables.findIndex((table) => table.name === name)
  for (const index of [type.sessionsTable, type.roomTable]) {
    const own = type.full.tables[index], theirs = tables[number(own.name)]
    if (JSON.stringify(theirs?.fields) !== JSON.stringify(own.fields)) throw new BadStore(`its owner is of another version of the engine: ${own.name} differs`)
  }
  const publicTables = publicTablesOf(full)
  if (schemaHash(publicTables) !== type.hash) throw new BadStore('its owner shows clients other tables')
  return {
    ...type, ...trackingOf(tables, type.touchTables), full, fullHash: hashTables(tables), index: invertIndex(full, publicIndex(full)),
    definition: { ...type.definition, maxSessions: tables[number('$sessions')].capacity },
    sessionsTable: number('$sessions'), roomTable: number('$room'), optionsTable: number('$options'), listingTable: number('$listing'),
    timerTables: new Map(tables.flatMap(({ name }, index) => name.startsWith('$timer:') ? [[name.slice(7), index]] : [])),
    playerTable: full.player === undefined ? -1 : number(full.player),
  }
}

const bytesOfKind: Readonly<Partial<Record<KindName, readonly number[]>>> = {
  u8: [1], i8: [1], bool: [1], choice: [1], u16: [2], i16: [2], u32: [4], i32: [4], f32: [4], f64: [8], u64: [8], i64: [8], ref: [8], quantized: [1, 2, 4],
}
const slotKinds: readonly KindName[] = ['text', 'json', 'list', 'optional']

function isTable(table: EntityTable): boolean {
  const { name, capacity, audience, ids, fields } = table
  return typeof name === 'string' && name.length > 0 && isBetween(capacity, 1, rowsMax * 2 + 1) && audiences.includes(audience as Audience) && typeof ids === 'boolean'
    && Array.isArray(fields) && fields.length <= fieldsMax + 4 && fields.every(isField) && new Set(fields.map((field: FieldTable) => field.name)).size === fields.length
}

/** Sizes are what addresses are computed from. */
function isField(field: FieldTable): boolean {
  const { name, kind, audience, bytes, liveBytes, maxBytes, choices } = field
  if (typeof name !== 'string' || !audiences.includes(audience as Audience)) return false
  if (slotKinds.includes(kind)) return isSlot(field) && isBetween(maxBytes, 0, slotBytesMax) && bytes === 2 + maxBytes! + (maxBytes! & 1) && liveBytes === bytes
  if (isSlot(field) || bytesOfKind[kind]?.includes(bytes) !== true) return false
  if (kind === 'choice' && !(Array.isArray(choices) && isBetween(choices.length, 1, 256))) return false
  return liveBytes === (kind === 'quantized' ? 4 : bytes)
}

const isBetween = (value: unknown, low: number, high: number): boolean => Number.isInteger(value) && (value as number) >= low && (value as number) <= high
