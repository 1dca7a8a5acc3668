/**
 * The room actor: applies journal entries, fires timers, ticks. Worker thread; all of a room's author code runs from here, one turn at a
 * time. Invariant: what a turn does is a function of committed state and journal alone, so a successor that starts over comes to the same.
 */
import { accepts } from '../src/base/input-order.js'
import { nackBytesPerFlushMax, ticksBehindMax } from '../src/base/limits.js'
import { inputWords, joinWords, leaveWhy, resumeWords, toWorker, type CountedMetric } from '../src/memory/crossing.js'
import { hasEntries, nextEntry, type JournalEntry } from '../src/memory/journal.js'
import { unpackFields } from '../src/wire/fields.js'
import type { ActiveRoom } from './active-room.js'
import { engineColumn, type AuthorTable } from './author-table.js'
import type { NumberArray } from './columns.js'
import { isLost } from './connections.js'
import { guard, type Reporter } from './guard.js'
import { committedSeq } from './history.js'
import type { BookedSession } from './session-book.js'
import type { DueTimer, Timers } from './timers.js'

export interface Actor {
  readonly room: ActiveRoom
  readonly timers: Timers
  readonly report: Reporter
  /** A join or resume that the room refuses. */
  refuse(connection: number, code: string): void
  /** An input came, but not all before it: the session's inputs are wanted from `number` on. */
  want(slot: number, connection: number, number: number): void
  count(metric: CountedMetric, by: number): void
  /** Inputs that a client was told are applied, and that this room does not have. */
  lost(session: string, inputs: number): void
}

/** True if a turn is due: at its time, or, without ticks, as soon as something waits. */
export const isDue = ({ room }: Actor, nowMs: number): boolean =>
  room.hold !== 'none' ? room.flushSkipped : nowMs >= room.dueMs || (room.type.definition.tickHz === 0 && hasEntries(room.journal)) || room.flushSkipped

/** One turn; returns true if a flush is due behind it. */
export function takeTurn(actor: Actor, nowMs: number): boolean {
  const { room } = actor
  const { tickHz } = room.type.definition
  // Rows may have moved since they were built.
  for (let table = 0; table < room.grids.length; table++) room.grids[table].invalidate()
  if (tickHz === 0) {
    room.isCommitted = false
    room.book.clock.timeMs += Math.max(0, nowMs - room.turnMs)
    room.turnMs = nowMs
    fireTimers(actor)
    applyEntries(actor)
    endOverdue(actor)
    scheduleEventDriven(actor, nowMs)
    return true
  }
  if (nowMs < room.dueMs) return room.flushSkipped
  room.isCommitted = false
  skipMissedTicks(actor, nowMs, 1000 / tickHz)
  room.book.clock.tick++
  room.book.clock.timeMs += 1000 / tickHz
  fireTimers(actor)
  applyEntries(actor)
  const { onTick } = room.type.definition.handlers
  if (onTick !== undefined) guard(room, actor.report, 'onTick', '', 0, () => onTick(room.author, 1000 / tickHz))
  endOverdue(actor)
  room.ticksToFlush--
  if (room.ticksToFlush > 0) return room.flushSkipped
  room.ticksToFlush = room.ticksPerFlush
  return true
}

/** An absolute schedule: a room that is late skips ticks rather than running them in a burst. */
function skipMissedTicks({ room, count }: Actor, nowMs: number, tickMs: number): void {
  room.dueMs += tickMs
  if (nowMs - room.dueMs <= ticksBehindMax * tickMs) return
  const missed = Math.floor((nowMs - room.dueMs) / tickMs)
  room.dueMs += missed * tickMs
  room.load.missed += missed
  count('ticksMissed', missed)
}

/** A room without ticks sleeps until its next timer, or the end of a grace time. */
export function scheduleEventDriven({ room, timers }: Actor, nowMs: number): void {
  const due = Math.min(timers.nextDueMs(), room.book.nextGraceMs())
  room.dueMs = due === Infinity ? Infinity : nowMs + Math.max(0, due - room.book.clock.timeMs)
  if (hasEntries(room.journal)) room.dueMs = nowMs
}

function fireTimers(actor: Actor): void {
  const { room: { book: { clock: { timeMs } } }, timers } = actor
  for (let fired = 0; fired < timersPerTurnMax; fired++) {
    const due = timers.takeDue(timeMs)
    if (due === undefined) return
    fire(actor, due)
  }
}

function fire({ room, report }: Actor, { name, arg }: DueTimer): void {
  const handler = room.type.definition.handlers.onTimer[name]
  if (handler !== undefined) guard(room, report, 'onTimer', name, 0, () => handler(room.author, arg))
}

/** A timer that arms itself with 0 ms would otherwise hold the turn for ever. */
const timersPerTurnMax = 10_000

