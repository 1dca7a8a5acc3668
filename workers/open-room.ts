/**
 * Opens a room on this worker: anew in a fresh block, or as the successor of a dead thread in the block it left. Worker thread.
 *
 * Recovery is one idea: committed state, and the journal behind it. If the dead thread had passed the point of commitment, its record is
 * published and applied once more first (the main thread drops a seq it has seen). Then live columns are written anew from committed.
 */
import { assert } from '../src/base/assert.js'
import { monotonicMs } from '../src/base/clock.js'
import { instanceOf } from '../src/base/connection-number.js'
import { tickGroupMs } from '../src/base/limits.js'
import type { Replica } from '../src/client/table.js'
import { allocateBlock, freeBlock, type Block } from '../src/memory/arena.js'
import { atFollows, atLayoutHash, atRoomMagic, atStays, atTypeNumber, layoutRoom, roomMagic } from '../src/memory/room-layout.js'
import { hashTables } from '../src/schema/tables-of.js'
import { unpackFields, unpackMatch } from '../src/wire/fields.js'
import type { ActiveRoom } from './active-room.js'
import { openArea } from './area.js'
import { assembleRoom, writeHeader, type OpenContext, type OpenRequest } from './assemble-room.js'
import { createAuthorRoom, type RoomLog } from './author-room.js'
import { finishCommit, flushRoom } from './flush.js'
import { foreignType } from './foreign-type.js'
import { setFollowing, setLineage } from './following.js'
import { guard } from './guard.js'
import { committedSeq, hasBegun, pendingSeq, recordOf, storeCommitted } from './history.js'
import { commitLive, restoreLive, storeBegin, voidDeadRefs } from './live-state.js'
import { migrate } from './migrate.js'
import { fillFromStore } from './restore-room.js'
import { scheduleEventDriven, type Actor } from './room-actor.js'
import { layoutLimitsOf, type RoomType } from './room-type.js'
import { commitStored, putStored, readStoredRoom, tablesOfState, type Stored } from './stored-room.js'

/** Opens a room, new or from its store, and commits its first state. Gives a code if it does not open; then nothing stays behind. */
export function openRoom(context: OpenContext, request: OpenRequest): Actor | 'no-space' | 'room-failed' {
  const { arena } = context
  const type = typeToOpen(context, request)
  if (type === undefined) return 'room-failed'
  const bytes = layoutRoom(type.full, layoutLimitsOf(type), 0).bytes
  const block = allocateBlock(arena, request.key, bytes)
  if (block === undefined) return 'no-space'
  const layout = layoutRoom(type.full, layoutLimitsOf(type), block.address)
  writeHeader(arena, layout, request)
  const actor = assembleRoom(context, block, layout, type)
  const isOpen = request.stored === undefined ? create(context, actor, request) : request.follows ? follow(context, actor, request.stored) : restore(context, actor, request.stored, request.wasFollowed === true)
  if (!isOpen) return 'room-failed'
  actor.room.isAwaited = true
  scheduleFirst(actor)
  return actor
}

/** A followed room is laid out as its owner does, whose module may be of another version. */
function typeToOpen({ log }: OpenContext, { type, id, follows, stored }: OpenRequest): RoomType | undefined {
  if (!follows || stored?.state === undefined) return type
  try {
    const tables = tablesOfState(stored.state)
    return hashTables(tables) === type.fullHash ? type : foreignType(type, tables)
  } catch (error) {
    log({ id }, 'error', `cannot be followed: ${(error as Error).message}`)
    return undefined
  }
}

function create({ flusher, log, report, randomKey }: OpenContext, actor: Actor, { type, options, match }: OpenRequest): boolean {
  const { room } = actor
  const { full } = type
  spawnSingles(room, options.length === 0 ? {} : unpackFields(full.options, new DataView(options.slice().buffer), 0, options.length) ?? {}, unpackMatch(full.listing, match) ?? {})
  room.book.seed(randomKey())
  sign(room)
  room.author = createAuthorRoom(room, actor.timers, log) as unknown as ActiveRoom['author']
  if (!derive(actor)) return false
  const { onCreate } = type.definition.handlers
  if (onCreate !== undefined && guard(room, report, 'onCreate', '', 0, () => onCreate(room.author)).kind !== 'ok') return false
  return flushRoom(flusher, room) !== 0
}

