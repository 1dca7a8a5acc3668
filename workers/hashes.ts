/** State hashes: proof that nothing drifted apart. The room stream's committed columns, as they were before the section that carries them. */
import { idField, isSlot } from '../src/schema/field-tables.js'
import type { Arena } from '../src/memory/arena.js'
import type { ColumnLayout, TableLayout } from '../src/memory/room-layout.js'
import { addHash, type SectionWriter } from '../src/wire/section.js'
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

const hashOf = ({ kernels }: Arena, layout: TableLayout, { field, committed }: ColumnLayout, words: number): number =>
  isSlot(field)
    ? kernels.hashSlots(committed, layout.aliveCommitted, words, field.bytes)
    : kernels.hashColumn(committed, layout.aliveCommitted, words, field.bytes)
