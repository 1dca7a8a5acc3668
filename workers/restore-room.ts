/**
 * Fills a new room from a stored one, by the names of tables and fields: added fields take their defaults, removed ones are dropped, what can
 * be said without loss in the new type is converted. Anything else is told by name, and the room does not open; unless its author has a `migrate`, which gets
 * what is left out here. Worker thread.
 */
import { graceMsMax } from '../src/base/limits.js'
import { packRef, placeRow, recount } from '../src/memory/rows.js'
import type { FieldTable } from '../src/schema/field-tables.js'
import { defaultOf } from '../src/schema/values.js'
import { quantize } from '../src/schema/quantize.js'
import type { Replica, ReplicaColumn } from '../src/client/table.js'
import { readValue, type TableContext } from '../src/client/tables.js'
import type { Column } from '../src/schema/index.js'
import type { ActiveRoom } from './active-room.js'
import { engineColumn, engineText, type AuthorTable } from './author-table.js'
import { BadStore } from './bad-store.js'
import type { NumberArray } from './columns.js'
import { storedContext } from './migrate.js'

/** Takes note of what does not fit, or throws. */
type Misfit = (what: string) => void

/** Writes the stored rows into live columns; what does not fit is left at its default if the room can `migrate`. Throws BadStore that names it otherwise. */
export function fillFromStore(room: ActiveRoom, stored: readonly Replica[]): void {
  const context = storedContext(stored), { type, tables } = room
  const refuse = (what: string): never => { throw new BadStore(what) }
  const migrates: Misfit = type.definition.handlers.migrate === undefined ? (what) => refuse(`${what}: needs migrate`) : () => {}
  const hasNoSeat: Misfit = (what) => refuse(`${what}: maxSessions is too small for it`)
  for (const table of tables) {
    const from = context.replica(table.name)
    // A session cannot be left out: nobody would do what its leave does.
    if (from !== undefined) fillTable(table, from, context, table === tables[type.sessionsTable] ? hasNoSeat : table === tables[type.roomTable] ? refuse : migrates)
  }
  checkEngineTables(room)
}

/** What the engine itself goes by: a time that is none would never come, or always. */
function checkEngineTables({ type, tables, book: { clock }, forkSeq }: ActiveRoom): void {
  const check = (holds: boolean, what: string): void => { if (!holds) throw new BadStore(`${what} cannot be`) }
  for (const table of [tables[0], tables[type.roomTable], tables[type.optionsTable], tables[type.listingTable]]) check(table.has(0), `${table.name} without a row`)
  for (const value of [clock.tick, clock.timeMs, clock.order]) check(value >= 0 && value <= Number.MAX_SAFE_INTEGER, `a clock at ${value}`)
  check(clock.roomChangedSeq <= forkSeq, `a change at ${clock.roomChangedSeq}`)
  const each = (table: AuthorTable, name: string, holds: (value: number) => boolean): void => {
    const column = engineColumn(table, name)
    for (const row of table.rows()) check(holds(column[row]), `${table.name}.${name} of ${column[row]}`)
  }
  const sessions = tables[type.sessionsTable], ids = [...sessions.rows()].map((row) => engineText(sessions, 'sessionId').get(row))
  check(new Set(ids).size === ids.length, 'two sessions of one id')
  each(sessions, 'changedSeq', (value) => value <= forkSeq)
  each(sessions, 'graceUntil', (value) => value <= clock.timeMs + graceMsMax)
  for (const number of type.timerTables.values()) for (const name of ['$due', '$armed']) each(tables[number], name, (value) => value >= 0)
}

function fillTable(table: AuthorTable, from: Replica, context: TableContext, misfit: Misfit): void {
  const { rowsOf } = table, rows = rowsThatFit(table, from, misfit)
  for (const row of rows) placeRow(rowsOf, row, from.generation[row])
  recount(rowsOf)
  for (const { field } of rowsOf.layout.columns) {
    const source = from.columns.find((column) => column.field.name === field.name), isFit = source === undefined || widens(source.field, field)
    if (!isFit) misfit(`${table.name}.${field.name}: what is stored as ${nameOf(source.field)} does not fit ${nameOf(field)}`)
    fillColumn(table, field, rows, isFit ? source : undefined, context)
  }
  if (rowsOf.layout.id !== undefined) for (const row of rows) table.setId(row, from.ids[row] ?? '')
}

