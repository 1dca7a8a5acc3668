/**
 * Opens a room on this worker: anew in a fresh block, or as the successor of a dead thread in the block it left. Worker thread.
 *
 * Recovery is one idea: committed state, and the journal behind it. If the dead thread had passed the point of commitment, its record is
 * published and applied once more first (the main thread drops a seq it has seen). Then live columns are written anew from committed.
 */
import { assert } from '../src/base/assert.js'
import { roomIdBytesMax } from '../src/base/limits.js'
import { monotonicMs } from '../src/base/clock.js'
import { allocateBlock, type Arena, type Block } from '../src/memory/arena.js'
import type { CountedMetric } from '../src/memory/crossing.js'
import { openJournal } from '../src/memory/journal.js'
import {
  atEpoch, atForkSeq, atHistoryOldest, atJournalThrough, atLayoutHash, atParentEpoch, atReleasedSeq, atRoomId, atRoomKey, atRoomMagic, atStays, atStoredSeq,
  atTypeNumber, layoutRoom, roomMagic, type ColumnLayout, type RoomLayout, type TableLayout,
} from '../src/memory/room-layout.js'
import { createRows, recount } from '../src/memory/rows.js'
import { readWide, storeWide, writeWide } from '../src/memory/views.js'
import { dequantize, quantize } from '../src/schema/quantize.js'
import { readRoutes, routeFlags } from '../src/wire/record.js'
import { unpackFields, unpackMatch } from '../src/wire/fields.js'
import type { ActiveRoom } from './active-room.js'
import { createAuthorRoom, type RoomLog } from './author-room.js'
import { createAuthorTable, refersToLiving, type AuthorTable } from './author-table.js'
import { finishCommit, flushRoom, type Flusher } from './flush.js'
import { guard, type Reporter } from './guard.js'
import { committedSeq, pendingSeq, recordOf, storeCommitted, storePending } from './history.js'
import { createTablePlan } from './plan.js'
import { readPoison } from './poison.js'
import { scheduleEventDriven, type Actor } from './room-actor.js'
import { layoutLimitsOf, type RoomType } from './room-type.js'
import { createSessionBook } from './session-book.js'
import { fillFromStore } from './restore-room.js'
import { readStoredRoom } from './stored-room.js'
import { createTimers } from './timers.js'

export interface OpenContext {
  readonly arena: Arena
  readonly flusher: Flusher
  readonly report: Reporter
  readonly log: RoomLog
  refuse(roomKey: number, connection: number, code: string): void
  count(room: ActiveRoom, metric: CountedMetric, by: number): void
}

export interface OpenRequest {
  readonly key: number; readonly type: RoomType; readonly id: string; readonly options: Uint8Array; readonly stays: boolean
  /** What was asked of the listing by the join that opens it: a new room begins with it. */
  readonly match: Uint8Array
  readonly epoch: number; readonly parentEpoch: number; readonly forkSeq: number
  /** What is stored of it; undefined: a new room. */
  readonly stored: Uint8Array | undefined
}

/** Opens a room, new or from its store, and commits its first state. Gives a code if it does not open; then nothing stays behind. */
export function openRoom(context: OpenContext, request: OpenRequest): Actor | 'no-space' | 'room-failed' {
  const { arena } = context
  const { type } = request
  const bytes = layoutRoom(type.full, layoutLimitsOf(type), 0).bytes
  const block = allocateBlock(arena, request.key, bytes)
  if (block === undefined) return 'no-space'
  const layout = layoutRoom(type.full, layoutLimitsOf(type), block.address)
  writeHeader(arena, layout, request)
  const actor = assembleRoom(context, block, layout, type)
  const isOpen = request.stored === undefined ? create(context, actor, request) : restore(context, actor, request.stored)
  if (!isOpen) return 'room-failed'
  actor.room.isAwaited = true
  scheduleFirst(actor)
  return actor
}

