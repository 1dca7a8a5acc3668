/**
 * Moves every arriving entry at once from the input ring to where it belongs: inputs, joins and leaves into their room's own journal, the
 * rest to the worker. Worker thread. So one slow room holds up no other, and what a journal holds survives the thread.
 *
 * Fields are decoded and checked here, before the journal; what is refused makes no entry. A record is released only after it was moved,
 * so a successor may see one twice: joins, inputs and leaves know themselves by connection and number.
 */
import { assert } from '../src/base/assert.js'
import { monotonicMs } from '../src/base/clock.js'
import { inboxMsMax } from '../src/base/limits.js'
import { inputWords, joinWords, resumeWords, toWorker } from '../src/memory/crossing.js'
import { appendEntry } from '../src/memory/journal.js'
import { read, release, type RingReader } from '../src/memory/ring.js'
import { unpackFields } from '../src/wire/fields.js'
import type { Fault } from './faults.js'
import type { ActiveRoom } from './active-room.js'

export interface InboxHandlers {
  roomOf(key: number): ActiveRoom | undefined
  open(at: number, bytes: number): void
  release(roomKey: number): void
  stop(): void
  readonly fault: Fault
  /** A join for a room that is not here, or whose data do not fit. */
  refuse(roomKey: number, connection: number, code: string): void
  nack(roomKey: number, slot: number, connection: number, number: number, code: string): void
}

/**
 * Empties the ring, up to a leave, resume or ready that finds its room's journal full: that room has to take a turn first. Opening a room takes a
 * millisecond and more, so behind inboxMsMax of that it stops, and rooms that are due have their turns; true: more is waiting.
 */
export function drainInbox(ring: RingReader, handlers: InboxHandlers): boolean {
  const began = monotonicMs()
  for (let at = read(ring); at !== 0 && moveRecord(ring, at, handlers); at = read(ring)) {
    handlers.fault('inbox:moved')
    release(ring)
    if (ring.kind === toWorker.open && monotonicMs() - began > inboxMsMax) return true
  }
  return false
}

/** False if the record has to stay where it is. */
function moveRecord(ring: RingReader, at: number, handlers: InboxHandlers): boolean {
  const { u32 } = ring.views
  const key = u32[at >>> 2]
  const room = handlers.roomOf(key)
  switch (ring.kind) {
    case toWorker.open: handlers.open(at, ring.bytes); break
    case toWorker.release: handlers.release(key); break
    case toWorker.stop: handlers.stop(); break
    case toWorker.begin: if (room !== undefined) room.isAwaited = false; break
    case toWorker.join: moveJoin(ring, at, key, room, handlers); break
    case toWorker.input: if (room !== undefined) moveInput(ring, at, key, room, handlers); break
    case toWorker.resync: if (room !== undefined) askResync(ring, at, room); break
    case toWorker.resume: return moveResume(ring, at, key, room, handlers)
    case toWorker.leave:
    case toWorker.ready: return room === undefined || appendEntry(room.journal, ring.kind, at, ring.bytes, true)
  }
  return true
}

function moveJoin(ring: RingReader, at: number, key: number, room: ActiveRoom | undefined, handlers: InboxHandlers): void {
  const { u32, buffer } = ring.views
  const connection = u32[(at >>> 2) + 1], joinAt = at + joinWords * 4 + u32[(at >>> 2) + 2] + u32[(at >>> 2) + 3]
  if (room === undefined || room.closing !== undefined) return handlers.refuse(key, connection, 'room-closed')
  const join = unpackFields(room.type.full.join, new DataView(buffer), joinAt, at + ring.bytes)
  if (join === undefined) return handlers.refuse(key, connection, 'bad-join')
  if (!appendEntry(room.journal, ring.kind, at, ring.bytes, false)) handlers.refuse(key, connection, 'journal-full')
}

function moveResume(ring: RingReader, at: number, key: number, room: ActiveRoom | undefined, handlers: InboxHandlers): boolean {
  assert(ring.bytes > resumeWords * 4, 'inbox: a resume names its session')
  if (room !== undefined && room.closing === undefined) return appendEntry(room.journal, ring.kind, at, ring.bytes, true)
  handlers.refuse(key, ring.views.u32[(at >>> 2) + 1], 'room-closed')
  return true
}

function moveInput(ring: RingReader, at: number, key: number, room: ActiveRoom, handlers: InboxHandlers): void {
  const { u32, buffer } = ring.views
  const word = at >>> 2
  const slot = u32[word + 1], connection = u32[word + 2], number = u32[word + 3]
  const input = room.type.full.inputs[u32[word + 5]]
  const refuse = (code: string): void => handlers.nack(key, slot, connection, number, code)
  if (input === undefined) return refuse('unknown-input')
  if (unpackFields(input.fields, new DataView(buffer), at + inputWords * 4, at + ring.bytes) === undefined) return refuse('bad-input')
  if (!appendEntry(room.journal, ring.kind, at, ring.bytes, false)) refuse('journal-full')
}

/** A resync changes nothing, so it makes no entry; whoever still waits for one asks a successor again. */
function askResync(ring: RingReader, at: number, room: ActiveRoom): void {
  const { u32 } = ring.views
  const word = at >>> 2
  const slot = u32[word + 1], connection = u32[word + 2]
  if (!room.book.has(slot) || room.book.connectionOf(slot) !== connection) return
  if (room.waiting.some((waiting) => waiting.slot === slot)) return
  const wide = (index: number): number => u32[word + index] + u32[word + index + 1] * 0x1_0000_0000
  room.waiting.push({ connection, slot, kind: 'resync', epoch: wide(3), seq: wide(5) })
}