/** Rows keep their numbers, which refs name. Of a table that keeps so many, the youngest fit. */
function rowsThatFit({ name, rowsOf: { capacity, layout: { table: { keep = capacity } } } }: AuthorTable, from: Replica, misfit: Misfit): number[] {
  const living = Array.from(from.alive.subarray(0, from.end).keys()).filter((row) => from.alive[row] === 1), rows = living.filter((row) => row < capacity)
  if (rows.length < living.length) misfit(`${name}: row ${living[rows.length]} is stored, but its capacity is ${capacity}`)
  if (rows.length <= keep) return rows
  misfit(`${name}: ${rows.length} rows are stored, but its capacity is ${keep}`)
  const born = from.columns.find(({ field }) => field.name === '$born')?.values as NumberArray | undefined
  return rows.sort((a, b) => born === undefined ? a - b : born[a] - born[b]).slice(-keep)
}

function fillColumn(table: AuthorTable, field: FieldTable, rows: readonly number[], source: ReplicaColumn | undefined, context: TableContext): void {
  const column = table.column(field.name)
  for (const row of rows) {
    const value = source === undefined ? defaultOf(field) : field.kind === 'ref' ? readRef(source, row) : readValue(source, row, context)
    if (ArrayBuffer.isView(column)) (column as NumberArray)[row] = value as number
    else (column as Column<unknown>).set(row, value)
  }
}

/** Also one whose target is gone: what is committed is what was stored. */
function readRef({ wire }: ReplicaColumn, row: number): number | null {
  const low = (wire as Uint32Array)[row * 2], high = (wire as Uint32Array)[row * 2 + 1]
  return high >>> 16 === 1 ? packRef(low, high & 0xffff) : null
}

const nameOf = ({ kind, maxBytes, choices }: FieldTable): string => `${kind}${maxBytes === undefined ? '' : `(${maxBytes})`}${choices === undefined ? '' : `(${choices.join(', ')})`}`

/** Integers that each kind of number holds exactly: least, greatest. */
const exact: Partial<Record<FieldTable['kind'], readonly [number, number]>> = {
  u8: [0, 0xff], i8: [-0x80, 0x7f], u16: [0, 0xffff], i16: [-0x8000, 0x7fff], u32: [0, 0xffff_ffff], i32: [-0x8000_0000, 0x7fff_ffff],
  f32: [-(2 ** 24), 2 ** 24], f64: [-(2 ** 53), 2 ** 53],
}

/** True if every value of `from` is one of `to`. */
function widens(from: FieldTable, to: FieldTable): boolean {
  if (JSON.stringify({ ...from, audience: '', default: 0, bytes: 0, liveBytes: 0 }) === JSON.stringify({ ...to, audience: '', default: 0, bytes: 0, liveBytes: 0 })) return true
  if (from.kind === 'text' && to.kind === 'text') return to.maxBytes! >= from.maxBytes!
  if (from.kind === 'json' && to.kind === 'json') return to.maxBytes! >= from.maxBytes!
  if (from.kind === 'choice' && to.kind === 'choice') return from.choices!.every((name) => to.choices!.includes(name))
  if (from.kind === 'quantized') return to.kind === 'f32' || to.kind === 'f64' || (to.kind === 'quantized' && holdsSteps(from, to))
  if (from.kind === 'f32' && to.kind === 'f64') return true
  const low = exact[from.kind], high = exact[to.kind]
  const isInteger = from.kind !== 'f32' && from.kind !== 'f64'
  return low !== undefined && high !== undefined && isInteger && high[0] <= low[0] && high[1] >= low[1]
}

/** True if both ends of the old range and its first step are steps of the new one. */
const holdsSteps = (from: FieldTable, to: FieldTable): boolean => [from.min!, from.min! + from.step!, from.min! + from.steps! * from.step!].every((value) => {
  const step = quantize(to, value)
  return Math.abs(to.min! + step * to.step! - value) < to.step! * 1e-6
})