function create({ flusher, log, report }: OpenContext, actor: Actor, { type, epoch, key, options, match }: OpenRequest): boolean {
  const { room } = actor
  const { full } = type
  spawnSingles(room, options.length === 0 ? {} : unpackFields(full.options, new DataView(options.slice().buffer), 0, options.length) ?? {}, unpackMatch(full.listing, match) ?? {})
  room.book.seed(epoch + key)
  room.author = createAuthorRoom(room, actor.timers, log) as unknown as ActiveRoom['author']
  if (!derive(actor)) return false
  const { onCreate } = type.definition.handlers
  if (onCreate !== undefined && guard(room, report, 'onCreate', '', 0, () => onCreate(room.author)).kind !== 'ok') return false
  return flushRoom(flusher, room) !== 0
}

/** Nobody sees a room that is being restored, so its first state is committed without a record, at the seq that it forks from. */
function restore({ log, report }: OpenContext, actor: Actor, stored: Uint8Array): boolean {
  const { room } = actor
  try {
    fillFromStore(room, readStoredRoom(stored))
    for (const table of room.tables) table.rebuild()
    room.book.rebuild()
  } catch (error) {
    // Whatever it is: nothing but this room's own block was written.
    log(room, 'error', `cannot be restored, and stays as it is stored: ${(error as Error).message}`)
    return false
  }
  room.author = createAuthorRoom(room, actor.timers, log) as unknown as ActiveRoom['author']
  if (!derive(actor)) return false
  const { onDrop } = room.type.definition.handlers
  for (const session of [...room.book.byId.values()]) {
    if (!session.connected) continue
    room.book.drop(session.slot, room.book.clock.timeMs + room.type.definition.graceMs)
    if (onDrop !== undefined) guard(room, report, 'onDrop', '', 0, () => onDrop(room.author, session))
  }
  commitSilently(room)
  return true
}

/** Takes over the room in `block`; undefined if it had never committed anything, so that it is opened anew. */
export function attachRoom(context: OpenContext, block: Block, types: readonly RoomType[]): Actor | undefined {
  const { arena } = context
  const type = types[arena.u32[(block.address + atTypeNumber) >>> 2]]
  if (arena.u32[(block.address + atRoomMagic) >>> 2] !== roomMagic || type === undefined) return undefined
  const layout = layoutRoom(type.full, layoutLimitsOf(type), block.address)
  if (pendingSeq(arena, layout) === 0) return undefined
  assert(arena.u32[(block.address + atLayoutHash) >>> 2] === layout.hash, 'open: a successor runs the same field tables')
  const actor = assembleRoom(context, block, layout, type)
  finishPending(context, actor)
  restoreLive(actor.room)
  actor.room.book.rebuild()
  actor.room.author = createAuthorRoom(actor.room, actor.timers, context.log) as unknown as ActiveRoom['author']
  derive(actor)
  scheduleFirst(actor)
  return actor
}

function writeHeader(arena: Arena, layout: RoomLayout, { key, type, id, epoch, parentEpoch, forkSeq, stays }: OpenRequest): void {
  const { base } = layout
  arena.u32[(base + atLayoutHash) >>> 2] = layout.hash
  arena.u32[(base + atRoomKey) >>> 2] = key
  arena.u32[(base + atTypeNumber) >>> 2] = type.number
  writeWide(arena, base + atEpoch, epoch)
  writeWide(arena, base + atParentEpoch, parentEpoch)
  writeWide(arena, base + atForkSeq, forkSeq)
  writeWide(arena, base + atHistoryOldest, forkSeq + 1)
  storeWide(arena, base + atReleasedSeq, forkSeq)
  storeWide(arena, base + atStoredSeq, forkSeq)
  arena.u32[(base + atStays) >>> 2] = stays ? 1 : 0
  const bytes = Buffer.from(id)
  assert(bytes.length <= roomIdBytesMax, 'open: a room id fits the header')
  arena.u32[(base + atRoomId) >>> 2] = bytes.length
  arena.u8.set(bytes, base + atRoomId + 4)
  arena.u32[(base + atRoomMagic) >>> 2] = roomMagic
}

