/**
 * Moves every arriving entry at once from the input ring to where it belongs: inputs, joins and leaves into their room's own journal, the
 * rest to the worker. Worker thread. So one slow room holds up no other, and what a journal holds survives the thread.
 *
 * Fields are decoded and checked here, before the journal; what is refused makes no entry. A record is released only after it was moved,
 * so a successor may see one twice: joins, inputs and leaves know themselves by connection and number.
 */
import { assert } from '../src/base/assert.js'
import { monotonicMs } from '../src/base/clock.js'
import { instanceOf } from '../src/base/connection-number.js'
import { inboxMsMax } from '../src/base/limits.js'
import { holds, inputWords, joinWords, resumeWords, toWorker } from '../src/memory/crossing.js'
import { appendEntry } from '../src/memory/journal.js'
import { read, release, type RingReader } from '../src/memory/ring.js'
import { unpackFields } from '../src/wire/fields.js'
import { readWide } from '../src/memory/views.js'
import type { Fault } from './faults.js'
import type { ActiveRoom } from './active-room.js'
import { isLost } from './connections.js'

export interface InboxHandlers {
  roomOf(key: number): ActiveRoom | undefined
  open(at: number, bytes: number): void
  release(roomKey: number): void
  /** False if there is no space for it yet. */
  record(room: ActiveRoom, at: number, bytes: number): boolean
  /** False if it has to wait. */
  own(room: ActiveRoom, epoch: number): boolean
  follow(room: ActiveRoom): void
  stop(): void
  readonly fault: Fault
  /** This instance's number. */
  readonly instance: number
  /** A join for a room that is not here, or whose data do not fit. */
  refuse(roomKey: number, connection: number, code: string): void
  nack(roomKey: number, slot: number, connection: number, number: number, code: string): void
}

/** What is left in the ring: nothing, more that can be moved at once, or something that has to wait for space. */
export type Left = 'nothing' | 'more' | 'blocked'

/**
 * Empties the ring, up to what finds no space: a leave, resume or ready whose room has to take a turn first, or another instance's record, until the
 * main thread has let go of earlier ones. Opening a room takes a millisecond and more, so behind inboxMsMax of that it stops, and rooms that are due
 * have their turns.
 */
export function drainInbox(ring: RingReader, handlers: InboxHandlers): Left {
  const began = monotonicMs()
  for (let at = read(ring); at !== 0; at = read(ring)) {
    if (!moveRecord(ring, at, handlers)) return 'blocked'
    handlers.fault('inbox:moved')
    release(ring)
    if (ring.kind === toWorker.open && monotonicMs() - began > inboxMsMax) return 'more'
  }
  return 'nothing'
}

/** Behind the room's key, and a word that keeps it a multiple of 8. */
const recordAt = 8

/** False if the record has to stay where it is. */
function moveRecord(ring: RingReader, at: number, handlers: InboxHandlers): boolean {
  const { u32 } = ring.views
  const key = u32[at >>> 2]
  const room = handlers.roomOf(key)
  // Inputs wait for their room's tick.
  if (room !== undefined && ring.kind !== toWorker.input) room.restsUntilMs = 0
  switch (ring.kind) {
    case toWorker.open: handlers.open(at, ring.bytes); break
    case toWorker.release: handlers.release(key); break
    case toWorker.stop: handlers.stop(); break
    case toWorker.begin: if (room !== undefined) room.isAwaited = false; break
    case toWorker.join: moveJoin(ring, at, key, room, handlers); break
    case toWorker.input: if (room?.isFollowing === false) moveInput(ring, at, key, room, handlers); break
    case toWorker.resync: if (room !== undefined) askResync(ring, at, room); break
    case toWorker.record: return room?.isFollowing !== true || handlers.record(room, at + recordAt, ring.bytes - recordAt)
    case toWorker.own: return room === undefined || handlers.own(room, readWide(ring.views, at + 4))
    case toWorker.follow: if (room !== undefined) handlers.follow(room); break
    case toWorker.fetch: room?.fetches.push({ request: u32[(at >>> 2) + 1], epoch: readWide(ring.views, at + 8), seq: readWide(ring.views, at + 16) }); break
    case toWorker.resume: return moveResume(ring, at, key, room, handlers)
    case toWorker.hold: if (room !== undefined) hold(room, u32[(at >>> 2) + 1]); break
    case toWorker.save: if (room !== undefined) room.isSaveDue = true; break
    case toWorker.sweep:
    case toWorker.present: return room === undefined || room.isFollowing || !losesAnybody(ring, at, room) || appendEntry(room.journal, ring.kind, at, ring.bytes, true)
    case toWorker.leave:
    case toWorker.ready: return room === undefined || room.isFollowing || appendEntry(room.journal, ring.kind, at, ring.bytes, true)
  }
  return true
}