/**
 * What is stored is committed without a record, at the seq that the new epoch forks from: whoever has seen the room there goes on from it. What follows
 * from the restore itself is the first record; `migrate` runs once, so a thread that ends before that record is there leaves the room as it is stored.
 */
function restore(context: OpenContext, actor: Actor, stored: Stored, wasFollowed: boolean): boolean {
  const { log, report, flusher, randomKey } = context, { room } = actor
  const found = fill(context, room, stored)
  if (found === undefined) return false
  commitLive(room)
  storeCommitted(room.arena, room.layout, room.forkSeq)
  voidDeadRefs(room)
  // Whoever saw the room beyond this snapshot has seen the numbers that would come.
  room.book.seed(randomKey())
  sign(room)
  room.author = createAuthorRoom(room, actor.timers, log) as unknown as ActiveRoom['author']
  const isOther = hashTables(found.map(({ table }) => table)) !== room.type.fullHash
  if ((isOther && !migrate(actor, found)) || !derive(actor)) return false
  const { onDrop } = room.type.definition.handlers
  for (const session of [...room.book.byId.values()]) {
    // Sockets of this very number are new ones; what other instances have of the room they say themselves.
    if (wasFollowed || !session.connected || instanceOf(room.book.connectionOf(session.slot)) !== flusher.encoder.recordHead.instance) continue
    room.book.drop(session.slot, room.book.clock.timeMs + room.type.definition.graceMs)
    if (onDrop !== undefined) guard(room, report, 'onDrop', '', 0, () => onDrop(room.author, session))
  }
  if (flushRoom(flusher, room) === room.forkSeq) storeBegin(room)
  // What `migrate` wrote must not wait for another flush, which a successor of this thread would make without it.
  return !isOther || !room.flushSkipped
}

/** Another instance runs it: its state is committed here as it is. */
function follow({ log }: OpenContext, { room }: Actor, { state }: Stored): boolean {
  if (!canRead(log, room, 'followed', () => commitStored(room, state))) return false
  setFollowing(room, true)
  restoreLive(room)
  storeBegin(room)
  return true
}