function applyEntries(actor: Actor): void {
  const { room } = actor
  while (room.nackBytes < nackBytesPerFlushMax) {
    const { cursor } = room.journal
    const entry = nextEntry(room.journal)
    if (entry === undefined) return
    if (entry.kind === toWorker.join && room.book.awaitsFlush()) {
      // Read again in the next turn, as all that came behind it.
      room.journal.cursor = cursor
      return
    }
    const { number } = entry
    applyEntry(actor, entry)
    room.appliedThrough = number
  }
}

function applyEntry(actor: Actor, entry: JournalEntry): void {
  switch (entry.kind) {
    case toWorker.join: return applyJoin(actor, entry)
    case toWorker.resume: return applyResume(actor, entry)
    case toWorker.ready: return applyReady(actor, entry)
    case toWorker.input: return applyInput(actor, entry)
    case toWorker.leave: return applyLeave(actor, entry)
    case toWorker.sweep:
    case toWorker.present: return applyLost(actor, entry)
    default: throw new Error(`journal: an entry of kind ${entry.kind}`)
  }
}

const word = ({ arena }: ActiveRoom, entry: JournalEntry, index: number): number => arena.u32[(entry.at >>> 2) + index]
const wide = (room: ActiveRoom, entry: JournalEntry, index: number): number => word(room, entry, index) + word(room, entry, index + 1) * 0x1_0000_0000
const textAt = ({ arena }: ActiveRoom, at: number, bytes: number): string => Buffer.from(arena.u8.slice(at, at + bytes)).toString()

function applyJoin(actor: Actor, entry: JournalEntry): void {
  const { room, report } = actor
  const { arena, type, book } = room
  const connection = wide(room, entry, 1), idBytes = word(room, entry, 3), userBytes = word(room, entry, 4)
  const idAt = entry.at + joinWords * 4, userAt = idAt + idBytes
  const join = unpackFields(type.full.join, arena.packed, userAt + userBytes, entry.at + entry.bytes)
  if (join === undefined) return actor.refuse(connection, 'bad-join')
  const known = book.slotOf(connection)
  if (known >= 0) { room.joined.add(known); return }
  if (book.clock.locked === 1) return actor.refuse(connection, 'room-locked')
  const session = book.enter(connection, textAt(room, idAt, idBytes), textAt(room, userAt, userBytes), committedSeq(arena, room.layout) + 1)
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
}

/**
 * A client comes back, or has moved to another connection. A token is good if its generation is the newest that the client is known to
 * have, or a later one: a later one proves itself. An older one was given up when its successor was confirmed.
 */
function applyResume(actor: Actor, entry: JournalEntry): void {
  const { room, report } = actor
  const { book } = room
  const connection = wide(room, entry, 1), generation = word(room, entry, 3), firstHeld = word(room, entry, 4)
  const idAt = entry.at + resumeWords * 4
  const session = book.byId.get(textAt(room, idAt, entry.at + entry.bytes - idAt))
  if (session === undefined) return actor.refuse(connection, 'session-gone')
  const { slot } = session
  const before = book.connectionOf(slot)
  if (before === connection) {
    // Its instance waits for the word that it is in: the record with that was lost, or lies before the state that the instance got instead. So with a join.
    room.joined.add(slot)
    return
  }
  if (generation < book.generationOf(slot)) return actor.refuse(connection, 'token-used')
  book.raiseGeneration(slot, generation)
  book.attach(slot, connection)
  if (before !== 0) room.replaced.push({ slot, connection: before })
  raiseInputs(actor, slot, firstHeld - 1)
  room.waiting = room.waiting.filter((waiting) => waiting.slot !== slot)
  room.joined.add(slot)
  const { onResume } = room.type.definition.handlers
  if (before === 0 && onResume !== undefined) guard(room, report, 'onResume', '', entry.number, () => onResume(room.author, session))
}

/** A client that no longer holds inputs which this room has not applied was told that they are: the room went back to a snapshot. */
function raiseInputs({ room, lost }: Actor, slot: number, through: number): void {
  const applied = room.book.appliedThroughOf(slot)
  if (through <= applied) return
  lost(room.book.at(slot).id, through - applied)
  room.book.setAppliedThrough(slot, through)
}

/** The client has the token of this generation: older ones are void. */
function applyReady({ room }: Actor, entry: JournalEntry): void {
  const slot = room.book.slotOf(wide(room, entry, 1))
  if (slot >= 0) room.book.raiseGeneration(slot, word(room, entry, 3))
}

/** An `onJoin` that throws refuses the join and despawns what the session owns. */
function undoJoin(room: ActiveRoom, session: BookedSession): void {
  eachOwned(room, session.slot, (table, row) => table.despawn(row))
  room.ownRows.delete(session.slot)
  room.book.leave(session.slot)
}

/** Visits the living rows that a session owns. Looks at every row of the room, so that a crowd that leaves at once must not hold up a tick: a plain loop. */
function eachOwned(room: ActiveRoom, slot: number, visit: (table: AuthorTable, row: number, owners: NumberArray) => void): void {
  for (const table of room.tables) {
    if (!table.rowsOf.layout.columns.some(({ field }) => field.isOwner)) continue
    const owners = engineColumn(table, '$owner')
    for (let row = 0, { end } = table.rowsOf; row < end; row++) if (owners[row] === slot + 1 && table.has(row)) visit(table, row, owners)
  }
}

