/** A room's block and the objects over it: its header, and its actor, in which nothing of the author's has run. Called where a room opens. Worker thread. */
import { assert } from '../src/base/assert.js'
import { monotonicMs } from '../src/base/clock.js'
import { roomIdBytesMax } from '../src/base/limits.js'
import type { Arena, Block } from '../src/memory/arena.js'
import type { CountedMetric } from '../src/memory/crossing.js'
import { openJournal } from '../src/memory/journal.js'
import {
  atBeganSeq, atEpoch, atFollows, atForkSeq, atHistoryOldest, atJournalThrough, atLayoutHash, atParentEpoch, atReleasedSeq, atRoomId, atRoomKey, atRoomMagic, atStays, atStoredSeq,
  atTypeNumber, readRoomId, roomMagic, type RoomLayout,
} from '../src/memory/room-layout.js'
import { createRows, type Rows } from '../src/memory/rows.js'
import { readWide, storeWide, writeWide } from '../src/memory/views.js'
import type { ActiveRoom } from './active-room.js'
import type { RoomLog } from './author-room.js'
import { createAuthorTable, refersToLiving, type AuthorTable } from './author-table.js'
import type { Flusher } from './flush.js'
import type { Reporter } from './guard.js'
import { createRoomLoad } from './load.js'
import { createTablePlan } from './plan.js'
import { readPoison } from './poison.js'
import type { Actor } from './room-actor.js'
import type { RoomType } from './room-type.js'
import { createSessionBook } from './session-book.js'
import type { Stored } from './stored-room.js'
import { createTimers } from './timers.js'
import { createMark } from './touch.js'

export interface OpenContext {
  readonly arena: Arena
  readonly flusher: Flusher
  readonly report: Reporter
  readonly log: RoomLog
  /** The key of a new room's random numbers: 8 words that nobody can guess. */
  randomKey(): Uint32Array
  refuse(roomKey: number, connection: number, code: string): void
  want(roomKey: number, slot: number, connection: number, number: number): void
  count(room: ActiveRoom, metric: CountedMetric, by: number): void
  /** What a room whose clients had seen more than it was stored with has lost of a session. */
  lost(room: ActiveRoom, session: string, inputs: number): void
}

export interface OpenRequest {
  readonly key: number; readonly type: RoomType; readonly id: string; readonly options: Uint8Array; readonly stays: boolean
  /** What was asked of the listing by the join that opens it: a new room begins with it. */
  readonly match: Uint8Array
  readonly epoch: number; readonly parentEpoch: number; readonly forkSeq: number
  /** Of the state that it begins with: the fork's, or where its owner is. */
  readonly seq: number
  /** What is stored of it; undefined: a new room. */
  readonly stored: Stored | undefined
  /** It is another instance's. */
  readonly follows: boolean
  /** It was followed here until now: whoever is connected stays connected. */
  readonly wasFollowed?: boolean
}

export function writeHeader(arena: Arena, layout: RoomLayout, { key, type, id, epoch, parentEpoch, forkSeq, seq, stays }: OpenRequest): void {
  const { base } = layout
  arena.u32[(base + atLayoutHash) >>> 2] = layout.hash
  arena.u32[(base + atRoomKey) >>> 2] = key
  arena.u32[(base + atTypeNumber) >>> 2] = type.number
  writeWide(arena, base + atEpoch, epoch)
  writeWide(arena, base + atParentEpoch, parentEpoch)
  writeWide(arena, base + atForkSeq, forkSeq)
  writeWide(arena, base + atHistoryOldest, seq + 1)
  storeWide(arena, base + atReleasedSeq, seq)
  storeWide(arena, base + atStoredSeq, seq)
  writeWide(arena, base + atBeganSeq, seq)
  arena.u32[(base + atStays) >>> 2] = stays ? 1 : 0
  const bytes = Buffer.from(id)
  assert(bytes.length <= roomIdBytesMax, 'open: a room id fits the header')
  arena.u32[(base + atRoomId) >>> 2] = bytes.length
  arena.u8.set(bytes, base + atRoomId + 4)
  arena.u32[(base + atRoomMagic) >>> 2] = roomMagic
}

/** The room's objects over its block: nothing of the author's runs here. */
export function assembleRoom(context: OpenContext, block: Block, layout: RoomLayout, type: RoomType): Actor {
  const { arena } = context
  const { base } = layout
  const rows = layout.tables.map((table) => createRows(arena, table))
  const byName = new Map(rows.map((entry) => [entry.layout.table.name, entry]))
  const isCurrent = (table: string, ref: number): boolean => { const target = byName.get(table); return target !== undefined && refersToLiving(target, ref) }
  const nextOrder = (): number => ++book.clock.order
  const tracksTouch = ({ layout: { index } }: Rows): boolean => type.tracksTouch[index]
  const tables = rows.map((entry) => createAuthorTable(arena, entry, isCurrent, nextOrder, tracksTouch(entry) ? createMark(arena, entry.layout) : undefined))
  const { tickHz, flushHz } = type.definition
  let actor: Actor
  const book = createSessionBook(tables[type.sessionsTable], tables[type.roomTable], tables[type.playerTable], {
    onOwnRow: (slot) => { actor.room.ownRows.add(slot) },
    onEnd: (slot) => { actor.room.ending.add(slot) },
  })
  const room: ActiveRoom = {
    arena, type, block, layout, tables, grids: tables.flatMap(({ grid }) => grid ?? []), book, poison: readPoison(arena, base), fault: context.flusher.fault, load: createRoomLoad(),
    key: arena.u32[(base + atRoomKey) >>> 2],
    id: readRoomId(arena, base),
    journal: openJournal(arena, layout),
    plans: rows.map((entry) => createTablePlan(entry, tracksTouch(entry))), due: [], dueCount: 0,
    author: undefined as unknown as ActiveRoom['author'],
    epoch: readWide(arena, base + atEpoch), parentEpoch: readWide(arena, base + atParentEpoch), forkSeq: readWide(arena, base + atForkSeq),
    appliedThrough: readWide(arena, base + atJournalThrough), isFollowing: arena.u32[(base + atFollows) >>> 2] === 1, fetches: [], hold: 'none', isSaveDue: false,
    events: [], eventBytes: 0, missedEvents: 0, nacks: [], nackBytes: 0,
    refused: new Map(), moved: new Set(), joined: new Set(), left: new Map(), replaced: [], ownRows: new Set(), ending: new Set(), waiting: [],
    dueMs: 0, restsUntilMs: 0, turnMs: 0, emptySinceMs: monotonicMs(), isAwaited: false, storeDueMs: monotonicMs() + type.definition.snapshotEveryMs, storeDueTick: 0,
    flushSkipped: false, isCommitted: true, closing: undefined, listingDue: true, sessionsTold: 0, isEnded: false,
    ticksPerFlush: tickHz === 0 ? 1 : Math.max(1, Math.round(tickHz / flushHz)), ticksToFlush: 1,
  }
  const timerTables = new Map<string, AuthorTable>([...type.timerTables].map(([name, number]) => [name, tables[number]]))
  actor = {
    room, timers: createTimers(timerTables, book.clock), report: context.report,
    refuse: (connection, code) => context.refuse(room.key, connection, code),
    want: (slot, connection, number) => context.want(room.key, slot, connection, number),
    count: (metric, by) => context.count(room, metric, by),
    lost: (session, inputs) => context.lost(room, session, inputs),
  }
  return actor
}
