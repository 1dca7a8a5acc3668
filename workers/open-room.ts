/**
 * Opens a room on this worker: anew in a fresh block, or as the successor of a dead thread in the block it left. Worker thread.
 *
 * Recovery is one idea: committed state, and the journal behind it. If the dead thread had passed the point of commitment, its record is
 * published and applied once more first (the main thread drops a seq it has seen). Then live columns are written anew from committed.
 */
import { assert } from '../src/base/assert.js'
import { monotonicMs } from '../src/base/clock.js'
import { allocateBlock, type Arena, type Block } from '../src/memory/arena.js'
import { openJournal } from '../src/memory/journal.js'
import {
  atEpoch, atForkSeq, atHistoryOldest, atJournalThrough, atLayoutHash, atParentEpoch, atReleasedSeq, atRoomId, atRoomKey, atRoomMagic, atTypeNumber,
  layoutRoom, roomHeaderBytes, roomMagic, type RoomLayout,
} from '../src/memory/room-layout.js'
import { createRows, recount } from '../src/memory/rows.js'
import { readWide, storeWide, writeWide } from '../src/memory/views.js'
import { dequantize } from '../src/schema/quantize.js'
import { readRoutes, routeFlags } from '../src/wire/record.js'
import { unpackFields } from '../src/wire/fields.js'
import type { ActiveRoom } from './active-room.js'
import { createAuthorRoom, type RoomLog } from './author-room.js'
import { createAuthorTable, refersToLiving, type AuthorTable } from './author-table.js'
import { finishCommit, flushRoom, type Flusher } from './flush.js'
import { guard, type Reporter } from './guard.js'
import { committedSeq, pendingSeq, recordOf } from './history.js'
import { createTablePlan } from './plan.js'
import { scheduleEventDriven, type Actor } from './room-actor.js'
import { layoutLimitsOf, type RoomType } from './room-type.js'
import { createSessionBook } from './session-book.js'
import { createTimers } from './timers.js'

export interface OpenContext {
  readonly arena: Arena
  readonly flusher: Flusher
  readonly report: Reporter
  readonly log: RoomLog
  refuse(roomKey: number, connection: number, code: string): void
}

export interface OpenRequest { readonly key: number; readonly type: RoomType; readonly id: string; readonly epoch: number; readonly options: Uint8Array }

/** Opens a new room and commits its first record. Gives a code if it does not open; then nothing stays behind. */
export function openRoom(context: OpenContext, request: OpenRequest): Actor | 'no-space' | 'room-failed' {
  const { arena } = context
  const { type } = request
  const bytes = layoutRoom(type.full, layoutLimitsOf(type), 0).bytes
  const block = allocateBlock(arena, request.key, bytes)
  if (block === undefined) return 'no-space'
  const layout = layoutRoom(type.full, layoutLimitsOf(type), block.address)
  writeHeader(arena, layout, request)
  const actor = assembleRoom(context, block, layout, type)
  const { room } = actor
  const options = request.options.length === 0 ? {} : unpackFields(type.full.options, new DataView(request.options.slice().buffer), 0, request.options.length)
  spawnSingles(room, options ?? {})
  room.book.seed(request.epoch + request.key)
  room.author = createAuthorRoom(room, actor.timers, context.log) as unknown as ActiveRoom['author']
  if (!derive(actor)) return 'room-failed'
  const { onCreate } = type.definition.handlers
  if (onCreate !== undefined && guard(room, context.report, 'onCreate', '', 0, () => onCreate(room.author)).kind !== 'ok') return 'room-failed'
  if (flushRoom(context.flusher, room) === 0) return 'room-failed'
  scheduleFirst(actor)
  return actor
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

function writeHeader(arena: Arena, layout: RoomLayout, { key, type, id, epoch }: OpenRequest): void {
  const { base } = layout
  arena.u32[(base + atLayoutHash) >>> 2] = layout.hash
  arena.u32[(base + atRoomKey) >>> 2] = key
  arena.u32[(base + atTypeNumber) >>> 2] = type.number
  writeWide(arena, base + atEpoch, epoch)
  writeWide(arena, base + atParentEpoch, 0)
  writeWide(arena, base + atForkSeq, 0)
  writeWide(arena, base + atHistoryOldest, 1)
  storeWide(arena, base + atReleasedSeq, 0)
  const bytes = Buffer.from(id)
  assert(atRoomId + 4 + bytes.length <= roomHeaderBytes, 'open: a room id fits the header')
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
    arena, type, block, layout, tables, book,
    key: arena.u32[(base + atRoomKey) >>> 2],
    id: Buffer.from(arena.u8.slice(base + atRoomId + 4, base + atRoomId + 4 + idBytes)).toString(),
    journal: openJournal(arena, layout),
    plans: rows.map(createTablePlan),
    author: undefined as unknown as ActiveRoom['author'],
    epoch: readWide(arena, base + atEpoch), parentEpoch: readWide(arena, base + atParentEpoch), forkSeq: readWide(arena, base + atForkSeq),
    appliedThrough: readWide(arena, base + atJournalThrough),
    events: [], eventBytes: 0, missedEvents: 0, nacks: [], nackBytes: 0,
    moved: new Set(), joined: new Set(), left: new Map(), ownRows: new Set(), ending: new Set(), waiting: [],
    dueMs: 0, turnMs: 0, emptySinceMs: monotonicMs(), flushSkipped: false, closing: undefined,
    ticksPerFlush: tickHz === 0 ? 1 : Math.max(1, Math.round(tickHz / flushHz)), ticksToFlush: 1,
  }
  const timerTables = new Map<string, AuthorTable>([...type.timerTables].map(([name, number]) => [name, tables[number]]))
  actor = {
    room, timers: createTimers(timerTables, book.clock), report: context.report,
    refuse: (connection, code) => context.refuse(room.key, connection, code),
  }
  return actor
}

/** `$globals`, `$room` and `$options` are tables of one row that always lives. */
function spawnSingles(room: ActiveRoom, options: Record<string, unknown>): void {
  room.tables[0].spawn()
  room.tables[room.type.roomTable].spawn()
  room.tables[room.type.optionsTable].spawn(options)
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
  assert(record !== undefined, 'open: history holds the newest record')
  for (const { flags, slot, connection } of readRoutes(arena, record.address)) {
    if (flags === routeFlags.joined) room.waiting.push({ connection, slot, kind: 'join', epoch: 0, seq: 0 })
  }
  if (seq === committedSeq(arena, room.layout)) return
  finishCommit(flusher, room, seq, record.address, record.bytes)
}

/** Live columns, rows and generations from committed ones; the clock keeps the later time, so that it never runs back. */
function restoreLive(room: ActiveRoom): void {
  const { arena } = room
  const { clock } = room.book
  const { tick, timeMs } = clock
  for (const { rows, layout } of room.plans) {
    arena.kernels.copy(layout.alive, layout.aliveCommitted, layout.words * 8)
    for (const column of [layout.generation, ...(layout.id === undefined ? [] : [layout.id]), ...layout.columns]) {
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

function restoreQuantized({ u8, u16, u32, f32 }: Arena, field: Parameters<typeof dequantize>[0], live: number, committed: number, rows: number): void {
  const wire = field.bytes === 1 ? u8 : field.bytes === 2 ? u16 : u32
  const from = committed / field.bytes
  for (let row = 0; row < rows; row++) f32[(live >>> 2) + row] = dequantize(field, wire[from + row])
}
