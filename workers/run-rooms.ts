/**
 * One look at every room of a worker: turns and flushes of those that are due, answers to whoever waits, what is to be stored, and the end of a room. Worker thread.
 */
import { monotonicMs } from '../src/base/clock.js'
import { send, toMain, wideWords } from '../src/memory/crossing.js'
import { hasEntries } from '../src/memory/journal.js'
import { atStays, atTickUs } from '../src/memory/room-layout.js'
import { packToBytes } from '../src/wire/fields.js'
import type { ActiveRoom } from './active-room.js'
import { isAreaFree } from './area.js'
import { flushRoom } from './flush.js'
import { guard } from './guard.js'
import { committedSeq } from './history.js'
import { serveFetches } from './fetch.js'
import { addTurn } from './load.js'
import { endSession, isDue, takeTurn, type Actor } from './room-actor.js'
import { serveWaiting } from './snapshots.js'
import { handToStore, isStored, isStoreDue, saveRoom } from './storing.js'
import { countTurn } from './tally.js'
import type { Worker } from './worker.js'

const encoder = new TextEncoder()

/** After a flush that found no space the loop looks again this soon. */
export const retryMs = 1

/** Every room that is due takes its turn; returns when the next one is. */
export function runRooms(worker: Worker): number {
  let dueMs = Infinity
  const beganMs = monotonicMs()
  for (const actor of worker.actors.values()) {
    const { room } = actor
    if (beganMs < room.restsUntilMs) { dueMs = Math.min(dueMs, room.restsUntilMs); continue }
    const now = monotonicMs()
    if (room.isFollowing) {
      serve(worker, room)
      if (room.isSaveDue) saveRoom(worker, room, now)
      continue
    }
    if (room.hold === 'halting') halt(worker, actor)
    if (isDue(actor, now)) runTurn(worker, actor, now)
    if (room.isCommitted) serve(worker, room)
    if ((room.listingDue || room.book.size() !== room.sessionsTold) && room.isCommitted) tellListing(worker, room)
    if (room.isSaveDue) saveRoom(worker, room, now)
    else if (isStoreDue(room, now)) handToStore(worker, room, now)
    if (shouldClose(room, now)) close(worker, actor)
    room.restsUntilMs = restsUntilDue(room) ? room.dueMs : 0
    dueMs = Math.min(dueMs, room.flushSkipped ? now + retryMs : room.dueMs)
  }
  return dueMs
}

/**
 * Between its ticks nothing happens to a room, unless somebody waits for it: whatever else becomes due is looked at when it ticks. With many rooms most are
 * passed over in most turns of the loop, which reads one number of each. What the inbox brings it, inputs apart, and what its author's code says outside of a turn ends that.
 */
function restsUntilDue(room: ActiveRoom): boolean {
  if (room.type.definition.tickHz === 0 || room.flushSkipped || !room.isCommitted || room.listingDue) return false
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

export function flushActor({ flusher, context }: Worker, { room }: Actor): void {
  for (const slot of room.book.lostRows()) room.ownRows.add(slot)
  const { missedEvents } = room
  flushRoom(flusher, room)
  if (missedEvents > 0 && room.missedEvents === 0) context.count(room, 'eventsMissed', missedEvents)
}

/** What joins and lists may know of the room; it was committed, so a successor tells the same. */
function tellListing({ output }: Worker, room: ActiveRoom): void {
  const { full, listingTable } = room.type
  const listing = full.listing.length === 0 ? new Uint8Array(0) : packToBytes(full.listing, room.tables[listingTable].at(0))
  const sessions = room.book.size()
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

function shouldClose(room: ActiveRoom, nowMs: number): boolean {
  const isEmpty = !room.isAwaited && room.book.size() === 0
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
  if (!send(worker.output, toMain.closed, [room.key, isKept ? 1 : 0], encoder.encode(room.closing ?? 'room-closed'))) return
  worker.flusher.fault('close:told')
  worker.actors.delete(room.key)
  worker.closed.set(room.key, room.block)
}
