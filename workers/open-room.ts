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
  atBeganSeq, atEpoch, atFollows, atForkSeq, atHistoryOldest, atJournalThrough, atLayoutHash, atParentEpoch, atReleasedSeq, atRoomId, atRoomKey, atRoomMagic, atStays, atStoredSeq,
  atTypeNumber, layoutRoom, readRoomId, roomMagic, type ColumnLayout, type RoomLayout, type TableLayout,
} from '../src/memory/room-layout.js'
import { createRows, recount } from '../src/memory/rows.js'
import { readWide, storeWide, writeWide } from '../src/memory/views.js'
import type { Column } from '../src/schema/index.js'
import { dequantize, quantize } from '../src/schema/quantize.js'
import { unpackFields, unpackMatch } from '../src/wire/fields.js'
import type { ActiveRoom } from './active-room.js'
import { createAuthorRoom, type RoomLog } from './author-room.js'
import { createAuthorTable, refersToLiving, type AuthorTable } from './author-table.js'
import { finishCommit, flushRoom, type Flusher } from './flush.js'
import { instanceOf } from './connections.js'
import { setFollowing, setLineage } from './following.js'
import { guard, type Reporter } from './guard.js'
import { createRoomLoad } from './load.js'
import { committedSeq, pendingSeq, recordOf, storeCommitted, storePending } from './history.js'
import { createTablePlan } from './plan.js'
import { readPoison } from './poison.js'
import { scheduleEventDriven, type Actor } from './room-actor.js'
import { layoutLimitsOf, type RoomType } from './room-type.js'
import { createSessionBook } from './session-book.js'
import { fillFromStore } from './restore-room.js'
import { commitStored, readStoredRoom } from './stored-room.js'
import { createTimers } from './timers.js'

export interface OpenContext {
  readonly arena: Arena
  readonly flusher: Flusher
  readonly report: Reporter
  readonly log: RoomLog
  /** The key of a new room's random numbers: 8 words that nobody can guess. */
  randomKey(): Uint32Array
  refuse(roomKey: number, connection: number, code: string): void
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
  readonly stored: Uint8Array | undefined
  /** It is another instance's. */
  readonly follows: boolean
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
  const isOpen = request.stored === undefined ? create(context, actor, request) : request.follows ? follow(context, actor, request.stored) : restore(context, actor, request.stored)
  if (!isOpen) return 'room-failed'
  actor.room.isAwaited = true
  scheduleFirst(actor)
  return actor
}

function create({ flusher, log, report, randomKey }: OpenContext, actor: Actor, { type, options, match }: OpenRequest): boolean {
  const { room } = actor
  const { full } = type
  spawnSingles(room, options.length === 0 ? {} : unpackFields(full.options, new DataView(options.slice().buffer), 0, options.length) ?? {}, unpackMatch(full.listing, match) ?? {})
  room.book.seed(randomKey())
  room.author = createAuthorRoom(room, actor.timers, log) as unknown as ActiveRoom['author']
  if (!derive(actor)) return false
  const { onCreate } = type.definition.handlers
  if (onCreate !== undefined && guard(room, report, 'onCreate', '', 0, () => onCreate(room.author)).kind !== 'ok') return false
  return flushRoom(flusher, room) !== 0
}

/**
 * What is stored is committed without a record, at the seq that the new epoch forks from: whoever has seen the room there goes on from it. What follows
 * from the restore itself is the first record.
 */
function restore(context: OpenContext, actor: Actor, stored: Uint8Array): boolean {
  const { log, report, flusher, randomKey } = context, { room } = actor
  if (!fill(context, room, stored)) return false
  commitSilently(room)
  // Whoever saw the room beyond this snapshot has seen the numbers that would come.
  room.book.seed(randomKey())
  room.author = createAuthorRoom(room, actor.timers, log) as unknown as ActiveRoom['author']
  if (!derive(actor)) return false
  const { onDrop } = room.type.definition.handlers
  for (const session of [...room.book.byId.values()]) {
    // Sockets of this very number are new ones; what other instances have of the room they say themselves.
    if (!session.connected || instanceOf(room.book.connectionOf(session.slot)) !== flusher.encoder.recordHead.instance) continue
    room.book.drop(session.slot, room.book.clock.timeMs + room.type.definition.graceMs)
    if (onDrop !== undefined) guard(room, report, 'onDrop', '', 0, () => onDrop(room.author, session))
  }
  flushRoom(flusher, room)
  return true
}

/** Another instance runs it: its state is committed here as it is. */
function follow({ log }: OpenContext, { room }: Actor, stored: Uint8Array): boolean {
  if (!canRead(log, room, 'followed', () => commitStored(room, stored))) return false
  setFollowing(room, true)
  restoreLive(room)
  storeBegin(room)
  return true
}

/** Live state from its stored form. */
function fill({ log }: OpenContext, room: ActiveRoom, stored: Uint8Array): boolean {
  return canRead(log, room, 'restored, and stays as it is stored', () => {
    fillFromStore(room, readStoredRoom(stored))
    for (const table of room.tables) table.rebuild()
    room.book.rebuild()
  })
}

