/**
 * A worker's loop: inbox, the rooms that are due, the doorbell, sleep. Worker thread; never returns before it is told to stop.
 *
 * Sleep is `Atomics.wait` on the arena's wake word until the next room is due, so that inputs wake it at once; one turn of the event loop
 * goes before it, for promises and timers of authors. Invariant: nothing is published without a bell under way.
 */
import { monotonicMs } from '../src/base/clock.js'
import { armDoorbell, countTurn, freeBlock, openBlocks, type Arena, type Block } from '../src/memory/arena.js'
import { atInputRing, atWake } from '../src/memory/arena-layout.js'
import { openWords, send, toMain } from '../src/memory/crossing.js'
import { inputRingBytes } from '../src/base/limits.js'
import { atTickUs } from '../src/memory/room-layout.js'
import { createRingReader, sleepOn, wakeCount, type RingWriter } from '../src/memory/ring.js'
import type { SectionWriter } from '../src/wire/section.js'
import type { ActiveRoom } from './active-room.js'
import { flushRoom, type Flusher } from './flush.js'
import { guard } from './guard.js'
import { drainInbox, type InboxHandlers } from './inbox.js'
import { attachRoom, openRoom, type OpenContext } from './open-room.js'
import { isDeadlyToOpen, isDoomed } from './poison.js'
import { endSession, isDue, takeTurn, type Actor } from './room-actor.js'
import type { RoomType } from './room-type.js'
import { serveWaiting } from './snapshots.js'

export interface Worker {
  readonly arena: Arena
  readonly types: readonly RoomType[]
  readonly output: RingWriter
  readonly section: SectionWriter
  readonly flusher: Flusher
  readonly context: OpenContext
  readonly actors: Map<number, Actor>
  /** Blocks of rooms that closed: they wait until the main thread has let go. */
  readonly closed: Map<number, Block>
  /** Blocks of rooms that no thread can run: the main thread is yet to be told. */
  readonly doomed: Map<number, Block>
  ringBell(): void
}

/** Longest sleep: a worker that has nothing to do still counts its turns, so that it is seen to live. */
const sleepMsMax = 250
/** After a flush that found no space the loop looks again this soon. */
const retryMs = 1

/** Runs until the main thread says stop. */
export async function runLoop(worker: Worker): Promise<void> {
  const { arena } = worker
  const input = createRingReader(arena, atInputRing, inputRingBytes)
  recoverRooms(worker)
  let stopped = false
  let rungAt = -1
  const handlers = inboxHandlers(worker, () => { stopped = true })
  while (!stopped) {
    const wakes = wakeCount(arena, atWake)
    drainInbox(input, handlers)
    closeDoomed(worker)
    const dueMs = runRooms(worker)
    if (worker.output.head !== rungAt) {
      rungAt = worker.output.head
      if (armDoorbell(arena)) worker.ringBell()
    }
    countTurn(arena)
    await nextTurn()
    const ms = Math.min(dueMs - monotonicMs(), sleepMsMax)
    if (ms > 0 && !stopped) sleepOn(arena, atWake, wakes, ms)
  }
}

const nextTurn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

function inboxHandlers(worker: Worker, stop: () => void): InboxHandlers {
  return {
    stop,
    roomOf: (key) => worker.actors.get(key)?.room,
    open: (at, bytes) => open(worker, at, bytes),
    release: (key) => {
      const block = worker.closed.get(key)
      if (block !== undefined) freeBlock(worker.arena, block)
      worker.closed.delete(key)
    },
    refuse: (roomKey, connection, code) => worker.context.refuse(roomKey, connection, code),
    nack: (roomKey, slot, connection, number, code) => { send(worker.output, toMain.nack, [roomKey, slot, connection, number], encode(code)) },
  }
}

const encoder = new TextEncoder()
const encode = (text: string): Uint8Array => encoder.encode(text)