function hold(room: ActiveRoom, how: number): void {
  room.hold = how === holds.goOn ? 'none' : how === holds.pause ? 'paused' : 'halting'
}

/** True if a sweep, or what an instance says of its clients, ends a connection: only then it is an entry. */
const losesAnybody = ({ kind, views, bytes }: RingReader, at: number, { book }: ActiveRoom): boolean =>
  [...book.byId.values()].some(({ slot }) => isLost(kind, views.u32.subarray((at >>> 2) + 1, (at + bytes) >>> 2), book.connectionOf(slot)))

function moveJoin(ring: RingReader, at: number, key: number, room: ActiveRoom | undefined, handlers: InboxHandlers): void {
  const { u32, packed } = ring.views
  const word = at >>> 2, connection = readWide(ring.views, at + 4), joinAt = at + joinWords * 4 + u32[word + 3] + u32[word + 4]
  if (room === undefined || room.closing !== undefined) return handlers.refuse(key, connection, 'room-closed')
  const join = unpackFields(room.type.full.join, packed, joinAt, at + ring.bytes)
  if (join === undefined) return handlers.refuse(key, connection, 'bad-join')
  if (!appendEntry(room.journal, ring.kind, at, ring.bytes, true)) handlers.refuse(key, connection, 'no-space')
}

function moveResume(ring: RingReader, at: number, key: number, room: ActiveRoom | undefined, handlers: InboxHandlers): boolean {
  assert(ring.bytes > resumeWords * 4, 'inbox: a resume names its session')
  if (room !== undefined && room.closing === undefined) return appendEntry(room.journal, ring.kind, at, ring.bytes, true)
  handlers.refuse(key, readWide(ring.views, at + 4), 'room-closed')
  return true
}

function moveInput(ring: RingReader, at: number, key: number, room: ActiveRoom, handlers: InboxHandlers): void {
  const { u32, packed } = ring.views
  const word = at >>> 2
  const slot = u32[word + 1], connection = readWide(ring.views, at + 8), number = u32[word + 4]
  const input = room.type.full.inputs[u32[word + 6]]
  // What was refused here makes no entry: the next one accounts for it.
  const before = room.refused.size === 0 ? undefined : room.refused.get(slot), from = before?.connection === connection && before.next === u32[word + 5] ? before.from : u32[word + 5]
  const refuse = (code: string): void => {
    room.refused.set(slot, { connection, from, next: number + 1 })
    handlers.nack(key, slot, connection, number, code)
  }
  if (input === undefined) return refuse('unknown-input')
  if (unpackFields(input.fields, packed, at + inputWords * 4, at + ring.bytes) === undefined) return refuse('bad-input')
  // The record is this thread's until it is released.
  u32[word + 5] = from
  if (appendEntry(room.journal, ring.kind, at, ring.bytes, false)) { if (before !== undefined) room.refused.delete(slot) }
  // Of what comes from another instance a copy may be on its way: not refused, it will be asked for.
  else if (instanceOf(connection) === handlers.instance) refuse('journal-full')
}

/** A resync changes nothing, so it makes no entry; whoever still waits for one asks a successor again. */
function askResync(ring: RingReader, at: number, room: ActiveRoom): void {
  const { views } = ring
  const slot = views.u32[(at >>> 2) + 1], connection = readWide(views, at + 8)
  if (!room.book.has(slot) || room.book.connectionOf(slot) !== connection) return
  if (room.waiting.some((waiting) => waiting.slot === slot)) return
  room.waiting.push({ connection, slot, epoch: readWide(views, at + 16), seq: readWide(views, at + 24) })
}
