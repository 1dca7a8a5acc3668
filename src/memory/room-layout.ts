/**
 * The drawn layout of a room's block. A pure function of the field tables and limits, so that a successor, which knows only the block
 * table and the room's type, computes the very same addresses. All addresses are absolute.
 *
 *     0  header, 512 bytes                                      drawn below
 *   512  journal       journalBytes, a power of two             journal.ts
 *        history index historyRecordsMax entries of 16 bytes: seq (2 x u32), offset, bytes; entry of seq n is n mod historyRecordsMax
 *        history       historyBytes of whole records, each contiguous and 8-aligned
 *        snapshot      snapshotBytes: the chunks of the snapshot that the main thread has not yet taken
 *        touched       of all tables, one after the other: bitmaps, one bit for 16 rows
 *        tables, each: live, committed, used, stayed, spawned, despawned   bitmaps, one u64 for 64 rows
 *                      stamps                                              u32 a word: when one of its rows last changed for everybody
 *                      generation   live, committed                        u16 a row
 *                      id           live, committed, marked, changed       if the table has ids
 *                      each field   live, committed, changed, marked for slots, wire for quantized
 */
import { assert } from '../base/assert.js'
import { hashText } from '../base/hash.js'
import { chunkBytesMax, eventBytesPerFlushMax, journalBytesMin, journalBytesPerSession, nackBytesPerFlushMax, rowsPerMark, rowsPerWord } from '../base/limits.js'
import { isSlot, type EntityTable, type FieldTable, type FullTables } from '../schema/field-tables.js'
import { align, type Views } from './views.js'

/* The header of a room's block.
 *     0  magic          layoutHash     roomKey        typeNumber
 *    16  epoch (wide)                  parentEpoch (wide)
 *    32  forkSeq (wide)                historyOldest (wide)
 *    48  pendingLow     -              committedSeq (wide)            pendingLow: the point of commitment
 *    64  releasedSeq (wide)            durableSeq (wide)              both written by the main thread
 *    80  journalThrough (wide)         flushes        -               journalThrough: committed
 *    96  journal: tail, head, number, bytes   see journal.ts, 32 bytes
 *   128  snapshotBusy   -              -              -                 1 from the worker's post to the main thread's copy
 *   144  tickUs         -              -              -                 how long the last turn took: for people
 *   160  idBytes        id …           the room id, UTF-8
 *   288  deaths         deathHandler   deathNumber (wide)            threads that this room's code has ended, and where; see workers/poison.ts
 *   304  deathCommitted (wide)         skipNumber (wide)             skip…: journal entries that are not run any more
 *   320  skipInputsThrough (wide)      heapDeaths     -
 *   336  storedSeq (wide)              stays          storing           the newest snapshot that is in the store, written by the main thread.
 *                                                                  stays: it is not closed when nobody is in it. storing: 1 from the
 *                                                                  worker's post until the store has taken it, or failed to
 *   352  beganSeq (wide)                follows        -                 follows: it is another instance's. beganSeq: what this block was filled with: history and stamps reach no further back
 */
export const roomMagic = 0x4d4f524b // 'KROM'
export const roomHeaderBytes = 512
const cacheLine = 64
export const atRoomMagic = 0
export const atLayoutHash = 4
export const atRoomKey = 8
export const atTypeNumber = 12
export const atEpoch = 16
export const atParentEpoch = 24
export const atForkSeq = 32
export const atHistoryOldest = 40
export const atPendingLow = 48
export const atCommittedSeq = 56
export const atReleasedSeq = 64
export const atDurableSeq = 72
export const atJournalThrough = 80
export const atFlushes = 88
export const atJournal = 96
export const atSnapshotBusy = 128
export const atTickUs = 144
export const atRoomId = 160
export const atDeaths = 288
export const atDeathHandler = 292
export const atDeathNumber = 296
export const atDeathCommitted = 304
export const atSkipNumber = 312
export const atSkipInputsThrough = 320
export const atHeapDeaths = 328
export const atStoredSeq = 336
export const atStays = 344
export const atStoring = 348
export const atBeganSeq = 352
export const atFollows = 360
export const atDeathsOfMinute = 364
export const atDeathMinute = 368

export const historyRecordsMax = 512

/** Where a room's journal lies, in the block that begins at `base`. */
export const journalAt = (base: number): number => align(base + roomHeaderBytes, cacheLine)

