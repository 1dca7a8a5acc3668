/**
 * A worker's loop: inbox, the rooms that are due, the doorbell, sleep. Worker thread; never returns before it is told to stop.
 *
 * Sleep is `Atomics.wait` on the arena's wake word until the next room is due, so that inputs wake it at once; one turn of the event loop
 * goes before it, for promises and timers of authors. Invariant: nothing is published without a bell under way.
 */
import { getHeapStatistics } from 'node:v8'
import { monotonicMs } from '../src/base/clock.js'
import { armDoorbell, countLoop, freeBlock, openBlocks, type Arena, type Block } from '../src/memory/arena.js'
import { atInputRing, atWake } from '../src/memory/arena-layout.js'
import { openFlags, openWords, send, toMain, wideWords, type ReportLevel, type WorkerTally } from '../src/memory/crossing.js'
import { inputRingBytes } from '../src/base/limits.js'
import { hasEntries } from '../src/memory/journal.js'
import { atFollows, atStays, atTickUs } from '../src/memory/room-layout.js'
import { createRingReader, sleepOn, wakeCount, type RingWriter } from '../src/memory/ring.js'
import { packToBytes } from '../src/wire/fields.js'
import type { SectionWriter } from '../src/wire/section.js'
import type { ActiveRoom } from './active-room.js'
import { isAreaFree } from './area.js'
import type { OpenContext } from './assemble-room.js'
import { flushRoom, type Flusher } from './flush.js'
import { guard } from './guard.js'
import { committedSeq } from './history.js'
import { drainInbox, type InboxHandlers } from './inbox.js'
import { serveFetches } from './fetch.js'
import { followRecord } from './following.js'
import { attachRoom, openRoom, stepDown, takeOver, takeOverForeign } from './open-room.js'
import { addTurn, createLoadWindow, lookAtLoad, type LoadWindow } from './load.js'
import { isDeadlyToOpen, isDoomed } from './poison.js'
import { endSession, isDue, takeTurn, type Actor } from './room-actor.js'
import type { RoomType } from './room-type.js'
import { serveWaiting } from './snapshots.js'
import { handToStore, isStored, isStoreDue, saveRoom } from './storing.js'
import type { Stored } from './stored-room.js'
import { countTurn, isTallyDue, takeTally, type Tally } from './tally.js'
import type { Teller } from './teller.js'

export interface Worker {
  readonly arena: Arena
  readonly types: readonly RoomType[]
  readonly output: RingWriter
  readonly teller: Teller
  readonly section: SectionWriter
  readonly flusher: Flusher
  readonly context: OpenContext
  readonly actors: Map<number, Actor>
  /** Blocks of rooms that closed: they wait until the main thread has let go. */
  readonly closed: Map<number, Block>
  /** Blocks of rooms that no thread can run: the main thread is yet to be told. */
  readonly doomed: Map<number, Block>
  readonly tally: Tally
  log(level: ReportLevel, fields: Record<string, unknown>, text: string): void
  tell(told: WorkerTally): void
  ringBell(): void
  /** What the main thread has posted as stored of a room, once. */
  takeStored(roomKey: number): Stored | undefined
}

/** Longest sleep: a worker that has nothing to do still counts its turns, so that it is seen to live. */
const sleepMsMax = 250
/** After a flush that found no space the loop looks again this soon. */
const retryMs = 1
const lookEveryMs = 1000
/** What a stop may wait for the main thread to take. */
const storeAllMsMax = 5000
const roomsNamedMax = 100

/** Runs until the main thread says stop. */
export async function runLoop(worker: Worker): Promise<void> {
  const { arena } = worker
  const input = createRingReader(arena, atInputRing, inputRingBytes)
  recoverRooms(worker)
  let stopped = false
  const load = createLoadWindow(monotonicMs())
  let rungAt = -1, awakeMs = monotonicMs(), lookMs = awakeMs
  const handlers = inboxHandlers(worker, () => { stopped = true })
  while (!stopped) {
    const wakes = wakeCount(arena, atWake)
    const left = drainInbox(input, handlers)
    closeDoomed(worker)
    const dueMs = runRooms(worker), isPaid = worker.teller.pay()
    if (worker.output.head !== rungAt) {
      rungAt = worker.output.head
      if (armDoorbell(arena)) worker.ringBell()
    }
    countLoop(arena)
    await nextTurn()
    const now = monotonicMs()
    worker.tally.busyMs += now - awakeMs
    if (isTallyDue(worker.tally, now)) tellTally(worker, now)
    if (now - lookMs >= lookEveryMs) { lookMs = now; tellLoad(worker, load, now) }
    const ms = left === 'more' ? 0 : Math.min(dueMs - now, isPaid && left === 'nothing' ? sleepMsMax : retryMs)
    if (ms > 0 && !stopped) sleepOn(arena, atWake, wakes, ms)
    awakeMs = ms > 0 ? monotonicMs() : now
  }
  await storeAll(worker)
}

