/**
 * What changed for single sessions: rows of `owner` tables and owner fields of rows that everybody sees, sorted by the slot that owns them.
 * Worker thread. Owner fields are few and change seldom; this half of the encoder is plain loops over row lists.
 */
import { atScratch } from '../src/memory/arena-layout.js'
import type { ColumnLayout } from '../src/memory/room-layout.js'
import { generationField, idField } from '../src/schema/field-tables.js'
import { nobodySlot, what, type SectionWriter } from '../src/wire/section.js'
import type { ActiveRoom } from './active-room.js'
import { bitsOfList, eachBit, putColumn, putRows } from './gather.js'
import type { TablePlan } from './plan.js'

/** Rows of one table and one owner; `field` -1: spawned or despawned as a whole. */
export interface OwnedChange { readonly plan: TablePlan; readonly kind: number; readonly field: number; readonly rows: number[] }

/** The `$owner` column stands behind the author's fields. */
export const ownerColumnOf = (plan: TablePlan): ColumnLayout => plan.layout.columns[plan.layout.columns.length - 1]

/** The planned changes by owner, in table order. */
export function ownersOf(room: ActiveRoom): Map<number, OwnedChange[]> {
  const owners = new Map<number, OwnedChange[]>()
  for (let table = 0; table < room.dueCount; table++) {
    const plan = room.due[table]
    if (!room.type.index.hasOwned[plan.layout.index]) continue
    const isHome = plan.layout.table.audience === 'owner'
    if (isHome && plan.despawned > 0) collect(room, owners, plan, what.despawned, -1, plan.layout.despawned, 'committed')
    if (isHome && plan.spawned > 0) collect(room, owners, plan, what.spawned, -1, plan.layout.spawned, 'live')
    for (let field = 0; field < plan.layout.columns.length; field++) {
      const column = plan.layout.columns[field]
      if (column.field.audience !== 'owner') continue
      if (!isHome && plan.spawned > 0) collect(room, owners, plan, what.changed, field, plan.layout.spawned, 'live')
      if (plan.changed[field] > 0) collect(room, owners, plan, what.changed, field, column.changed, 'live')
    }
  }
  return owners
}

function collect(
  room: ActiveRoom, owners: Map<number, OwnedChange[]>, plan: TablePlan, kind: number, field: number, bitmap: number, from: 'live' | 'committed',
): void {
  const owner = ownerColumnOf(plan)[from] >>> 2
  eachBit(room.arena, { bitmap, words: plan.words, first: 0, count: 0 }, (row) => {
    const value = room.arena.u32[owner + row]
    changeOf(owners, value === 0 ? nobodySlot : value - 1, plan, kind, field).rows.push(row)
  })
}

function changeOf(owners: Map<number, OwnedChange[]>, slot: number, plan: TablePlan, kind: number, field: number): OwnedChange {
  let changes = owners.get(slot)
  if (changes === undefined) owners.set(slot, changes = [])
  const last = changes.findLast((change) => change.plan === plan && change.kind === kind && change.field === field)
  if (last !== undefined) return last
  const change: OwnedChange = { plan, kind, field, rows: [] }
  changes.push(change)
  return change
}

/** Writes one owner's changes into its section. */
export function encodeOwned(room: ActiveRoom, section: SectionWriter, changes: readonly OwnedChange[]): void {
  const { arena, type } = room
  for (const { plan, kind, field, rows } of changes) {
    rows.sort((a, b) => a - b)
    const { layout } = plan
    const bits = bitsOfList(arena, rows, atScratch, plan.words)
    const rowSet = putRows(arena, section, type.index.tables[layout.index], kind, bits)
    if (kind === what.despawned) continue
    if (kind === what.spawned) {
      putColumn(arena, section, rowSet, generationField, layout.generation, 'live', bits)
      if (layout.id !== undefined) putColumn(arena, section, rowSet, idField, layout.id, 'live', bits)
    }
    for (let index = 0; index < layout.columns.length; index++) {
      const number = type.index.fields[layout.index][index]
      const isDue = kind === what.spawned ? number >= 0 : index === field
      if (isDue) putColumn(arena, section, rowSet, number, layout.columns[index], 'live', bits)
    }
  }
}
