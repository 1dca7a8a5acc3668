/**
 * The room actor: applies journal entries, fires timers, ticks. Worker thread; all of a room's author code runs from here, one turn at a
 * time. Invariant: what a turn does is a function of committed state and journal alone, so a successor that starts over comes to the same.
 */
import { nackBytesPerFlushMax, ticksBehindMax } from '../src/base/limits.js'
import { inputWords, joinWords, leaveWhy, toWorker } from '../src/memory/crossing.js'
import { hasEntries, nextEntry, type JournalEntry } from '../src/memory/journal.js'
import { unpackFields } from '../src/wire/fields.js'
import type { ActiveRoom } from './active-room.js'
import { engineColumn, type AuthorTable } from './author-table.js'
import type { NumberArray } from './columns.js'
import { guard, type Reporter } from './guard.js'
import type { BookedSession } from './session-book.js'
import type { Timers } from './timers.js'

export interface Actor {
  readonly room: ActiveRoom
  readonly timers: Timers
  readonly report: Reporter
  /** A join that the room refuses. */
  refuse(connection: number, code: string): void
}

/** True if a turn is due: at its time, or, without ticks, as soon as something waits. */
export const isDue = ({ room }: Actor, nowMs: number): boolean =>
  nowMs >= room.dueMs || (room.type.definition.tickHz === 0 && hasEntries(room.journal)) || room.flushSkipped

/** One turn; returns true if a flush is due behind it. */
export function takeTurn(actor: Actor, nowMs: number): boolean {
  const { room } = actor
  const { tickHz } = room.type.definition
  for (const table of room.tables) table.beginTurn()
  if (tickHz === 0) {
    room.book.clock.timeMs += Math.max(0, nowMs - room.turnMs)
    room.turnMs = nowMs
    fireTimers(actor)
    applyEntries(actor)
    endNamed(actor)
    scheduleEventDriven(actor, nowMs)
    return true
  }
  if (nowMs < room.dueMs) return room.flushSkipped
  skipMissedTicks(room, nowMs, 1000 / tickHz)
  room.book.clock.tick++
  room.book.clock.timeMs += 1000 / tickHz
  fireTimers(actor)
  applyEntries(actor)
  const { onTick } = room.type.definition.handlers
  if (onTick !== undefined) guard(room, actor.report, 'onTick', '', 0, () => onTick(room.author, 1000 / tickHz))
  endNamed(actor)
  room.ticksToFlush--
  if (room.ticksToFlush > 0) return room.flushSkipped
  room.ticksToFlush = room.ticksPerFlush
  return true
}

/** An absolute schedule: a room that is late skips ticks rather than running them in a burst. */
function skipMissedTicks(room: ActiveRoom, nowMs: number, tickMs: number): void {
  room.dueMs += tickMs
  if (nowMs - room.dueMs > ticksBehindMax * tickMs) room.dueMs += Math.floor((nowMs - room.dueMs) / tickMs) * tickMs
}

/** A room without ticks sleeps until its next timer. */
export function scheduleEventDriven({ room, timers }: Actor, nowMs: number): void {
  const due = timers.nextDueMs()
  room.dueMs = due === Infinity ? Infinity : nowMs + Math.max(0, due - room.book.clock.timeMs)
  if (hasEntries(room.journal)) room.dueMs = nowMs
}

function fireTimers({ room, timers, report }: Actor): void {
  const { timeMs } = room.book.clock
  for (let fired = 0; fired < timersPerTurnMax; fired++) {
    const due = timers.takeDue(timeMs)
    if (due === undefined) return
    const handler = room.type.definition.handlers.onTimer[due.name]
    if (handler !== undefined) guard(room, report, 'onTimer', due.name, 0, () => handler(room.author, due.arg))
  }
}

/** A timer that arms itself with 0 ms would otherwise hold the turn for ever. */
const timersPerTurnMax = 10_000

function applyEntries(actor: Actor): void {
  const { room } = actor
  while (room.nackBytes < nackBytesPerFlushMax) {
    const entry = nextEntry(room.journal)
    if (entry === undefined) return
    const { number } = entry
    applyEntry(actor, entry)
    room.appliedThrough = number
  }
}

function applyEntry(actor: Actor, entry: JournalEntry): void {
  switch (entry.kind) {
    case toWorker.join: return applyJoin(actor, entry)
    case toWorker.input: return applyInput(actor, entry)
    case toWorker.leave: return applyLeave(actor, entry)
    default: throw new Error(`journal: an entry of kind ${entry.kind}`)
  }
}

const word = ({ arena }: ActiveRoom, entry: JournalEntry, index: number): number => arena.u32[(entry.at >>> 2) + index]