function open(worker: Worker, at: number, bytes: number): void {
  const { arena, output, types } = worker
  const word = at >>> 2
  const key = arena.u32[word], type = types[arena.u32[word + 1]], idBytes = arena.u32[word + 4]
  const known = worker.actors.get(key)
  if (known === undefined) {
    const idAt = at + openWords * 4
    const id = Buffer.from(arena.u8.slice(idAt, idAt + idBytes)).toString()
    const epoch = arena.u32[word + 2] + arena.u32[word + 3] * 0x1_0000_0000
    const opened = isDeadlyToOpen(arena, key) ? 'room-failed' : openRoom(worker.context, { key, type, id, epoch, options: arena.u8.slice(idAt + idBytes, at + bytes) })
    if (typeof opened === 'string') {
      for (const block of openBlocks(arena)) if (block.roomKey === key) freeBlock(arena, block)
      send(output, toMain.failed, [key], encode(opened))
      return
    }
    worker.actors.set(key, opened)
  }
  send(output, toMain.opened, [key, worker.actors.get(key)!.room.layout.base])
}

/** Takes over what an earlier thread left. A block whose room never committed is given back: its open request still stands in the ring. */
function recoverRooms(worker: Worker): void {
  for (const block of openBlocks(worker.arena)) {
    if (isDoomed(worker.arena, block)) { worker.doomed.set(block.roomKey, block); continue }
    const actor = attachRoom(worker.context, block, worker.types)
    if (actor === undefined) { freeBlock(worker.arena, block); continue }
    worker.actors.set(block.roomKey, actor)
  }
}

/** Rooms that end their threads are closed with all their sessions; what is stored of them stays. */
function closeDoomed({ doomed, closed, output }: Worker): void {
  for (const [key, block] of doomed) {
    if (!send(output, toMain.closed, [key], encode('room-poisoned'))) return
    doomed.delete(key)
    closed.set(key, block)
  }
}

/** Every room that is due takes its turn; returns when the next one is. */
function runRooms(worker: Worker): number {
  let dueMs = Infinity
  for (const actor of worker.actors.values()) {
    const { room } = actor
    const now = monotonicMs()
    if (isDue(actor, now)) {
      if (takeTurn(actor, now)) flushActor(worker, actor)
      worker.arena.u32[(room.layout.base + atTickUs) >>> 2] = (monotonicMs() - now) * 1000
    }
    if (room.waiting.length > 0 && room.isCommitted) serveWaiting(room, worker.section, worker.output)
    if (shouldClose(room, now)) close(worker, actor)
    dueMs = Math.min(dueMs, room.flushSkipped ? now + retryMs : room.dueMs)
  }
  return dueMs
}

function flushActor(worker: Worker, { room }: Actor): void {
  for (const slot of room.book.lostRows()) room.ownRows.add(slot)
  flushRoom(worker.flusher, room)
}

function shouldClose(room: ActiveRoom, nowMs: number): boolean {
  if (room.book.size > 0) room.emptySinceMs = nowMs
  if (room.closing !== undefined) return !room.flushSkipped
  if (nowMs - room.emptySinceMs < room.type.definition.keepMs) return false
  room.closing = 'room-closed'
  return true
}

/** Ends a room: `onClose` if its author closed it, its last record, then the word to the main thread, which answers with release. */
function close(worker: Worker, actor: Actor): void {
  const { room } = actor
  const { onClose } = room.type.definition.handlers
  if (room.book.size > 0) {
    if (onClose !== undefined) guard(room, actor.report, 'onClose', '', 0, () => onClose(room.author))
    for (const { slot } of [...room.book.byId.values()]) endSession(actor, slot, 'ended', 0)
    flushActor(worker, actor)
    if (room.flushSkipped) return
  }
  if (!send(worker.output, toMain.closed, [room.key], encode(room.closing!))) return
  worker.actors.delete(room.key)
  worker.closed.set(room.key, room.block)
}
