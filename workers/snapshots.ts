/**
 * What clients wait for, written into the room's snapshot area: a snapshot for those who joined or whom history has lost, or the very
 * sections that were missed. Worker thread, right after a commit, from committed columns at one seq. The area belongs to the main thread
 * from the post until it has copied (`snapshotBusy`); until then others wait.
 *
 *   area:  u32 bytes   u32 stream   section, padded to 8     one after the other
 */
import { chunkBytesMax, rowsPerWord } from '../src/base/limits.js'
import { atScratch } from '../src/memory/arena-layout.js'
import { send, snapshotKind, toMain } from '../src/memory/crossing.js'
import type { RingWriter } from '../src/memory/ring.js'
import { atSnapshotBusy, type TableLayout } from '../src/memory/room-layout.js'
import { align, loadWord, storeWord } from '../src/memory/views.js'
import { generationField, idField } from '../src/schema/field-tables.js'
import { readSections, recordAudience } from '../src/wire/record.js'
import { addRange, beginSection, finishSection, isEmptySection, readSectionHead, roomStream, sessionStream, what, type SectionWriter } from '../src/wire/section.js'
import type { ActiveRoom, Waiting } from './active-room.js'
import { bitsOfList, eachBit, putColumn, putRows, type RowBits } from './gather.js'
import { committedSeq, oldestSeq, recordOf } from './history.js'
import { ownerColumnOf } from './owned.js'
import type { TablePlan } from './plan.js'

/** Clients served by one snapshot; the others wait for the next. */
const targetsMax = 128

interface Area { readonly room: ActiveRoom; readonly section: SectionWriter; readonly end: number; cursor: number; seq: number }

/** Serves as many of those who wait as the area holds. */
export function serveWaiting(room: ActiveRoom, section: SectionWriter, output: RingWriter): void {
  const { arena, layout } = room
  if (room.waiting.length === 0 || loadWord(arena, layout.base + atSnapshotBusy) !== 0) return
  const area: Area = { room, section, end: layout.snapshot + layout.snapshotBytes, cursor: layout.snapshot, seq: committedSeq(arena, layout) }
  const first = room.waiting[0]
  const missed = isCovered(room, first)
  const served = missed ? [first] : room.waiting.filter((waiting) => !isCovered(room, waiting)).slice(0, targetsMax)
  const isWhole = missed && putMissed(area, first)
  const targets = isWhole ? served : putSnapshot(area, served)
  storeWord(arena, layout.base + atSnapshotBusy, 1)
  if (!post(area, output, isWhole ? snapshotKind.sections : snapshotKind.snapshot, targets)) {
    storeWord(arena, layout.base + atSnapshotBusy, 0)
    return
  }
  room.waiting = room.waiting.filter((waiting) => !targets.includes(waiting))
}

function post({ room, cursor, seq }: Area, output: RingWriter, kind: number, targets: readonly Waiting[]): boolean {
  const { layout, epoch, book } = room
  const words = [
    room.key, kind, epoch >>> 0, Math.floor(epoch / 0x1_0000_0000), seq >>> 0, Math.floor(seq / 0x1_0000_0000),
    book.clock.tick >>> 0, layout.snapshot, cursor - layout.snapshot, targets.length,
  ]
  for (const { connection, slot } of targets) words.push(connection, slot, book.appliedThroughOf(slot), book.generationOf(slot))
  return send(output, toMain.snapshot, words)
}

function begin(area: Area): void { beginSection(area.section, area.cursor + 8) }

function finish(area: Area, stream: number): void {
  const { room, seq } = area
  const bytes = finishSection(area.section, { epoch: room.epoch, seq, prevSeq: 0, tick: room.book.clock.tick, stream })
  room.arena.u32[area.cursor >>> 2] = bytes
  room.arena.u32[(area.cursor >>> 2) + 1] = stream
  area.cursor = align(area.cursor + 8 + bytes, 8)
}

/** All chunks of the room's stream, then the own chunk of each client until the area is full; gives those who were served. */
function putSnapshot(area: Area, waiting: readonly Waiting[]): Waiting[] {
  putRoomChunks(area)
  const served: Waiting[] = []
  for (const entry of waiting) {
    if (area.cursor + ownBytesMax(area.room) > area.end && served.length > 0) break
    putOwnChunk(area, entry.slot)
    served.push(entry)
  }
  return served
}

function putRoomChunks(area: Area): void {
  const { room, section } = area
  const tables = room.plans.filter(({ layout }) => layout.table.audience === 'everyone')
  begin(area)
  tables.forEach((plan, index) => {
    const { layout } = plan
    const rowBytes = layout.columns.reduce((sum, { field }) => sum + field.bytes, 4)
    const rowsPerChunk = Math.max(1, Math.floor(chunkBytesMax / rowBytes / rowsPerWord)) * rowsPerWord
    const end = room.arena.kernels.lastWord(layout.aliveCommitted, layout.words) * rowsPerWord
    for (let first = 0; first === 0 || first < end; first += rowsPerChunk) {
      const isEnd = first + rowsPerChunk >= end
      const words = (isEnd ? end - first : rowsPerChunk) / rowsPerWord
      if (section.cursor - section.at + words * rowsPerWord * rowBytes > chunkBytesMax && !isEmptySection(section)) { finish(area, roomStream); begin(area) }
      addRange(section, room.type.index.tables[layout.index], first, isEnd ? layout.rows : first + rowsPerChunk, isEnd && index === tables.length - 1)
      putCommitted(room, section, plan, what.spawned, bitsAt(room, layout, first, words), (field) => room.type.index.fields[layout.index][field])
    }
  })
  finish(area, roomStream)
}

