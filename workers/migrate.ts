/** The author's `migrate`, and what it gets of a room that was stored with other field tables: its rows as plain objects, by the names they had. Worker thread. */
import type { Replica } from '../src/client/table.js'
import { readValue, type TableContext } from '../src/client/tables.js'
import type { OldRoom } from '../src/room/types.js'
import { guard } from './guard.js'
import type { Actor } from './room-actor.js'

/** Lets the author bring over what was stored with other field tables. False if that throws. */
export function migrate({ room, report }: Actor, stored: readonly Replica[]): boolean {
  const { migrate: run } = room.type.definition.handlers
  return run === undefined || guard(room, report, 'migrate', '', 0, () => run(room.author, createOldRoom(stored))).kind === 'ok'
}

/** Reads values of stored rows: a ref whose target does not live reads null. */
export const storedContext = (stored: readonly Replica[]): TableContext =>
  ({ nowMs: () => 0, intervalMs: () => 1, mine: () => undefined, replica: (name) => stored.find((replica) => replica.table.name === name) })

const isAuthors = (name: string): boolean => !name.startsWith('$')

function createOldRoom(stored: readonly Replica[]): OldRoom {
  const context = storedContext(stored), globals = context.replica('$globals'), room = context.replica('$room')
  const version = room?.columns.find(({ field }) => field.name === 'version')?.values[0] as number | undefined
  return {
    version: version ?? 0,
    globals: globals?.alive[0] === 1 ? rowOf(globals, 0, context) : {},
    rows: (table) => {
      const replica = isAuthors(table) ? context.replica(table) : undefined
      return replica === undefined ? [] : rowsOf(replica, context)
    },
  }
}

function* rowsOf(replica: Replica, context: TableContext): Generator<Record<string, unknown>> {
  for (let row = 0; row < replica.end; row++) {
    if (replica.alive[row] === 0) continue
    yield { row, ...(replica.table.ids ? { id: replica.ids[row] || undefined } : {}), ...rowOf(replica, row, context) }
  }
}

/** The author's fields: those of the engine's own begin with $. */
const rowOf = ({ columns }: Replica, row: number, context: TableContext): Record<string, unknown> =>
  Object.fromEntries(columns.filter(({ field }) => isAuthors(field.name)).map((column) => [column.field.name, readValue(column, row, context)]))