/** The room's objects over its block: nothing of the author's runs here. */
function assembleRoom(context: OpenContext, block: Block, layout: RoomLayout, type: RoomType): Actor {
  const { arena } = context
  const { base } = layout
  const rows = layout.tables.map((table) => createRows(arena, table))
  const byName = new Map(rows.map((entry) => [entry.layout.table.name, entry]))
  const isCurrent = (table: string, ref: number): boolean => { const target = byName.get(table); return target !== undefined && refersToLiving(target, ref) }
  const nextOrder = (): number => ++book.clock.order
  const tables = rows.map((entry) => createAuthorTable(arena, entry, isCurrent, nextOrder))
  const idBytes = arena.u32[(base + atRoomId) >>> 2]
  const { tickHz, flushHz } = type.definition
  let actor: Actor
  const book = createSessionBook(tables[type.sessionsTable], tables[type.roomTable], tables[type.playerTable], {
    onOwnRow: (slot) => { actor.room.ownRows.add(slot) },
    onEnd: (slot) => { actor.room.ending.add(slot) },
  })
  const room: ActiveRoom = {
    arena, type, block, layout, tables, book, poison: readPoison(arena, base), fault: context.flusher.fault,
    key: arena.u32[(base + atRoomKey) >>> 2],
    id: Buffer.from(arena.u8.slice(base + atRoomId + 4, base + atRoomId + 4 + idBytes)).toString(),
    journal: openJournal(arena, layout),
    plans: rows.map(createTablePlan),
    author: undefined as unknown as ActiveRoom['author'],
    epoch: readWide(arena, base + atEpoch), parentEpoch: readWide(arena, base + atParentEpoch), forkSeq: readWide(arena, base + atForkSeq),
    appliedThrough: readWide(arena, base + atJournalThrough),
    events: [], eventBytes: 0, missedEvents: 0, nacks: [], nackBytes: 0,
    moved: new Set(), joined: new Set(), left: new Map(), replaced: [], ownRows: new Set(), ending: new Set(), waiting: [],
    dueMs: 0, turnMs: 0, emptySinceMs: monotonicMs(), isAwaited: false, storeDueMs: monotonicMs() + type.definition.snapshotEveryMs, storeDueTick: 0,
    flushSkipped: false, isCommitted: true, closing: undefined, listingDue: true, isEnded: false,
    ticksPerFlush: tickHz === 0 ? 1 : Math.max(1, Math.round(tickHz / flushHz)), ticksToFlush: 1,
  }
  const timerTables = new Map<string, AuthorTable>([...type.timerTables].map(([name, number]) => [name, tables[number]]))
  actor = {
    room, timers: createTimers(timerTables, book.clock), report: context.report,
    refuse: (connection, code) => context.refuse(room.key, connection, code),
    count: (metric, by) => context.count(room, metric, by),
  }
  return actor
}

/** `$globals`, `$room`, `$options` and `$listing` are tables of one row that always lives. */
function spawnSingles(room: ActiveRoom, options: Record<string, unknown>, listing: Record<string, unknown>): void {
  room.tables[0].spawn()
  room.tables[room.type.roomTable].spawn()
  room.tables[room.type.optionsTable].spawn(options)
  room.tables[room.type.listingTable].spawn(listing)
}

function derive({ room, report }: Actor): boolean {
  const { derive: run } = room.type.definition.handlers
  if (run === undefined) return true
  const outcome = guard(room, report, 'derive', '', 0, () => run(room.author))
  if (outcome.kind !== 'ok') return false
  Object.assign(room.author, { derived: outcome.value })
  return true
}

