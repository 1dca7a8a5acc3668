/** All tables of a stored room as JSON: the public ones, the servers', and the engine's own. */
import type { EntityTable } from './schema/field-tables.js'
import type { Replica } from './client/table.js'
import { readValue, type TableContext } from './client/tables.js'
import { plainValue } from './wire/plain-values.js'

export type StateRow = Record<string, unknown>

/** By table: its rows, each with all its fields. */
export function stateOf(replicas: readonly Replica[]): Record<string, StateRow[]> {
  const context: TableContext = { nowMs: () => 0, intervalMs: () => 1, mine: () => undefined, replica: (name) => replicas.find(({ table }) => table.name === name) }
  return Object.fromEntries(replicas.map((replica) => [replica.table.name, rowsOf(replica, context)]))
}

function rowsOf(replica: Replica, context: TableContext): StateRow[] {
  const { alive, end, ids, table, generation, columns } = replica, rows: StateRow[] = []
  for (let row = 0; row < end; row++) {
    if (alive[row] === 0) continue
    const entry: StateRow = { row, $generation: generation[row], ...idOf(table, ids[row]) }
    for (const column of columns) entry[column.field.name] = plainValue(column.field, readValue(column, row, context))
    rows.push(entry)
  }
  return rows
}

const idOf = ({ ids }: EntityTable, id: string | undefined): { id?: string } => ids && id !== undefined && id !== '' ? { id } : {}

/** JSON knows no bigints: they are decimal text. */
export const jsonText = (value: unknown): string => JSON.stringify(value, (_, part: unknown) => typeof part === 'bigint' ? String(part) : part)
