/**
 * A room type as a worker knows it: the author's module, its field tables with the engine's own behind them, and where those are.
 * Made once per thread from the bundles; the same bundles give the same numbers on every thread.
 */
import { keyWords } from '../src/base/key-stream.js'
import { timersPerNameMax, userBytesMax } from '../src/base/limits.js'
import { generationField, idField, type EntityTable, type FieldTable, type FullTables, type PublicTables } from '../src/schema/field-tables.js'
import { fieldsOf, fullTablesOf, hashTables, publicIndex, publicTablesOf, schemaHash } from '../src/schema/tables-of.js'
import { blockBytesFor } from '../src/memory/arena.js'
import type { CatalogEntry } from '../src/memory/crossing.js'
import { layoutRoom, touchedWordsOf } from '../src/memory/room-layout.js'
import { normalise, type NormalDefinition, type RoomModule } from '../src/room/define.js'
import { invertIndex, type PublicIndex } from './public-index.js'

export interface RoomType {
  readonly number: number
  readonly name: string
  readonly definition: NormalDefinition
  readonly full: FullTables
  readonly tables: PublicTables
  readonly hash: number
  /** Of the full field tables: what the room's log is written with. */
  readonly fullHash: number
  readonly index: PublicIndex
  /** Full table numbers of the engine's tables. */
  readonly sessionsTable: number
  readonly roomTable: number
  readonly optionsTable: number
  readonly listingTable: number
  readonly timerTables: ReadonlyMap<string, number>
  readonly playerTable: number
  /** Names of the tables that track touches: those whose author wants it, globals, and the engine's own, which know what they write. In no field table. */
  readonly touchTables: ReadonlySet<string>
  /** The same by table. */
  readonly tracksTouch: readonly boolean[]
  /** By table: its first mark, in u32 from the room's first on; behind the last table the end of all. */
  readonly marksFrom: readonly number[]
}

const server = (name: string, kind: FieldTable['kind'], bytes: number): FieldTable =>
  ({ name, kind, audience: 'server', bytes, liveBytes: bytes, default: 0 })
const serverText = (name: string, maxBytes: number): FieldTable =>
  ({ name, kind: 'text', audience: 'server', bytes: 2 + maxBytes, liveBytes: 2 + maxBytes, default: '', maxBytes })
const engineTable = (name: string, capacity: number, fields: readonly FieldTable[]): EntityTable =>
  ({ name, capacity, audience: 'server', ids: false, fields })

/**
 * Who is in the room. A session's slot is its row. `joinedSeq`: of the first record that knows it; what the same slot was told before is another's. `connection` 0: dropped, and kept until room time `graceUntil`. `generation`: of the newest
 * token that its client is known to have. `ownRow`, `rowGeneration` and `hasRow` are the ref of its own row.
 */
const sessionsTable = (capacity: number): EntityTable => engineTable('$sessions', capacity, [
  serverText('sessionId', 24), server('connection', 'f64', 8), server('appliedThrough', 'u32', 4), server('changedSeq', 'f64', 8),
  server('generation', 'u32', 4), server('graceUntil', 'f64', 8), server('joinedMs', 'f64', 8), server('joinedSeq', 'f64', 8), server('ownRow', 'u32', 4), server('rowGeneration', 'u16', 2), server('hasRow', 'u8', 1),
  { ...serverText('user', userBytesMax), isJournaled: true },
])

/** The room's own state: the key of its random numbers and how many were drawn, time, the last changed seq of its stream, the last order given to a timer or a row, and who writes it: the module's version, the hash of its full field tables. The servers' stream changes with every record. */
const roomTable = engineTable('$room', 1, [
  ...Array.from({ length: keyWords }, (_, n) => server(`random${n}`, 'u32', 4)), server('drawn', 'f64', 8),
  server('tick', 'f64', 8), server('timeMs', 'f64', 8), server('roomChangedSeq', 'f64', 8), server('order', 'f64', 8), server('locked', 'u8', 1),
  server('version', 'u32', 4), server('tablesHash', 'u32', 4),
])

const hidden = (field: FieldTable): FieldTable => ({ ...field, audience: 'server' })
const timerTable = (name: string, args: readonly FieldTable[]): EntityTable => engineTable(`$timer:${name}`, timersPerNameMax, [
  server('$due', 'f64', 8), server('$armed', 'f64', 8), serverText('$key', 62), ...args.map(hidden),
])

/** Who owns a row: the session's slot + 1, 0 for nobody. Fixed at spawn until that session leaves. Behind the fields of every author's table. */
const ownerColumn: FieldTable = { ...server('$owner', 'u32', 4), isOwner: true }
/** `drop-oldest` tables only, before it: the row's place in the order of all that was ever spawned. */
const bornColumn: FieldTable = { ...server('$born', 'f64', 8), isFixed: true }
const withHidden = (table: EntityTable): EntityTable => {
  if (table.name.startsWith('$')) return table
  return { ...table, fields: [...table.fields, ...(table.keep === undefined ? [] : [bornColumn]), ownerColumn] }
}

export function createRoomType(module: RoomModule, number: number): RoomType {
  const definition = normalise(module.definition)
  const timers = Object.entries(definition.timers).map(([name, fields]) => timerTable(name, fieldsOf(fields)))
  const plain = fullTablesOf(module.schema, [])
  const options = engineTable('$options', 1, plain.options.map(hidden))
  const listing = engineTable('$listing', 1, plain.listing.map(hidden))
  const engine = [sessionsTable(definition.maxSessions), roomTable, options, listing, ...timers]
  const full: FullTables = { ...plain, tables: [...plain.tables.map(withHidden), ...engine] }
  const tables = publicTablesOf(full)
  const touchTables = new Set(['$globals', ...engine.map(({ name }) => name), ...Object.entries(module.schema.tables ?? {}).filter(([, { options: { track } }]) => track === 'touch').map(([name]) => name)])
  const tableNumber = (name: string): number => full.tables.findIndex((table) => table.name === name)
  return {
    number, name: full.name, definition, full, tables, hash: schemaHash(tables), fullHash: hashTables(full.tables), index: invertIndex(full, publicIndex(full)),
    sessionsTable: tableNumber('$sessions'), roomTable: tableNumber('$room'), optionsTable: tableNumber('$options'),
    listingTable: tableNumber('$listing'),
    timerTables: new Map(Object.keys(definition.timers).map((name) => [name, tableNumber(`$timer:${name}`)])),
    playerTable: full.player === undefined ? -1 : tableNumber(full.player),
    touchTables, ...trackingOf(full.tables, touchTables),
  }
}

export function trackingOf(tables: readonly EntityTable[], touchTables: ReadonlySet<string>): Pick<RoomType, 'tracksTouch' | 'marksFrom'> {
  const marksFrom = [0]
  for (const { capacity } of tables) marksFrom.push(marksFrom[marksFrom.length - 1] + touchedWordsOf(capacity) * 2)
  return { tracksTouch: tables.map(({ name }) => touchTables.has(name)), marksFrom }
}

export const layoutLimitsOf = (type: RoomType): { sessions: number; generationField: number; idField: number } =>
  ({ sessions: type.definition.maxSessions, generationField, idField })

/** What the main thread is told of a type. */
export const catalogOf = (type: RoomType): CatalogEntry => {
  const { number, name, tables, hash, full, definition: { opens, tickHz, flushHz, maxSessions, durability, whenDetached, version } } = type
  return { number, name, tables, hash, listing: full.listing, opens, tickHz, flushHz, maxSessions, durability, whenDetached, version, blockBytes: blockBytesFor(layoutRoom(full, layoutLimitsOf(type), 0).bytes) }
}
