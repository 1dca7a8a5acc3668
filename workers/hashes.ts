/** State hashes: proof that nothing drifted apart. The room stream's committed columns, as they were before the section that carries them. */
import { idField, isSlot } from '../src/schema/field-tables.js'
import type { Arena } from '../src/memory/arena.js'
import type { ColumnLayout, TableLayout } from '../src/memory/room-layout.js'
import { vectorAt, vectorLength } from '../src/wire/envelope.js'
import { addHash, hashWords, sectionVectors, type SectionWriter } from '../src/wire/section.js'
import type { ActiveRoom } from './active-room.js'

/** Adds a hash for each public column of the room's stream. */
export function putHashes(room: ActiveRoom, section: SectionWriter): void {
  const { index } = room.type
  for (const { layout } of room.plans) {
    if (layout.table.audience !== 'everyone') continue
    const words = room.arena.kernels.lastWord(layout.aliveCommitted, layout.words)
    if (layout.id !== undefined) addHash(section, index.tables[layout.index], idField, hashOf(room.arena, layout, layout.id, words))
    for (let field = 0; field < layout.columns.length; field++) {
      const column = layout.columns[field]
      if (column.field.audience !== 'everyone') continue
      addHash(section, index.tables[layout.index], index.fields[layout.index][field], hashOf(room.arena, layout, column, words))
    }
  }
}

/** The first column, as `table.field`, whose committed values are not what the owner's section at `section` says they were before it; undefined: none differs. */
export function differingColumn({ arena, layout, type: { index } }: ActiveRoom, section: number): string | undefined {
  const from = vectorAt(arena, section, sectionVectors.hashes)
  for (let word = from >>> 2, end = word + vectorLength(arena, from) * hashWords; word < end; word += hashWords) {
    const table = layout.tables[index.tablesToFull[arena.u32[word] & 0xffff]], number = arena.u32[word] >>> 16
    const column = number === idField ? table?.id : table?.columns[index.fieldsToFull[table.index][number]]
    if (column === undefined) return 'a column that there is not'
    const words = arena.kernels.lastWord(table.aliveCommitted, table.words)
    if (hashOf(arena, table, column, words) >>> 0 !== arena.u32[word + 1]) return `${table.table.name}.${column.field.name}`
  }
  return undefined
}

const hashOf = ({ kernels }: Arena, layout: TableLayout, { field, committed }: ColumnLayout, words: number): number =>
  isSlot(field)
    ? kernels.hashSlots(committed, layout.aliveCommitted, words, field.bytes)
    : kernels.hashColumn(committed, layout.aliveCommitted, words, field.bytes)