const nextTurn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

function inboxHandlers(worker: Worker, stop: () => void): InboxHandlers {
  return {
    stop, fault: worker.flusher.fault, instance: worker.flusher.encoder.recordHead.instance,
    roomOf: (key) => worker.actors.get(key)?.room,
    open: (at, bytes) => open(worker, at, bytes),
    record: (room, at, bytes) => {
      const followed = followRecord(worker.flusher, room, at, bytes)
      if (followed === 'no-space') return false
      if (followed !== 'applied' && followed !== 'repeat') worker.teller.tell(toMain.behind, [room.key, ...wideWords(room.epoch), ...wideWords(committedSeq(room.arena, room.layout))], encode(followed))
      return true
    },
    own: (room, epoch) => !room.isFollowing || own(worker, worker.actors.get(room.key)!, epoch),
    follow: (room) => { if (!room.isFollowing) stepDown(worker.actors.get(room.key)!) },
    release: (key) => {
      // A followed room ends with this word; and a thread that died between its own and this answer has left a room that its successor took over.
      const block = worker.closed.get(key) ?? worker.actors.get(key)?.room.block
      if (block !== undefined) freeBlock(worker.arena, block)
      worker.closed.delete(key)
      worker.actors.delete(key)
    },
    refuse: (roomKey, connection, code) => worker.context.refuse(roomKey, connection, code),
    nack: (roomKey, slot, connection, number, code) => worker.teller.tell(toMain.nack, [roomKey, slot, ...wideWords(connection), number], encode(code)),
  }
}

/** A followed room is this instance's own; false if that has to wait until its area is free. */
function own(worker: Worker, actor: Actor, epoch: number): boolean {
  const { room } = actor, type = worker.types[room.type.number]
  if (room.type === type) {
    if (!takeOver(worker.context, actor, epoch)) room.closing ??= 'room-failed'
    return true
  }
  if (!isAreaFree(room)) return false
  const opened = takeOverForeign(worker.context, actor, epoch, type)
  if (typeof opened === 'string') worker.teller.tell(toMain.failed, [room.key], encode(opened))
  else {
    worker.actors.set(room.key, opened)
    tellOpen(worker, opened)
  }
  return true
}

const encoder = new TextEncoder()
const encode = (text: string): Uint8Array => encoder.encode(text)

function open(worker: Worker, at: number, bytes: number): void {
  const { arena, teller, types } = worker
  const word = at >>> 2
  const key = arena.u32[word], type = types[arena.u32[word + 1]], idBytes = arena.u32[word + 11]
  const known = worker.actors.get(key)
  if (known === undefined) {
    const idAt = at + openWords * 4
    const id = Buffer.from(arena.u8.slice(idAt, idAt + idBytes)).toString()
    const wide = (index: number): number => arena.u32[word + index] + arena.u32[word + index + 1] * 0x1_0000_0000
    const flags = arena.u32[word + 10], optionsAt = idAt + idBytes, matchAt = optionsAt + arena.u32[word + 12]
    const stored = worker.takeStored(key)
    // The thread before took what was stored with it: it has to be posted again.
    const opened = isDeadlyToOpen(arena, key) ? 'room-failed' : (flags & openFlags.stored) !== 0 && stored === undefined ? 'open-again'
      : openRoom(worker.context, {
        key, type, id, epoch: wide(2), parentEpoch: wide(4), forkSeq: wide(6), seq: wide(8), stays: (flags & openFlags.stays) !== 0, follows: (flags & openFlags.follows) !== 0,
        options: arena.u8.slice(optionsAt, matchAt), match: arena.u8.slice(matchAt, at + bytes), stored,
      })
    if (typeof opened === 'string') {
      for (const block of openBlocks(arena)) if (block.roomKey === key) freeBlock(arena, block)
      teller.tell(toMain.failed, [key], encode(opened))
      return
    }
    worker.actors.set(key, opened)
  }
  tellOpen(worker, worker.actors.get(key)!)
}