/** False, and a line that says why, if a stored form cannot be read. */
function canRead(log: RoomLog, room: ActiveRoom, done: string, take: () => void): boolean {
  try {
    take()
    return true
  } catch (error) {
    // Whatever it is: nothing but this room's own block was written.
    log(room, 'error', `cannot be ${done}: ${(error as Error).message}`)
    return false
  }
}

/** The block holds the state that it begins with. */
function storeBegin({ arena, layout }: ActiveRoom): void {
  const seq = readWide(arena, layout.base + atBeganSeq)
  storePending(arena, layout, seq)
  storeCommitted(arena, layout, seq)
}

/** A followed room is this instance's own from here on, in a new epoch that forks from where it stands. False if its code fails. */
export function takeOver(context: OpenContext, actor: Actor, epoch: number): boolean {
  const { room } = actor
  setFollowing(room, false)
  setLineage(room, { epoch, parentEpoch: room.epoch, forkSeq: committedSeq(room.arena, room.layout) })
  const isRunning = resume(context, actor)
  voidDeadRefs(room)
  return isRunning
}

/** Generations of rows that do not live are no part of a state that was handed over: a ref to one would come to mean the row's next but so many. */
function voidDeadRefs(room: ActiveRoom): void {
  for (const table of room.tables) {
    for (const { field } of table.rowsOf.layout.columns) {
      if (field.kind !== 'ref') continue
      const column = table.column(field.name) as Column<unknown>
      for (const row of table.rows()) if (column.get(row) === null) column.set(row, null)
    }
  }
}

/** A room is no longer this instance's: what it had not committed is undone, and it follows. */
export function stepDown({ room }: Actor): void {
  setFollowing(room, true)
  restoreLive(room)
  room.events.length = room.nacks.length = room.replaced.length = 0
  room.eventBytes = room.nackBytes = room.missedEvents = 0
  for (const slots of [room.moved, room.joined, room.ownRows, room.ending]) slots.clear()
  room.left.clear()
  room.isCommitted = true
  room.flushSkipped = false
  room.closing = undefined
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
  if (!actor.room.isFollowing) resume(context, actor)
  return actor
}

/** Runs a room from its committed state. */
function resume({ log }: OpenContext, actor: Actor): boolean {
  const { room } = actor
  restoreLive(room)
  room.book.rebuild()
  room.author = createAuthorRoom(room, actor.timers, log) as unknown as ActiveRoom['author']
  const isDerived = derive(actor)
  scheduleFirst(actor)
  return isDerived
}

function writeHeader(arena: Arena, layout: RoomLayout, { key, type, id, epoch, parentEpoch, forkSeq, seq, stays }: OpenRequest): void {
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
function assembleRoom(context: OpenContext, block: Block, layout: RoomLayout, type: RoomType): Actor {
  const { arena } = context
  const { base } = layout
  const rows = layout.tables.map((table) => createRows(arena, table))
  const byName = new Map(rows.map((entry) => [entry.layout.table.name, entry]))
  const isCurrent = (table: string, ref: number): boolean => { const target = byName.get(table); return target !== undefined && refersToLiving(target, ref) }
  const nextOrder = (): number => ++book.clock.order
  const tables = rows.map((entry) => createAuthorTable(arena, entry, isCurrent, nextOrder))
  const { tickHz, flushHz } = type.definition
  let actor: Actor
  const book = createSessionBook(tables[type.sessionsTable], tables[type.roomTable], tables[type.playerTable], {
    onOwnRow: (slot) => { actor.room.ownRows.add(slot) },
    onEnd: (slot) => { actor.room.ending.add(slot) },
  })
  const room: ActiveRoom = {
    arena, type, block, layout, tables, book, poison: readPoison(arena, base), fault: context.flusher.fault, load: createRoomLoad(),
    key: arena.u32[(base + atRoomKey) >>> 2],
    id: readRoomId(arena, base),
    journal: openJournal(arena, layout),
    plans: rows.map(createTablePlan),
    author: undefined as unknown as ActiveRoom['author'],
    epoch: readWide(arena, base + atEpoch), parentEpoch: readWide(arena, base + atParentEpoch), forkSeq: readWide(arena, base + atForkSeq),
    appliedThrough: readWide(arena, base + atJournalThrough), isFollowing: arena.u32[(base + atFollows) >>> 2] === 1, fetches: [], hold: 'none', isSaveDue: false,
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
    lost: (session, inputs) => context.lost(room, session, inputs),
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

/** A record behind the point of commitment whose commit did not end: published and applied again. */
function finishPending({ arena, flusher }: OpenContext, { room }: Actor): void {
  const seq = pendingSeq(arena, room.layout)
  if (seq === committedSeq(arena, room.layout)) return
  const record = recordOf(arena, room.layout, seq)
  assert(record !== undefined, 'open: history holds the newest record')
  finishCommit(flusher, room, seq, record.address, record.bytes)
}

/** Committed columns, rows and generations from live ones, at the seq that the block begins with. */
function commitSilently(room: ActiveRoom): void {
  const { arena } = room
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
  storeBegin(room)
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