/** The id of the room whose block begins at `base`. */
export const readRoomId = ({ u8, u32 }: Views, base: number): string =>
  new TextDecoder().decode(u8.slice(base + atRoomId + 4, base + atRoomId + 4 + u32[(base + atRoomId) >>> 2]))

export interface ColumnLayout {
  readonly field: FieldTable
  /** Index in the full field tables, or generationField, idField. */
  readonly index: number
  readonly live: number
  readonly committed: number
  /** Bitmap of the rows that this flush found changed. */
  readonly changed: number
  /** Slots only: bitmap of the rows whose setter was called since the last flush. */
  readonly marked: number
  /** Quantized only: live values in wire form, as the last compare left them. */
  readonly wire: number
  /** What every flush asks of the field, which is of many shapes. `bytes`: of a committed value. `perStep` and what is beside it: quantized only, else 0. */
  readonly bytes: number
  readonly isSlot: boolean
  readonly isQuantized: boolean
  /** Does not change while its row lives. */
  readonly isFixed: boolean
  /** Changes only when a session leaves. */
  readonly isOwner: boolean
  readonly min: number
  readonly perStep: number
  readonly steps: number
}

export interface TableLayout {
  readonly table: EntityTable
  readonly index: number
  /** Rows including the padding, and bitmap words. */
  readonly rows: number
  readonly words: number
  readonly alive: number
  readonly aliveCommitted: number
  /** Rows that cannot be given out: alive, committed, or despawned since the last flush. */
  readonly used: number
  readonly stayed: number
  readonly spawned: number
  readonly despawned: number
  /** Blocks of 16 rows that were written since the last flush, if the table tracks that: `touchedWords` u64. Always reserved: no layout depends on how a module tracks. */
  readonly touched: number
  readonly touchedWords: number
  /** One u32 a word: the low half of the seq at which one of its rows last changed for everybody. */
  readonly stamps: number
  readonly generation: ColumnLayout
  readonly id: ColumnLayout | undefined
  readonly columns: readonly ColumnLayout[]
}

export interface RoomLayout {
  readonly base: number
  readonly hash: number
  readonly journal: number
  readonly journalBytes: number
  readonly historyIndex: number
  readonly history: number
  readonly historyBytes: number
  readonly snapshot: number
  readonly snapshotBytes: number
  /** Where the marks of all tables lie, one after the other. */
  readonly touched: number
  readonly tables: readonly TableLayout[]
  /** What a record of this room can take at most. */
  readonly recordBytesMax: number
  /** End of the block's used part, from `base`. */
  readonly bytes: number
}

const generationTable: FieldTable = { name: '$generation', kind: 'u16', audience: 'everyone', bytes: 2, liveBytes: 2, default: 0 }
export const idBytesMax = 62
const idTable: FieldTable = { name: '$id', kind: 'text', audience: 'everyone', bytes: 64, liveBytes: 64, default: '', maxBytes: idBytesMax }

/** Hands out addresses one after the other. A gather may overrun its end by 64 bytes: every piece leaves that slack. */
interface Cursor { at: number }
function take(cursor: Cursor, bytes: number): number {
  const at = align(cursor.at, cacheLine)
  cursor.at = at + bytes + cacheLine
  return at
}

function layoutColumn(cursor: Cursor, field: FieldTable, index: number, rows: number): ColumnLayout {
  const bitmapBytes = rows / 8
  return {
    live: take(cursor, rows * field.liveBytes),
    committed: take(cursor, rows * field.bytes),
    changed: take(cursor, bitmapBytes),
    bytes: field.bytes, isSlot: isSlot(field), isQuantized: field.kind === 'quantized',
    marked: isSlot(field) ? take(cursor, bitmapBytes) : 0,
    wire: field.kind === 'quantized' ? take(cursor, rows * field.bytes) : 0,
    isFixed: field.isFixed === true, isOwner: field.isOwner === true, field, index,
    min: field.min ?? 0, perStep: field.step === undefined ? 0 : 1 / field.step, steps: field.steps ?? 0,
  }
}

/** u64 of marks of a table. */
export const touchedWordsOf = (capacity: number): number => Math.ceil(capacity / rowsPerMark / 64)

const sum = (counts: readonly number[]): number => counts.reduce((all, count) => all + count, 0)