const tellOpen = ({ teller }: Worker, { room }: Actor): void => teller.tell(toMain.opened, [room.key, room.layout.base])

/** Takes over what an earlier thread left. A block whose room never committed is given back: its open request still stands in the ring. */
function recoverRooms(worker: Worker): void {
  for (const block of openBlocks(worker.arena)) {
    if (isDoomed(worker.arena, block)) { worker.doomed.set(block.roomKey, block); continue }
    const actor = attachRoom(worker.context, block, worker.types)
    if (actor === undefined) {
      // Whoever follows it here asks its owner anew; of a room that was not open yet nobody is to hear.
      if (worker.arena.u32[(block.address + atFollows) >>> 2] === 1) worker.teller.tell(toMain.behind, [block.roomKey, 0, 0, 0, 0], encode('gap'))
      freeBlock(worker.arena, block)
      continue
    }
    worker.actors.set(block.roomKey, actor)
    // The thread before may have owed it.
    tellOpen(worker, actor)
  }
}

/** Rooms that end their threads are closed with all their sessions; what is stored of them stays. */
function closeDoomed({ doomed, closed, output }: Worker): void {
  for (const [key, block] of doomed) {
    if (!send(output, toMain.closed, [key, 1], encode('room-poisoned'))) return
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
    if (room.isFollowing) {
      serve(worker, room)
      if (room.isSaveDue) saveRoom(worker, room, now)
      continue
    }
    if (restsUntilDue(room, now)) { dueMs = Math.min(dueMs, room.dueMs); continue }
    if (room.hold === 'halting') halt(worker, actor)
    if (isDue(actor, now)) runTurn(worker, actor, now)
    if (room.isCommitted) serve(worker, room)
    if ((room.listingDue || room.book.size !== room.sessionsTold) && room.isCommitted) tellListing(worker, room)
    if (room.isSaveDue) saveRoom(worker, room, now)
    else if (isStoreDue(room, now)) handToStore(worker, room, now)
    if (shouldClose(room, now)) close(worker, actor)
    dueMs = Math.min(dueMs, room.flushSkipped ? now + retryMs : room.dueMs)
  }
  return dueMs
}

/**
 * Between its ticks nothing happens to a room, unless somebody waits for it: whatever else becomes due is looked at when it ticks. With many rooms most are
 * passed over in most turns of the loop.
 */
function restsUntilDue(room: ActiveRoom, nowMs: number): boolean {
  if (nowMs >= room.dueMs || room.type.definition.tickHz === 0 || room.flushSkipped || !room.isCommitted || room.listingDue) return false
  return room.waiting.length === 0 && room.fetches.length === 0 && room.hold === 'none' && !room.isSaveDue && room.closing === undefined
}

/** What clients and other instances wait for. */
function serve({ section, output }: Worker, room: ActiveRoom): void {
  serveWaiting(room, section, output)
  serveFetches(room, section, output)
}

/** One turn of a room, and the flush behind it. Trying again what found no space is not counted: it comes every millisecond. */
function runTurn(worker: Worker, actor: Actor, nowMs: number): void {
  const { room } = actor, { dueMs } = room
  const isRetry = room.flushSkipped && nowMs < dueMs && !hasEntries(room.journal)
  if (takeTurn(actor, nowMs)) flushActor(worker, actor)
  if (isRetry) return
  const ms = monotonicMs() - nowMs
  worker.arena.u32[(room.layout.base + atTickUs) >>> 2] = ms * 1000
  countTurn(worker.tally, room.type.name, ms, nowMs < dueMs ? Infinity : nowMs - dueMs)
  addTurn(room, ms)
  if (room.flushSkipped) worker.context.count(room, 'flushSkipped', 1)
}

function flushActor({ flusher, context }: Worker, { room }: Actor): void {
  for (const slot of room.book.lostRows()) room.ownRows.add(slot)
  const { missedEvents } = room
  flushRoom(flusher, room)
  if (missedEvents > 0 && room.missedEvents === 0) context.count(room, 'eventsMissed', missedEvents)
}

function tellTally({ tally, actors, tell }: Worker, nowMs: number): void {
  const sessions = (type: string): number => [...actors.values()].reduce((sum, { room }) => room.type.name === type ? sum + room.book.size : sum, 0)
  tell(takeTally(tally, nowMs, getHeapStatistics().used_heap_size, sessions))
}