function bitsAt({ arena }: ActiveRoom, layout: TableLayout, first: number, words: number): RowBits {
  const bitmap = layout.aliveCommitted + first / 8
  return { bitmap, words, first, count: arena.kernels.countBits(bitmap, words) }
}

function putCommitted(room: ActiveRoom, section: SectionWriter, { layout }: TablePlan, kind: number, rows: RowBits, number: (field: number) => number): void {
  if (rows.count === 0) return
  const { arena } = room
  const rowSet = putRows(arena, section, room.type.index.tables[layout.index], kind, rows)
  if (kind === what.spawned) {
    putColumn(arena, section, rowSet, generationField, layout.generation, 'committed', rows)
    if (layout.id !== undefined) putColumn(arena, section, rowSet, idField, layout.id, 'committed', rows)
  }
  for (let field = 0; field < layout.columns.length; field++) {
    const { audience } = layout.columns[field].field
    const isDue = kind === what.spawned ? number(field) >= 0 && audience === layout.table.audience : audience === 'owner'
    if (isDue) putColumn(arena, section, rowSet, number(field), layout.columns[field], 'committed', rows)
  }
}

/** The session's own stream: its rows of owner tables, the owner fields of its other rows, and which row is its own. */
function putOwnChunk(area: Area, slot: number): void {
  const { room, section } = area
  const { index } = room.type
  begin(area)
  for (const plan of room.plans) {
    const { layout } = plan
    if (!index.hasOwned[layout.index]) continue
    const isHome = layout.table.audience === 'owner'
    if (isHome) addRange(section, index.tables[layout.index], 0, layout.rows, false)
    const rows = ownedRows(room, plan, slot)
    putCommitted(room, section, plan, isHome ? what.spawned : what.changed, bitsOfList(room.arena, rows, atScratch, layout.words), (field) => index.fields[layout.index][field])
  }
  addRange(section, 0, 0, 0, true)
  room.book.putOwnRow(section, slot)
  finish(area, sessionStream(slot))
}

function ownedRows(room: ActiveRoom, plan: TablePlan, slot: number): number[] {
  const rows: number[] = [], owner = ownerColumnOf(plan).committed >>> 2
  const { layout } = plan
  eachBit(room.arena, { bitmap: layout.aliveCommitted, words: layout.words, first: 0, count: 0 }, (row) => {
    if (room.arena.u32[owner + row] === slot + 1) rows.push(row)
  })
  return rows
}

/** Every owned row of the room may be this session's. */
const ownBytesMax = (room: ActiveRoom): number => room.plans.reduce((sum, { layout, rows }) =>
  room.type.index.hasOwned[layout.index] ? sum + rows.size * layout.columns.reduce((bytes, { field }) => bytes + field.bytes, 8) : sum, 2048)

/** True if history has all that the client misses, of both its streams. */
function isCovered(room: ActiveRoom, waiting: Waiting): boolean {
  const { arena, layout, book } = room
  if (waiting.kind === 'join' || waiting.epoch !== room.epoch || waiting.seq > committedSeq(arena, layout) || !book.has(waiting.slot)) return false
  if (oldestSeq(arena, layout) <= waiting.seq + 1) return true
  const isStreamCovered = (stream: number, changedSeq: number): boolean => changedSeq <= waiting.seq || oldestPrevSeq(room, stream, waiting.seq) <= waiting.seq
  return isStreamCovered(roomStream, book.clock.roomChangedSeq) && isStreamCovered(sessionStream(waiting.slot), book.changedSeqOf(waiting.slot))
}

/** prevSeq of the oldest kept section of a stream behind `seq`. */
function oldestPrevSeq(room: ActiveRoom, stream: number, seq: number): number {
  const { arena, layout } = room
  for (let at = Math.max(oldestSeq(arena, layout), seq + 1); at <= committedSeq(arena, layout); at++) {
    const section = readSections(arena, recordOf(arena, layout, at)!.address).find((entry) => entry.stream === stream)
    if (section !== undefined) return readSectionHead(arena, section.address).prevSeq
  }
  return Infinity
}

/** Copies every section of the client's streams behind its position; false if they do not fit, and a snapshot is smaller. */
function putMissed(area: Area, waiting: Waiting): boolean {
  const { room } = area
  const { arena, layout } = room
  for (let seq = Math.max(oldestSeq(arena, layout), waiting.seq + 1); seq <= area.seq; seq++) {
    for (const section of readSections(arena, recordOf(arena, layout, seq)!.address)) {
      const isMine = section.audience === recordAudience.everyone || section.stream === sessionStream(waiting.slot)
      if (!isMine) continue
      if (area.cursor + 8 + section.bytes + 8 > area.end) { area.cursor = layout.snapshot; return false }
      arena.u32[area.cursor >>> 2] = section.bytes
      arena.u32[(area.cursor >>> 2) + 1] = section.stream
      arena.kernels.copy(area.cursor + 8, section.address, section.bytes)
      area.cursor = align(area.cursor + 8 + section.bytes, 8)
    }
  }
  return true
}