function applyJoin(actor: Actor, entry: JournalEntry): void {
  const { room, report } = actor
  const { arena, type, book } = room
  const connection = word(room, entry, 1), idBytes = word(room, entry, 2)
  const idAt = entry.at + joinWords * 4
  const join = unpackFields(type.full.join, new DataView(arena.buffer), idAt + idBytes, entry.at + entry.bytes)
  if (join === undefined) return actor.refuse(connection, 'bad-join')
  if (book.slotOf(connection) >= 0) return
  const session = book.clock.locked === 1 ? undefined : book.enter(connection, Buffer.from(arena.u8.slice(idAt, idAt + idBytes)).toString())
  if (session === undefined) return actor.refuse(connection, 'room-full')
  const { onJoin } = type.definition.handlers
  if (onJoin !== undefined) {
    const outcome = guard(room, report, 'onJoin', '', entry.number, () => onJoin(room.author, session, join, undefined))
    if (outcome.kind !== 'ok') {
      undoJoin(room, session)
      return actor.refuse(connection, outcome.kind === 'rejected' ? outcome.rejection.code : 'join-refused')
    }
  }
  room.joined.add(session.slot)
  room.ownRows.add(session.slot)
  room.waiting.push({ connection, slot: session.slot, kind: 'join', epoch: 0, seq: 0 })
}

/** An `onJoin` that throws refuses the join and despawns what the session owns. */
function undoJoin(room: ActiveRoom, session: BookedSession): void {
  eachOwned(room, session.slot, (table, row) => table.despawn(row))
  room.ownRows.delete(session.slot)
  room.book.leave(session.slot)
}

/** Visits the living rows that a session owns. */
function eachOwned(room: ActiveRoom, slot: number, visit: (table: AuthorTable, row: number, owners: NumberArray) => void): void {
  for (const table of room.tables) {
    if (!table.rowsOf.layout.columns.some(({ field }) => field.isOwner)) continue
    const owners = engineColumn(table, '$owner')
    for (const row of table.rows()) if (owners[row] === slot + 1) visit(table, row, owners)
  }
}

function applyInput(actor: Actor, entry: JournalEntry): void {
  const { room, report } = actor
  const { book, type } = room
  const slot = word(room, entry, 1), number = word(room, entry, 3)
  if (!book.has(slot) || book.connectionOf(slot) !== word(room, entry, 2) || number <= book.appliedThroughOf(slot)) return
  book.setAppliedThrough(slot, number)
  room.moved.add(slot)
  const input = type.full.inputs[word(room, entry, 5)]
  const handler = type.definition.handlers.onInput[input.name]
  const data = unpackFields(input.fields, new DataView(room.arena.buffer), entry.at + inputWords * 4, entry.at + entry.bytes)
  if (handler === undefined || data === undefined) return
  const outcome = guard(room, report, 'onInput', input.name, entry.number, () => handler(room.author, book.at(slot), data))
  if (outcome.kind === 'rejected') nack(room, slot, number, outcome.rejection.code, outcome.rejection.text)
  else if (outcome.kind === 'threw') nack(room, slot, number, 'input-failed', '')
}

/** Texts of refusals are for people: what is longer than a line is cut. */
const nackTextMax = 160

function nack(room: ActiveRoom, slot: number, number: number, code: string, text: string): void {
  const line = (text === '' ? code : `${code}\n${text}`).slice(0, nackTextMax)
  room.nacks.push({ slot, number, text: line })
  room.nackBytes += 32 + Buffer.byteLength(line)
}

function applyLeave(actor: Actor, entry: JournalEntry): void {
  const { room } = actor
  const slot = room.book.slotOf(word(room, entry, 1))
  if (slot >= 0) endSession(actor, slot, leaveWhy[word(room, entry, 2)], entry.number)
}

function endNamed(actor: Actor): void {
  for (const slot of actor.room.ending) if (actor.room.book.has(slot)) endSession(actor, slot, 'ended', 0)
  actor.room.ending.clear()
}

/** Ends a stay: `onLeave`, then the session is gone. */
export function endSession({ room, report }: Actor, slot: number, why: (typeof leaveWhy)[number], journalNumber: number): void {
  const { onLeave } = room.type.definition.handlers
  const session = room.book.at(slot)
  if (onLeave !== undefined) guard(room, report, 'onLeave', '', journalNumber, () => onLeave(room.author, session, why))
  // Its slot will be another's: what is left of it belongs to nobody.
  eachOwned(room, slot, (_, row, owners) => { owners[row] = 0 })
  room.left.set(slot, room.book.connectionOf(slot))
  room.waiting = room.waiting.filter((waiting) => waiting.slot !== slot)
  room.moved.delete(slot)
  room.joined.delete(slot)
  room.ownRows.delete(slot)
  room.book.leave(slot)
}