function layoutTable(cursor: Cursor, table: EntityTable, index: number, touched: number, fieldNumbers: { generation: number; id: number }): TableLayout {
  const rows = align(table.capacity, rowsPerWord)
  const bitmap = (): number => take(cursor, rows / 8)
  return {
    table, index, rows, words: rows / rowsPerWord,
    alive: bitmap(), aliveCommitted: bitmap(), used: bitmap(), stayed: bitmap(), spawned: bitmap(), despawned: bitmap(),
    touched, touchedWords: touchedWordsOf(table.capacity),
    stamps: take(cursor, rows / rowsPerWord * 4),
    generation: layoutColumn(cursor, generationTable, fieldNumbers.generation, rows),
    id: table.ids ? layoutColumn(cursor, idTable, fieldNumbers.id, rows) : undefined,
    columns: table.fields.map((field, number) => layoutColumn(cursor, field, number, rows)),
  }
}

/** Heads, vtables and the engine's own section; per session a section, a route and a row event; per session and table with owned rows. */
export const recordFixedBytes = 4096
export const sessionRecordBytes = 384
export const ownedTableBytes = (columns: number): number => 256 + columns * 96

const isOwned = (table: EntityTable): boolean => table.audience === 'owner' || table.fields.some((field) => field.audience === 'owner')

/** A power of two: positions in it are running numbers that wrap at 2^32. */
export const journalBytesOf = (sessions: number): number => Math.max(journalBytesMin, 2 ** Math.ceil(Math.log2(sessions * journalBytesPerSession)))

/** Every row spawned at once, every bitmap written, every session with sections of its own. */
export function recordBytesMaxOf(full: FullTables, sessions: number): number {
  let bytes = recordFixedBytes + eventBytesPerFlushMax + nackBytesPerFlushMax + sessions * sessionRecordBytes
  for (const table of full.tables) {
    const rows = align(table.capacity, rowsPerWord)
    const columns = table.fields.length + 2
    bytes += table.fields.reduce((sum, field) => sum + (field.isJournaled === true ? 2 : field.bytes), 2 + (table.ids ? idTable.bytes : 0)) * rows
    if (table.fields.some((field) => field.isJournaled)) bytes += journalBytesOf(sessions)
    bytes += (columns + 2) * (rows / 8 + 128)
    if (isOwned(table)) bytes += (sessions + 1) * ownedTableBytes(columns) + rows * 16
  }
  return align(bytes, cacheLine)
}

/** What a stored room takes beyond a record of all its rows: journaled fields in full, and the field tables themselves. */
const storeBytesMax = ({ tables }: FullTables): number => align(JSON.stringify(tables).length * 3, cacheLine) + tables.reduce((sum, table) =>
  sum + table.fields.reduce((bytes, field) => bytes + (field.isJournaled === true ? field.bytes * align(table.capacity, rowsPerWord) : 0), 0), 0)

export interface LayoutLimits { readonly sessions: number; readonly generationField: number; readonly idField: number }

/** The layout of a room whose block begins at `base`. */
export function layoutRoom(full: FullTables, limits: LayoutLimits, base: number): RoomLayout {
  const recordBytesMax = recordBytesMaxOf(full, limits.sessions)
  const cursor: Cursor = { at: base + roomHeaderBytes }
  const journalBytes = journalBytesOf(limits.sessions), journal = take(cursor, journalBytes)
  assert(journal === journalAt(base), 'room layout: the journal stands first')
  const historyIndex = take(cursor, historyRecordsMax * 16)
  const historyBytes = recordBytesMax * 3
  const history = take(cursor, historyBytes)
  const snapshotBytes = recordBytesMax + chunkBytesMax * 2 + storeBytesMax(full)
  const snapshot = take(cursor, snapshotBytes)
  const numbers = { generation: limits.generationField, id: limits.idField }
  // Side by side: a flush asks each table, and most have a single word.
  const touchedWords = full.tables.map(({ capacity }) => touchedWordsOf(capacity)), touched = take(cursor, sum(touchedWords) * 8)
  const tables = full.tables.map((table, index) => layoutTable(cursor, table, index, touched + sum(touchedWords.slice(0, index)) * 8, numbers))
  const hash = hashText(JSON.stringify([full.tables, limits.sessions]))
  return { base, hash, journal, journalBytes, historyIndex, history, historyBytes, snapshot, snapshotBytes, touched, tables, recordBytesMax, bytes: cursor.at - base }
}
