/**
 * What clients wait for, written into the room's snapshot area: a snapshot for those who joined or whom history has lost, or the very
 * sections that were missed. Worker thread, right after a commit.
 */
import { leadsOver } from '../src/base/lineage.js'
import type { Audience } from '../src/schema/field-tables.js'
import { atScratch } from '../src/memory/arena-layout.js'
import { send, snapshotKind, toMain, wideWords } from '../src/memory/crossing.js'
import type { RingWriter } from '../src/memory/ring.js'
import { atBeganSeq } from '../src/memory/room-layout.js'
import { align, readWide } from '../src/memory/views.js'
import { readSections, recordAudience } from '../src/wire/record.js'
import { addRange, readSectionHead, roomStream, sessionStream, what, writeSectionEpoch, type SectionWriter } from '../src/wire/section.js'
import type { ActiveRoom, Waiting } from './active-room.js'
import { beginChunk, endChunk, handOver, isAreaFree, openArea, putCommitted, putTables, type Area, type StreamNumbers } from './area.js'
import { bitsOfList, eachBit } from './gather.js'
import { committedSeq, oldestSeq, recordOf } from './history.js'
import { ownerColumnOf } from './owned.js'
import type { TablePlan } from './plan.js'
import type { PublicIndex } from './public-index.js'

/** Clients served by one snapshot; the others wait for the next. */
const targetsMax = 128

/**
 * How a client is caught up: by the very sections that it misses; by the blocks of its world that have changed since, where history no longer has
 * them all; or by everything, where its world does not lead to this one.
 */
type Way = 'sections' | 'blocks' | 'everything'

/** Serves as many of those who wait as the area holds, in the order in which they came. */
export function serveWaiting(room: ActiveRoom, section: SectionWriter, output: RingWriter): void {
  if (room.waiting.length > 0 && isAreaFree(room)) serveFirst(room, section, output)
}

function serveFirst(room: ActiveRoom, section: SectionWriter, output: RingWriter): void {
  const area = openArea(room, section)
  const first = room.waiting[0], way = wayOf(room, first)
  const isMissed = way === 'sections' && putMissed(area, first)
  const targets = isMissed ? [first] : putSnapshot(area, way === 'sections' ? [first] : room.waiting.filter((waiting) => wayOf(room, waiting) === way).slice(0, targetsMax), way)
  if (!handOver(area, () => post(area, output, isMissed ? snapshotKind.sections : snapshotKind.snapshot, targets))) return
  room.waiting = room.waiting.filter((waiting) => !targets.includes(waiting))
}

function wayOf(room: ActiveRoom, waiting: Waiting): Way {
  const { arena, layout, book } = room
  const isKnown = leadsOver(room, waiting) && waiting.seq >= readWide(arena, layout.base + atBeganSeq) && waiting.seq <= committedSeq(arena, layout) && book.has(waiting.slot)
  return !isKnown ? 'everything' : isCovered(room, waiting) ? 'sections' : 'blocks'
}

function post({ room, cursor, seq }: Area, output: RingWriter, kind: number, targets: readonly Waiting[]): boolean {
  const { layout, epoch, book } = room
  const words = [room.key, kind, ...wideWords(epoch), ...wideWords(seq), book.clock.tick >>> 0, layout.snapshot, cursor - layout.snapshot, targets.length]
  for (const { connection, slot } of targets) words.push(...wideWords(connection), slot, book.appliedThroughOf(slot), book.generationOf(slot))
  return send(output, toMain.snapshot, words)
}

/** Clients' numbers of the fields of one audience. */
const publicNumbers = ({ tables, fields }: PublicIndex, audience: Audience): StreamNumbers => ({
  table: ({ layout }) => tables[layout.index],
  field: ({ layout }, field) => layout.columns[field].field.audience === audience ? fields[layout.index][field] : -1,
})

/** The chunks of the room's stream, then the own chunk of each client until the area is full; gives those who were served. */
function putSnapshot(area: Area, waiting: readonly Waiting[], way: Way): Waiting[] {
  const { room } = area
  const since = way === 'everything' ? 0 : Math.min(...waiting.map(({ seq }) => seq))
  putTables(area, roomStream, room.plans.filter(({ layout }) => layout.table.audience === 'everyone'), publicNumbers(room.type.index, 'everyone'), since)
  const served: Waiting[] = []
  for (const entry of waiting) {
    if (area.cursor + ownBytesMax(area.room) > area.end && served.length > 0) break
    putOwnChunk(area, entry.slot)
    served.push(entry)
  }
  return served
}

/** The session's own stream: its rows of owner tables, the owner fields of its other rows, and which row is its own. */
function putOwnChunk(area: Area, slot: number): void {
  const { room, section } = area
  const numbers = publicNumbers(room.type.index, 'owner')
  beginChunk(area)
  for (const plan of room.plans) {
    const { layout } = plan
    if (!room.type.index.hasOwned[layout.index]) continue
    const isHome = layout.table.audience === 'owner'
    if (isHome) addRange(section, numbers.table(plan), 0, layout.rows, false)
    const rows = ownedRows(room, plan, slot)
    putCommitted(area, plan, isHome ? what.spawned : what.changed, bitsOfList(room.arena, rows, atScratch, layout.words), numbers)
  }
  addRange(section, 0, 0, 0, true)
  room.book.putOwnRow(section, slot)
  endChunk(area, sessionStream(slot), 0)
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

/**
 * True if history has all that the client misses, of both its streams. Positions are what clients say: one from before the session began would be
 * answered with what its slot's stream told somebody else.
 */
function isCovered(room: ActiveRoom, { seq, slot }: Waiting): boolean {
  const { arena, layout, book } = room
  if (seq < book.joinedSeqOf(slot)) return false
  if (oldestSeq(arena, layout) <= seq + 1) return true
  const isStreamCovered = (stream: number, changedSeq: number): boolean => changedSeq <= seq || oldestPrevSeq(room, stream, seq) <= seq
  return isStreamCovered(roomStream, book.clock.roomChangedSeq) && isStreamCovered(sessionStream(slot), book.changedSeqOf(slot))
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
      // What an earlier epoch said before the fork counts in this one, and is said in it.
      writeSectionEpoch(arena, area.cursor + 8, room.epoch)
      area.cursor = align(area.cursor + 8 + section.bytes, 8)
    }
  }
  return true
}
