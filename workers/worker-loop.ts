/**
 * A worker's loop: inbox, the rooms that are due, the doorbell, sleep. Worker thread; never returns before it is told to stop.
 *
 * Sleep is `Atomics.wait` on the arena's wake word until the next room is due, so that what cannot wait wakes it at once; one turn of the event loop
 * goes before it, for promises and timers of authors. Invariant: nothing is published without a bell under way.
 */
import { getHeapStatistics } from 'node:v8'
import { monotonicMs } from '../src/base/clock.js'
import { armDoorbell, countLoop } from '../src/memory/arena.js'
import { atInputRing, atWake } from '../src/memory/arena-layout.js'
import { inputRingBytes } from '../src/base/limits.js'
import { createRingReader, sleepOn, wakeCount } from '../src/memory/ring.js'
import { isAreaFree } from './area.js'
import { flushRoom } from './flush.js'
import { drainInbox } from './inbox.js'
import { createLoadWindow, lookAtLoad, type LoadWindow } from './load.js'
import { takeTurn } from './room-actor.js'
import { handToStore, isStored } from './storing.js'
import { isTallyDue, takeTally } from './tally.js'
import { closeDoomed, inboxHandlers, recoverRooms } from './place-rooms.js'
import { flushActor, retryMs, runRooms } from './run-rooms.js'
import type { Worker } from './worker.js'

/** Longest sleep: a worker that has nothing to do still counts its turns, so that it is seen to live. */
const sleepMsMax = 250
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

function tellTally({ tally, actors, tell }: Worker, nowMs: number): void {
  const sessions = (type: string): number => [...actors.values()].reduce((sum, { room }) => room.type.name === type ? sum + room.book.size() : sum, 0)
  tell(takeTally(tally, nowMs, getHeapStatistics().used_heap_size, sessions))
}

function tellLoad({ arena, actors, log }: Worker, window: LoadWindow, nowMs: number): void {
  const rooms = [...actors.values()].map(({ room }) => room)
  for (const { text, fields } of lookAtLoad(window, arena.worker, rooms, nowMs)) log('warn', fields, text)
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
