/**
 * Applies a record to a room's committed columns: the one way in which committed state ever changes. At each commit, when a successor
 * finishes what a dead thread had begun, and wherever a replica follows an owner. Applying a record twice gives the same state. One record at a time:
 * what is known of it stands in objects that are used again, so that a commit allocates nothing.
 */
import { assert } from '../src/base/assert.js'
import { atScratch } from '../src/memory/arena-layout.js'
import type { Arena } from '../src/memory/arena.js'
import { atJournalThrough, type ColumnLayout, type RoomLayout, type TableLayout } from '../src/memory/room-layout.js'
import { writeWide } from '../src/memory/views.js'
import { generationField, idField } from '../src/schema/field-tables.js'
import { createStaging, vectorAt, vectorLength, type Staging } from '../src/wire/envelope.js'
import { eachSection, readJournalThrough, recordAudience } from '../src/wire/record.js'
import { bitmapWords, columnWords, form, rowSetWords, sectionVectors, what } from '../src/wire/section.js'
import type { PublicIndex } from './public-index.js'

/** A row set in memory: a bitmap over `words` words from row `first` on, or a plain range. */
interface AppliedRows { first: number; count: number; words: number; bitmap: number }

/**
 * What a followed room keeps beside its committed columns, because there is no flush of its own that would: which rows live, now, with their generations;
 * the live columns of the tables that `isMirrored`; and when each block last changed for everybody.
 */
export interface Mirror { readonly seq: number; isMirrored(table: number): boolean }

interface Applying {
  arena: Arena
  layout: RoomLayout
  publicIndex: PublicIndex
  fault(name: string): void
  /** Where the rows of each row set lie as a bitmap (SectionWriter.bitmaps): only the thread that has just written the record knows. */
  bitmaps: Staging
  mirror: Mirror | undefined
  /** Row sets before the section that is being applied. */
  rowSets: number
  /** Rows were spawned or despawned. */
  hasMoved: boolean
  /** Of the row set that is being applied. */
  readonly rows: AppliedRows
}

const noBitmaps = createStaging(bitmapWords), applying = { rows: { first: 0, count: 0, words: 0, bitmap: 0 } } as Applying

function begin(arena: Arena, layout: RoomLayout, publicIndex: PublicIndex, fault: Applying['fault'], bitmaps: Staging, mirror: Mirror | undefined): void {
  applying.arena = arena
  applying.layout = layout
  applying.publicIndex = publicIndex
  applying.fault = fault
  applying.bitmaps = bitmaps
  applying.mirror = mirror
  applying.rowSets = 0
  applying.hasMoved = false
}

/** Brings committed up by the record at `record`; true if it spawned or despawned rows. Worker thread. `mirror`: it is another instance's, and the room follows it. */
export function applyRecord(
  arena: Arena, layout: RoomLayout, publicIndex: PublicIndex, record: number, fault: (name: string) => void, bitmaps = noBitmaps, mirror?: Mirror,
): boolean {
  begin(arena, layout, publicIndex, fault, bitmaps, mirror)
  eachSection(arena, record, applying, applyOne)
  // Another instance's record speaks of that instance's journal.
  if (mirror === undefined) writeWide(arena, layout.base + atJournalThrough, readJournalThrough(arena, record))
  return applying.hasMoved
}

function applyOne(applying: Applying, _: number, audience: number, address: number): void {
  if (audience === recordAudience.some) return
  applySection(applying, audience, address)
  applying.fault('flush:applying')
}

/** Puts a chunk of a stored room at `address`, which was checked, into committed columns. */
export function applyStateChunk(arena: Arena, layout: RoomLayout, publicIndex: PublicIndex, address: number): void {
  begin(arena, layout, publicIndex, nothing, noBitmaps, undefined)
  applySection(applying, recordAudience.server, address)
}

const nothing = (): void => {}

function applySection(applying: Applying, audience: number, address: number): void {
  const { arena, layout, publicIndex, mirror, rows } = applying
  const isServer = audience === recordAudience.server
  const rowSets = vectorAt(arena, address, sectionVectors.rowSets)
  const columns = vectorAt(arena, address, sectionVectors.columns)
  const data = vectorAt(arena, address, sectionVectors.data)
  const columnCount = vectorLength(arena, columns)
  const count = vectorLength(arena, rowSets)
  let column = 0
  for (let index = 0; index < count; index++) {
    const word = (rowSets >>> 2) + index * rowSetWords
    const number = arena.u32[word] & 0xffff
    const table = layout.tables[isServer ? number : publicIndex.tablesToFull[number]]
    readRows(applying, table, word, data, applying.rowSets + index)
    const kind = arena.u32[word] >>> 16 & 0xff
    if (kind !== what.changed) applyPresence(applying, table, rows, kind)
    if (mirror !== undefined && audience === recordAudience.everyone) stampRows(arena, table, rows, mirror.seq)
    for (; column < columnCount; column++) {
      const at = (columns >>> 2) + column * columnWords
      if ((arena.u32[at] & 0xffff) !== index) break
      const field = arena.u32[at] >>> 16
      const target = columnOf(table, field, isServer, publicIndex), values = data + arena.u32[at + 1]
      applyColumn(arena, target, target.committed, rows, values)
      if (mirror !== undefined && (field === generationField || mirror.isMirrored(table.index))) applyColumn(arena, target, target.live, rows, values)
    }
  }
  applying.rowSets += count
}

