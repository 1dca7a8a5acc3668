/**
 * The rooms of this instance: id, type, place, and who is in them. Main thread; it never reads entity state. A room is opened on the worker
 * that placement names, on the next one if that has no space, and forgotten when its worker has closed it and the block was released.
 */
import type { CatalogEntry } from '../memory/crossing.js'
import { toWorker, wideWords } from '../memory/crossing.js'
import type { Client, RoomEntry } from './client.js'
import { placesFor } from './placement.js'
import { tell, tellSurely, type WorkerLink } from './worker-link.js'

export interface Rooms {
  readonly byKey: Map<number, RoomEntry>
  readonly byId: Map<string, RoomEntry>
  readonly links: readonly WorkerLink[]
  nextKey: number
  nextEpoch(): number
}

export const createRooms = (links: readonly WorkerLink[], nextEpoch: () => number): Rooms =>
  ({ byKey: new Map(), byId: new Map(), links, nextKey: 1, nextEpoch })

/** Opens room `id` on the worker it belongs to. The answer comes as `opened` or `failed`. */
export function openRoomEntry(rooms: Rooms, id: string, type: CatalogEntry, options: Uint8Array): RoomEntry | undefined {
  const places = placesFor(id, rooms.links.map(({ rooms: count, usable }) => usable ? count : Infinity)).filter((place) => rooms.links[place].usable)
  const first = places.shift()
  if (first === undefined) return undefined
  const entry: RoomEntry = {
    id, type, key: rooms.nextKey++, epoch: rooms.nextEpoch(), state: 'opening', link: rooms.links[first], places, base: 0, lastSeq: 0, tick: 0,
    parentEpoch: 0, forkSeq: 0, pending: [], clients: new Map(), bySlot: new Map(), openOptions: options,
  }
  if (!askOpen(entry)) return undefined
  rooms.byKey.set(entry.key, entry)
  rooms.byId.set(id, entry)
  entry.link.rooms++
  return entry
}

const textEncoder = new TextEncoder()

function askOpen(entry: RoomEntry): boolean {
  const id = textEncoder.encode(entry.id)
  const words = [entry.key, entry.type.number, ...wideWords(entry.epoch), id.length]
  return tell(entry.link, toWorker.open, words, id, entry.openOptions)
}

/** The worker has no space: the next one in rendezvous order is asked. False if there is none. */
export function openElsewhere(rooms: Rooms, entry: RoomEntry): boolean {
  const next = entry.places.shift()
  if (next === undefined) return false
  entry.link.rooms--
  entry.link = rooms.links[next]
  entry.link.rooms++
  return askOpen(entry)
}

/** Forgets a room. `released`: its block goes back to the arena. */
export function forgetRoom(rooms: Rooms, entry: RoomEntry, released: boolean): void {
  entry.state = 'closed'
  entry.link.rooms--
  rooms.byKey.delete(entry.key)
  if (rooms.byId.get(entry.id) === entry) rooms.byId.delete(entry.id)
  if (released) tellSurely(entry.link, toWorker.release, [entry.key])
}

/** Takes a client out of its room's maps; the room's worker is not told. */
export function detachClient(client: Client): RoomEntry | undefined {
  const { room } = client
  if (room === undefined) return undefined
  client.room = undefined
  room.clients.delete(client.connection)
  if (room.bySlot.get(client.slot) === client) room.bySlot.delete(client.slot)
  const waiting = room.pending.indexOf(client)
  if (waiting >= 0) room.pending.splice(waiting, 1)
  return room
}

/** The stay is over, whoever ended it: a worker that has ended the session itself finds nobody of that connection. `why`: 0 left, 1 dropped. */
export function leaveRoom(client: Client, why: number): void {
  const room = detachClient(client)
  if (room !== undefined && room.state !== 'closed') tellSurely(room.link, toWorker.leave, [room.key, client.connection, why])
}