function applyInput(actor: Actor, entry: JournalEntry): void {
  const { room, report } = actor
  const { book, type } = room
  const slot = word(room, entry, 1), connection = wide(room, entry, 2), number = word(room, entry, 4)
  if (!book.has(slot) || book.connectionOf(slot) !== connection) return
  const verdict = accepts(book.appliedThroughOf(slot), word(room, entry, 5), number)
  // What comes from another instance may have lost its predecessor on the way.
  if (verdict === 'hole') return actor.want(slot, connection, book.appliedThroughOf(slot) + 1)
  if (verdict === 'repeat') return
  book.setAppliedThrough(slot, number)
  room.moved.add(slot)
  const input = type.full.inputs[word(room, entry, 6)]
  const handler = type.definition.handlers.onInput[input.name]
  const data = unpackFields(input.fields, room.arena.packed, entry.at + inputWords * 4, entry.at + entry.bytes)
  if (handler === undefined || data === undefined) return
  const outcome = guard(room, report, 'onInput', input.name, entry.number, () => handler(room.author, book.at(slot), data))
  if (outcome.kind === 'rejected') nack(room, slot, number, outcome.rejection.code, outcome.rejection.text)
  else if (outcome.kind === 'threw') nack(room, slot, number, 'input-failed', '')
  else if (outcome.kind === 'poisoned') nack(room, slot, number, 'poisoned', '')
}

/** Texts of refusals are for people: what is longer than a line is cut. */
const nackTextMax = 160

function nack(room: ActiveRoom, slot: number, number: number, code: string, text: string): void {
  const line = (text === '' ? code : `${code}\n${text}`).slice(0, nackTextMax)
  room.nacks.push({ slot, number, text: line })
  room.nackBytes += 32 + Buffer.byteLength(line)
}

/** A client that left has left; one whose connection was lost may come back. */
function applyLeave(actor: Actor, entry: JournalEntry): void {
  const { room } = actor
  const slot = room.book.slotOf(wide(room, entry, 1))
  if (slot < 0) return
  const why = leaveWhy[word(room, entry, 3)]
  if (why === 'dropped') dropSession(actor, slot, entry.number)
  else endSession(actor, slot, why, entry.number)
}

/** Connections to other instances are gone, or those instances are. */
function applyLost(actor: Actor, entry: JournalEntry): void {
  const { book, arena } = actor.room, words = arena.u32.subarray((entry.at >>> 2) + 1, (entry.at + entry.bytes) >>> 2)
  for (const { slot } of [...book.byId.values()]) if (isLost(entry.kind, words, book.connectionOf(slot))) dropSession(actor, slot, entry.number)
}

/** Its client may come back until its grace time ends. */
function dropSession(actor: Actor, slot: number, journalNumber: number): void {
  const { room, report } = actor, { graceMs, handlers: { onDrop } } = room.type.definition
  if (graceMs === 0) return endSession(actor, slot, 'dropped', journalNumber)
  room.book.drop(slot, room.book.clock.timeMs + graceMs)
  forgetClient(room, slot)
  if (onDrop !== undefined) guard(room, report, 'onDrop', '', journalNumber, () => onDrop(room.author, room.book.at(slot)))
}

/** Sessions that `session.end` named, and dropped ones whose grace time has passed. */
function endOverdue(actor: Actor): void {
  const { book, ending } = actor.room
  if (ending.size > 0) for (const slot of ending) if (book.has(slot)) endSession(actor, slot, 'ended', 0)
  if (ending.size > 0) ending.clear()
  for (let slot = book.takeExpired(book.clock.timeMs); slot >= 0; slot = book.takeExpired(book.clock.timeMs)) endSession(actor, slot, 'dropped', 0)
}

/** Nobody is there to be told anything. */
function forgetClient(room: ActiveRoom, slot: number): void {
  room.waiting = room.waiting.filter((waiting) => waiting.slot !== slot)
  room.moved.delete(slot)
  room.joined.delete(slot)
}

/** Ends a stay: `onLeave`, then the session is gone. */
export function endSession({ room, report }: Actor, slot: number, why: (typeof leaveWhy)[number], journalNumber: number): void {
  const { onLeave } = room.type.definition.handlers
  const session = room.book.at(slot)
  if (onLeave !== undefined) guard(room, report, 'onLeave', '', journalNumber, () => onLeave(room.author, session, why))
  // Its slot will be another's: what is left of it belongs to nobody.
  eachOwned(room, slot, (_, row, owners) => { owners[row] = 0 })
  room.left.set(slot, room.book.connectionOf(slot))
  forgetClient(room, slot)
  room.ownRows.delete(slot)
  room.book.leave(slot)
}