/** The blocks of these rows have changed. */
function stampRows({ kernels, u32 }: Arena, { stamps }: TableLayout, { first, count, words, bitmap }: AppliedRows, seq: number): void {
  if (words > 0) return kernels.stampWords(bitmap, words, stamps + (first >>> 6) * 4, seq >>> 0)
  for (let word = first >>> 6; word <= (first + count - 1) >>> 6; word++) u32[(stamps >>> 2) + word] = seq >>> 0
}

function columnOf(table: TableLayout, field: number, isServer: boolean, publicIndex: PublicIndex): ColumnLayout {
  if (field === generationField) return table.generation
  if (field === idField) { assert(table.id !== undefined, 'apply: the table has ids'); return table.id }
  return table.columns[isServer ? field : publicIndex.fieldsToFull[table.index][field]]
}

/** Rows as a bitmap: in place, or built in scratch. */
function readRows({ arena, bitmaps, rows }: Applying, table: TableLayout, word: number, data: number, rowSet: number): void {
  const { u32, kernels } = arena
  const rowForm = u32[word] >>> 24, first = u32[word + 1], count = u32[word + 2], address = data + u32[word + 3], bytes = u32[word + 4]
  assert(first + count <= table.rows, 'apply: rows lie inside the table')
  rows.first = first
  rows.count = count
  rows.words = rows.bitmap = 0
  if (rowForm === form.range) return
  rows.words = bytes / 8
  rows.bitmap = address
  if (rowForm === form.bitmap) return
  assert((first & 63) === 0, 'apply: a gap list begins at a multiple of 64')
  const known = rowSet < bitmaps.count ? bitmaps.words[rowSet * bitmapWords] : 0
  rows.words = known > 0 ? bitmaps.words[rowSet * bitmapWords + 1] : table.words - (first >>> 6)
  rows.bitmap = known > 0 ? known : atScratch
  if (known > 0) return
  kernels.zero(atScratch, rows.words * 8)
  assert(kernels.readGaps(address, bytes, count, atScratch, rows.words) === 1, 'apply: a gap list fits its table')
}

function applyPresence(applying: Applying, table: TableLayout, rows: AppliedRows, kind: number): void {
  const { arena, mirror } = applying, { u32, u16 } = arena
  applying.hasMoved = true
  const alive = table.aliveCommitted >>> 2, generation = table.generation.committed >>> 1
  forEachRow(arena, rows, (row) => {
    const word = row >>> 5, bit = 1 << (row & 31)
    if (kind === what.spawned) u32[alive + word] |= bit
    else if ((u32[alive + word] & bit) !== 0) {
      u16[generation + row]++
      u32[alive + word] &= ~bit
    }
    if (mirror === undefined) return
    u32[(table.alive >>> 2) + word] = u32[alive + word]
    u16[(table.generation.live >>> 1) + row] = u16[generation + row]
  })
}

function forEachRow({ u32 }: Arena, rows: AppliedRows, visit: (row: number) => void): void {
  if (rows.words === 0) {
    for (let row = rows.first; row < rows.first + rows.count; row++) visit(row)
    return
  }
  for (let word = 0; word < rows.words * 2; word++) {
    let bits = u32[(rows.bitmap >>> 2) + word]
    while (bits !== 0) {
      const bit = 31 - Math.clz32(bits & -bits)
      visit(rows.first + word * 32 + bit)
      bits &= bits - 1
    }
  }
}

/** Puts the values of `rows` into `copy`, one of the column's two. */
function applyColumn(arena: Arena, { bytes, isSlot }: ColumnLayout, copy: number, rows: AppliedRows, values: number): void {
  const { kernels } = arena
  const target = copy + rows.first * bytes
  if (isSlot) applySlots(arena, bytes, copy, rows, values)
  else if (rows.words === 0) kernels.copy(target, values, rows.count * bytes)
  else if (bytes === 1) kernels.scatter8(values, rows.bitmap, rows.words, target)
  else if (bytes === 2) kernels.scatter16(values, rows.bitmap, rows.words, target)
  else if (bytes === 4) kernels.scatter32(values, rows.bitmap, rows.words, target)
  else kernels.scatter64(values, rows.bitmap, rows.words, target)
}

/** Slots: `count` lengths (u16), then their bytes one after the other. */
function applySlots(arena: Arena, slotBytes: number, copy: number, rows: AppliedRows, values: number): void {
  let length = values >>> 1, from = values + rows.count * 2
  forEachRow(arena, rows, (row) => {
    const slot = copy + row * slotBytes
    const bytes = arena.u16[length++]
    assert(bytes <= slotBytes - 2, 'apply: a value fits its slot')
    arena.u16[slot >>> 1] = bytes
    arena.u8.copyWithin(slot + 2, from, from + bytes)
    from += bytes
  })
}