function tellLoad({ arena, actors, log }: Worker, window: LoadWindow, nowMs: number): void {
  const rooms = [...actors.values()].map(({ room }) => room)
  for (const { text, fields } of lookAtLoad(window, arena.worker, rooms, nowMs)) log('warn', fields, text)
}

/** What joins and lists may know of the room; it was committed, so a successor tells the same. */
function tellListing({ output }: Worker, room: ActiveRoom): void {
  const { full, listingTable } = room.type
  const listing = full.listing.length === 0 ? new Uint8Array(0) : packToBytes(full.listing, room.tables[listingTable].at(0))
  const sessions = room.book.size
  room.listingDue = !send(output, toMain.listing, [room.key, room.book.clock.locked, sessions], listing)
  if (!room.listingDue) room.sessionsTold = sessions
}

/** Flushes what is applied; then the room stands still, and says so. */
function halt(worker: Worker, actor: Actor): void {
  const { room } = actor
  if (!room.isCommitted || room.flushSkipped) flushActor(worker, actor)
  if (room.flushSkipped || !room.isCommitted) return
  if (send(worker.output, toMain.halted, [room.key, ...wideWords(committedSeq(room.arena, room.layout))])) room.hold = 'paused'
}

/** Before the thread ends: what arrived is applied, and every room that changed is stored. */
async function storeAll(worker: Worker): Promise<void> {
  const left = new Set([...worker.actors.values()].filter(({ room }) => !room.isFollowing))
  for (const actor of left) {
    actor.room.dueMs = monotonicMs()
    takeTurn(actor, actor.room.dueMs)
    flushActor(worker, actor)
  }
  for (const end = monotonicMs() + storeAllMsMax; left.size > 0 && monotonicMs() < end; await nextTurn()) {
    for (const { room } of left) if (room.flushSkipped) flushRoom(worker.flusher, room)
    for (const actor of left) {
      const { room } = actor
      if (room.type.definition.durability === 'none' || isStored(room) || (room.isCommitted && isAreaFree(room) && handToStore(worker, room, 0))) left.delete(actor)
    }
    if (armDoorbell(worker.arena)) worker.ringBell()
  }
  tellUnstored(worker, [...left].map(({ room }) => room.id))
  tellTally(worker, monotonicMs())
}

function tellUnstored({ arena: { worker }, log }: Worker, rooms: readonly string[]): void {
  if (rooms.length === 0) return
  const text = `rooms of worker ${worker} could not be stored in time (${rooms.length}), ${rooms[0]} among them: what they changed since they were last stored is lost`
  log('error', { worker, rooms: rooms.slice(0, roomsNamedMax), count: rooms.length }, text)
}

function shouldClose(room: ActiveRoom, nowMs: number): boolean {
  const isEmpty = !room.isAwaited && room.book.size === 0
  if (!isEmpty) room.emptySinceMs = nowMs
  if (room.closing !== undefined) return !room.flushSkipped
  if (!isEmpty || room.arena.u32[(room.layout.base + atStays) >>> 2] === 1) return false
  return nowMs - room.emptySinceMs >= room.type.definition.keepMs && !hasEntries(room.journal)
}

/** Ends a room: `onClose` if its author closed it, its last record, its last snapshot if it is kept, then the word to the main thread, which answers with release. */
function close(worker: Worker, actor: Actor): void {
  const { room } = actor
  const { handlers: { onClose }, durability } = room.type.definition
  // One that could not be taken over is as whole as it was.
  const isKept = (room.closing === undefined || room.closing === 'room-failed') && durability !== 'none'
  if (!isKept && !room.isEnded) {
    if (onClose !== undefined) guard(room, actor.report, 'onClose', '', 0, () => onClose(room.author))
    room.isEnded = true
    for (const { slot } of [...room.book.byId.values()]) endSession(actor, slot, 'ended', 0)
    flushActor(worker, actor)
  }
  if (room.flushSkipped) return
  if (isKept && !isStored(room) && !(isAreaFree(room) && room.isCommitted && handToStore(worker, room, monotonicMs()))) return
  if (!send(worker.output, toMain.closed, [room.key, isKept ? 1 : 0], encode(room.closing ?? 'room-closed'))) return
  worker.flusher.fault('close:told')
  worker.actors.delete(room.key)
  worker.closed.set(room.key, room.block)
}