/** Live state from its stored form, which it gives back; of that the last record is the one that the room's epoch forks from. */
function fill({ log }: OpenContext, room: ActiveRoom, { state, records }: Stored): readonly Replica[] | undefined {
  let found: readonly Replica[] = []
  const isRead = canRead(log, room, 'restored, and stays as it is stored', () => {
    found = readStoredRoom(state, records, room.type.full.tables, { epoch: room.parentEpoch, seq: room.forkSeq })
    fillFromStore(room, found)
    for (const table of room.tables) table.rebuild()
    room.book.rebuild()
  })
  return isRead ? found : undefined
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

/** A followed room is this instance's own from here on, in a new epoch that forks from where it stands. False if its code fails. */
export function takeOver(context: OpenContext, actor: Actor, epoch: number): boolean {
  const { room } = actor
  setFollowing(room, false)
  setLineage(room, { epoch, parentEpoch: room.epoch, forkSeq: committedSeq(room.arena, room.layout) })
  const isRunning = resume(context, actor)
  voidDeadRefs(room)
  return isRunning
}

/**
 * A followed room that another version has laid out is this instance's own from here on: it begins in a block of its own, as a stored one would. Its area
 * must be free. Gives a code if it does not open; then it is followed on.
 */
export function takeOverForeign(context: OpenContext, { room }: Actor, epoch: number, type: RoomType): Actor | 'no-space' | 'room-failed' {
  const { arena, layout, key, id, block } = room, area = openArea(room, context.flusher.encoder.section), forkSeq = committedSeq(arena, layout), none = new Uint8Array(0)
  putStored(area)
  const stored = { state: arena.u8.slice(layout.snapshot, area.cursor), records: [] }, stays = arena.u32[(layout.base + atStays) >>> 2] === 1
  const opened = openRoom(context, { key, type, id, epoch, parentEpoch: room.epoch, forkSeq, seq: forkSeq, stays, options: none, match: none, stored, follows: false, wasFollowed: true })
  if (typeof opened !== 'string') freeBlock(arena, block)
  return opened
}

/** A room is no longer this instance's: what it had not committed is undone, and it follows. */
export function stepDown({ room }: Actor): void {
  setFollowing(room, true)
  restoreLive(room)
  room.events.length = room.nacks.length = room.replaced.length = 0
  room.eventBytes = room.nackBytes = room.missedEvents = 0
  for (const slots of [room.moved, room.joined, room.ownRows, room.ending]) slots.clear()
  room.left.clear()
  room.refused.clear()
  room.isCommitted = true
  room.flushSkipped = false
  room.closing = undefined
}

/** Takes over the room in `block`; undefined if it had never committed anything, so that it is opened anew, or follows an owner of another version. */
export function attachRoom(context: OpenContext, block: Block, types: readonly RoomType[]): Actor | undefined {
  const { arena } = context
  const type = types[arena.u32[(block.address + atTypeNumber) >>> 2]]
  if (arena.u32[(block.address + atRoomMagic) >>> 2] !== roomMagic || type === undefined) return undefined
  const layout = layoutRoom(type.full, layoutLimitsOf(type), block.address)
  if (!hasBegun(arena, layout)) return undefined
  const isOwnLayout = arena.u32[(block.address + atLayoutHash) >>> 2] === layout.hash
  // What its tables are, only its owner can say again.
  if (!isOwnLayout && arena.u32[(block.address + atFollows) >>> 2] === 1) return undefined
  assert(isOwnLayout, 'open: a successor runs the same field tables')
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
  sign(room)
  room.author = createAuthorRoom(room, actor.timers, log) as unknown as ActiveRoom['author']
  const isDerived = derive(actor)
  scheduleFirst(actor)
  return isDerived
}

/** `$globals`, `$room`, `$options` and `$listing` are tables of one row that always lives. */
function spawnSingles(room: ActiveRoom, options: Record<string, unknown>, listing: Record<string, unknown>): void {
  room.tables[0].spawn()
  room.tables[room.type.roomTable].spawn()
  room.tables[room.type.optionsTable].spawn(options)
  room.tables[room.type.listingTable].spawn(listing)
}

/** Says who writes the room from here on. */
function sign({ type, book: { clock } }: ActiveRoom): void {
  clock.version = type.definition.version
  clock.tablesHash = type.fullHash
}

function derive({ room, report }: Actor): boolean {
  const { derive: run } = room.type.definition.handlers
  if (run === undefined) return true
  const outcome = guard(room, report, 'derive', '', 0, () => run(room.author))
  if (outcome.kind !== 'ok') return false
  Object.assign(room.author, { derived: outcome.value })
  return true
}

/** Spreads the rooms of a worker over groups within the tick, so that they neither want the thread all at once nor wake it one by one. */
function scheduleFirst(actor: Actor): void {
  const { room } = actor
  const now = monotonicMs()
  room.turnMs = room.emptySinceMs = now
  const { tickHz } = room.type.definition
  if (tickHz === 0) scheduleEventDriven(actor, now)
  else room.dueMs = firstDue(now, 1000 / tickHz, room.key)
}

/** Groups lie on a grid that all rooms of this rate share; neighbouring keys lie far apart (golden ratio). */
function firstDue(nowMs: number, tickMs: number, key: number): number {
  const groups = Math.max(1, Math.floor(tickMs / tickGroupMs)), phaseMs = Math.floor(key * 0.618_034 % 1 * groups) * tickMs / groups
  return Math.ceil((nowMs - phaseMs) / tickMs) * tickMs + phaseMs
}

/** A record behind the point of commitment whose commit did not end: published and applied again. */
function finishPending({ arena, flusher }: OpenContext, { room }: Actor): void {
  const seq = pendingSeq(arena, room.layout)
  if (seq === committedSeq(arena, room.layout)) return
  const record = recordOf(arena, room.layout, seq)
  assert(record !== undefined, 'open: history holds the newest record')
  finishCommit(flusher, room, seq, record.address, record.bytes)
}
