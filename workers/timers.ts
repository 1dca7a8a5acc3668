/**
 * Named timers: rows of `$timer:<name>`, so committed state alone decides what is due. Never journaled, never setTimeout. Worker thread.
 * Due rows fire at the start of a tick or turn, in order of (due, armed), and are despawned before their handler runs.
 */
import type { FieldTable } from '../src/schema/field-tables.js'
import { engineColumn, engineText, type AuthorTable } from './author-table.js'
import type { Clock } from './session-book.js'

export interface DueTimer { readonly name: string; readonly arg: Record<string, unknown> }

export interface Timers {
  arm(name: string, ms: number, arg: Record<string, unknown> | undefined, key: string | number | undefined): void
  cancel(name: string, key: string | number | undefined): void
  /** Room time of the next due timer; Infinity if none is armed. */
  nextDueMs(): number
  /** Takes out the earliest timer that is due at `timeMs`. */
  takeDue(timeMs: number): DueTimer | undefined
}

interface Armed { readonly name: string; readonly table: AuthorTable; readonly row: number; readonly due: number; readonly order: number }

export function createTimers(tables: ReadonlyMap<string, AuthorTable>, clock: Clock): Timers {
  const tableOf = (name: string): AuthorTable => {
    const table = tables.get(name)
    if (table === undefined) throw new TypeError(`no timer is named ${JSON.stringify(name)}; timers: ${[...tables.keys()].join(', ') || 'none'}`)
    return table
  }
  const find = (table: AuthorTable, key: string): number | undefined => {
    const keys = engineText(table, '$key')
    for (const row of table.rows()) if (keys.get(row) === key) return row
    return undefined
  }
  const earliest = (): Armed | undefined => {
    if (tables.size === 0) return undefined
    let best: Armed | undefined
    for (const [name, table] of tables) {
      if (table.rowsOf.size === 0) continue
      const due = engineColumn(table, '$due'), armed = engineColumn(table, '$armed')
      for (const row of table.rows()) {
        if (best !== undefined && (due[row] > best.due || (due[row] === best.due && armed[row] > best.order))) continue
        best = { name, table, row, due: due[row], order: armed[row] }
      }
    }
    return best
  }
  return {
    arm: (name, ms, arg, key) => {
      if (!(ms >= 0)) throw new RangeError(`room.after(${ms}): milliseconds are a number from 0 on`)
      const table = tableOf(name), text = key === undefined ? '' : String(key)
      const armed = find(table, text)
      if (armed !== undefined) table.despawn(armed)
      table.spawn({ ...arg, $due: clock.timeMs + ms, $armed: ++clock.order, $key: text })
    },
    cancel: (name, key) => {
      const table = tableOf(name), armed = find(table, key === undefined ? '' : String(key))
      if (armed !== undefined) table.despawn(armed)
    },
    nextDueMs: () => earliest()?.due ?? Infinity,
    takeDue: (timeMs) => {
      const next = earliest()
      if (next === undefined || next.due > timeMs) return undefined
      const arg = argOf(next.table, next.row)
      next.table.despawn(next.row)
      return { name: next.name, arg }
    },
  }
}

/** A timer's argument, copied out of its row. */
function argOf(table: AuthorTable, row: number): Record<string, unknown> {
  const fields: readonly FieldTable[] = table.rowsOf.layout.table.fields
  const view = table.at(row)
  return Object.fromEntries(fields.filter(({ name }) => !name.startsWith('$')).map(({ name }) => [name, view[name]]))
}