/** Spreads the rooms of a worker over the tick, so that they do not all want the thread at once. */
function scheduleFirst(actor: Actor): void {
  const { room } = actor
  const now = monotonicMs()
  room.turnMs = now
  const { tickHz } = room.type.definition
  if (tickHz === 0) scheduleEventDriven(actor, now)
  else room.dueMs = now + (room.key * 0.618_034 % 1) * 1000 / tickHz
}

/** A record behind the point of commitment whose commit did not end: published and applied again, and its joins wait for their snapshot again. */
function finishPending({ arena, flusher }: OpenContext, { room }: Actor): void {
  const seq = pendingSeq(arena, room.layout)
  const record = recordOf(arena, room.layout, seq)
  // Restored, and nothing has happened since.
  if (record === undefined && seq === room.forkSeq) return
  assert(record !== undefined, 'open: history holds the newest record')
  for (const { flags, slot, connection } of readRoutes(arena, record.address)) {
    if (flags === routeFlags.joined) room.waiting.push({ connection, slot, kind: 'join', epoch: 0, seq: 0 })
  }
  if (seq === committedSeq(arena, room.layout)) return
  finishCommit(flusher, room, seq, record.address, record.bytes)
}

/** Committed columns, rows and generations from live ones, at the fork's seq. */
function commitSilently(room: ActiveRoom): void {
  const { arena, layout } = room
  for (const { rows, layout: table } of room.plans) {
    arena.kernels.copy(table.aliveCommitted, table.alive, table.words * 8)
    for (const column of columnsOf(table)) {
      if (column.field.kind === 'quantized') commitQuantized(arena, column, table.rows)
      else arena.kernels.copy(column.committed, column.live, table.rows * column.field.bytes)
      if (column.marked !== 0) arena.kernels.zero(column.marked, table.words * 8)
    }
    recount(rows)
  }
  room.events.length = room.eventBytes = 0
  room.ownRows.clear()
  storePending(arena, layout, room.forkSeq)
  storeCommitted(arena, layout, room.forkSeq)
}

const columnsOf = (table: TableLayout): ColumnLayout[] => [table.generation, ...(table.id === undefined ? [] : [table.id]), ...table.columns]

/** Live columns, rows and generations from committed ones; the clock keeps the later time, so that it never runs back. */
function restoreLive(room: ActiveRoom): void {
  const { arena } = room
  const { clock } = room.book
  const { tick, timeMs } = clock
  for (const { rows, layout } of room.plans) {
    arena.kernels.copy(layout.alive, layout.aliveCommitted, layout.words * 8)
    for (const column of columnsOf(layout)) {
      if (column.field.kind !== 'quantized') arena.kernels.copy(column.live, column.committed, layout.rows * column.field.bytes)
      else restoreQuantized(arena, column.field, column.live, column.committed, layout.rows)
    }
    recount(rows)
  }
  for (const table of room.tables) table.rebuild()
  clock.tick = Math.max(clock.tick, tick)
  clock.timeMs = Math.max(clock.timeMs, timeMs)
  room.appliedThrough = readWide(arena, room.layout.base + atJournalThrough)
}

function commitQuantized({ u8, u16, u32, f32 }: Arena, { field, live, committed }: ColumnLayout, rows: number): void {
  const wire = field.bytes === 1 ? u8 : field.bytes === 2 ? u16 : u32
  for (let row = 0; row < rows; row++) wire[committed / field.bytes + row] = quantize(field, f32[(live >>> 2) + row])
}

function restoreQuantized({ u8, u16, u32, f32 }: Arena, field: Parameters<typeof dequantize>[0], live: number, committed: number, rows: number): void {
  const wire = field.bytes === 1 ? u8 : field.bytes === 2 ? u16 : u32
  const from = committed / field.bytes
  for (let row = 0; row < rows; row++) f32[(live >>> 2) + row] = dequantize(field, wire[from + row])
}
