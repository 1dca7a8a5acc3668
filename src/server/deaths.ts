/** What the main thread makes of a dead worker: whose code ran, and what becomes of its rooms if it is given up. Main thread. */
import { readMark } from '../memory/arena.js'
import { handlers, toWorker } from '../memory/crossing.js'
import { findEntry } from '../memory/journal.js'
import { readWide } from '../memory/views.js'
import type { Hearers } from './from-workers.js'
import { dismiss } from './outbox.js'
import type { Marked } from './reports.js'
import { forgetRoom } from './rooms.js'

/** Whose code the dead thread was running, if any, and on whose behalf. */
export function markedCode({ links, rooms }: Hearers, worker: number): Marked | undefined {
  const { arena } = links[worker], { handler, roomKey, journalNumber } = readMark(arena)
  if (handler === 0) return undefined
  const room = rooms.byKey.get(roomKey), name = handlers[handler]
  const entry = room === undefined || room.base === 0 || journalNumber === 0 ? undefined : findEntry(arena, room.base, journalNumber)
  if (room === undefined || entry === undefined) return { room, handler: name, journalEntry: journalNumber, client: undefined }
  const word = (index: number): number => arena.u32[(entry.at >>> 2) + index], isInput = entry.kind === toWorker.input
  return {
    room, journalEntry: journalNumber, client: room.clients.get(readWide(arena, entry.at + (isInput ? 8 : 4))),
    handler: isInput ? `${name}.${room.type.tables.inputs[word(6)].name}` : name,
  }
}

/** A worker that died too often: its rooms are closed, the engine stays up. */
export function giveUp(hearers: Hearers, types: Iterable<string>, worker: number, isStopping: boolean): void {
  const link = hearers.links[worker]
  link.usable = false
  hearers.reports.workerGivenUp(worker, hearers.links.filter(({ usable }) => usable).length, isStopping)
  for (const name of types) hearers.metrics.sessions.set({ type: name, worker }, 0)
  for (const room of [...hearers.rooms.byKey.values()]) {
    if (room.link !== link) continue
    for (const client of [...room.clients.values()]) dismiss(hearers.outbox, client, 'worker-lost')
    hearers.reports.roomClosed(room, 'worker-lost')
    forgetRoom(hearers.rooms, room, false)
  }
}
