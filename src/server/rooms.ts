/**
 * The rooms of this instance: id, type, place, and who is in them. Main thread; it never reads entity state. A room is claimed from the backplane,
 * opened on the worker that placement names, on the next one if that has no space, and forgotten when its worker has closed it.
 */
import type { Backplane, StoredSnapshot } from '../backplane/backplane.js'
import { monotonicMs } from '../base/clock.js'
import { KasagiError, type ErrorCode } from '../base/errors.js'
import { roomIdBytesMax } from '../base/limits.js'
import { openFlags, toWorker, wideWords, type CatalogEntry, type MainMessage } from '../memory/crossing.js'
import { atStoredSeq, atStoring } from '../memory/room-layout.js'
import { defaultOf } from '../schema/values.js'
import { storeWide, storeWord } from '../memory/views.js'
import { packToBytes, unpackMatch } from '../wire/fields.js'
import type { Client, Opening, RoomEntry } from './client.js'
import { placesFor } from './placement.js'
import { tell, tellSurely, type WorkerLink } from './worker-link.js'

export interface Rooms extends RoomEvents {
  readonly byKey: Map<number, RoomEntry>
  readonly byId: Map<string, RoomEntry>
  readonly links: readonly WorkerLink[]
  readonly backplane: Backplane
  /** Open rooms by the address that opened them. */
  readonly openedFrom: Map<string, number>
  nextKey: number
  /** Says something over the port of a worker's newest thread. */
  post(link: WorkerLink, message: MainMessage): void
}

export interface RoomEvents {
  /** A room does not open; `cause` is for the log. */
  onNotOpened(entry: RoomEntry, code: ErrorCode, cause: string): void
  onStored(entry: RoomEntry, bytes: number, seconds: number): void
  onStoreFailed(entry: RoomEntry, cause: string): void
}

/** Nobody is told yet, and nothing can be opened: the engine sets who is told, and how to speak to workers. */
export const createRooms = (links: readonly WorkerLink[], backplane: Backplane): Rooms => ({
  byKey: new Map(), byId: new Map(), links, backplane, openedFrom: new Map(), nextKey: 1, post: () => {}, onNotOpened: () => {}, onStored: () => {}, onStoreFailed: () => {},
})

const roomName = /^[^\p{C}\p{Z}:][^\p{C}:]{0,63}$/u

/** True if a room of `type` may be called so: its id has a place in the header of its block. */
export const isRoomName = (type: string, name: string): boolean => roomName.test(name) && Buffer.byteLength(`${type}:${name}`) <= roomIdBytesMax

/** Opens room `id` on the worker it belongs to. The answer comes as `opened` or `failed`, or as `onNotOpened`. */
export function openRoomEntry(rooms: Rooms, id: string, type: CatalogEntry, opening: Opening): RoomEntry | undefined {
  const places = placesFor(id, rooms.links.map(({ rooms: count, usable }) => usable ? count : Infinity)).filter((place) => rooms.links[place].usable)
  const first = places.shift()
  if (first === undefined) return undefined
  const entry: RoomEntry = {
    id, type, key: rooms.nextKey++, epoch: 0, state: 'opening', link: rooms.links[first], places, base: 0, lastSeq: 0, tick: 0,
    parentEpoch: 0, forkSeq: 0, pending: [], clients: new Map(), bySlot: new Map(), opening, stored: undefined, isLocked: false,
    listing: listingOf(type, opening.match),
  }
  rooms.byKey.set(entry.key, entry)
  rooms.byId.set(id, entry)
  entry.link.rooms++
  rooms.openedFrom.set(opening.address, (rooms.openedFrom.get(opening.address) ?? 0) + 1)
  void claimRoom(rooms, entry)
  return entry
}

/** A new room begins with what was asked for. */
const listingOf = ({ listing }: CatalogEntry, match: Uint8Array): Record<string, unknown> =>
  ({ ...Object.fromEntries(listing.map((field) => [field.name, defaultOf(field)])), ...unpackMatch(listing, match) })

/** True if the room's listing has every value that is asked for. */
export const isMatch = (room: RoomEntry, match: Readonly<Record<string, unknown>>): boolean =>
  Object.entries(match).every(([name, value]) => isSame(room.listing[name], value))

const isSame = (a: unknown, b: unknown): boolean => a === b || (typeof a === 'object' && textOf(a) === textOf(b))

/** JSON knows no bigints, and throws at them. */
const textOf = (value: unknown): string => JSON.stringify(value, (_, part: unknown) => typeof part === 'bigint' ? `${part}n` : part)

/** Its epoch is durable before its worker hears of the room. */
async function claimRoom(rooms: Rooms, entry: RoomEntry): Promise<void> {
  const { id, type } = entry
  try {
    const claim = await rooms.backplane.claim(id, { seen: 0, version: type.version })
    if (claim.kind === 'held') throw new KasagiError('held', `instance ${claim.lease.instance} runs it`)
    entry.epoch = claim.epoch
    const snapshot = await rooms.backplane.load(id)
    if (snapshot === undefined && entry.opening.onlyStored) return rooms.onNotOpened(entry, 'session-gone', 'nothing is stored of it')
    if (snapshot !== undefined && type.durability !== 'none') {
      Object.assign(entry, { stored: snapshot.data, parentEpoch: snapshot.epoch, forkSeq: snapshot.seq, lastSeq: snapshot.seq, tick: snapshot.tick })
    }
    if (entry.state === 'opening' && !askOpen(rooms, entry)) rooms.onNotOpened(entry, 'no-space', 'its worker takes no more')
  } catch (error) {
    rooms.onNotOpened(entry, 'room-failed', error instanceof KasagiError ? error.message : String(error))
  }
}

const textEncoder = new TextEncoder()

/** Asks the worker to open the room; false if its ring is full. */
export function askOpen(rooms: Rooms, entry: RoomEntry): boolean {
  const id = textEncoder.encode(entry.id)
  const { link, stored, opening } = entry
  const flags = (stored === undefined ? 0 : openFlags.stored) | (opening.stays ? openFlags.stays : 0)
  if (stored !== undefined) rooms.post(link, { roomKey: entry.key, stored })
  const words = [
    entry.key, entry.type.number, ...wideWords(entry.epoch), ...wideWords(entry.parentEpoch), ...wideWords(entry.forkSeq), ...wideWords(entry.forkSeq), flags, id.length, opening.options.length,
  ]
  return tell(link, toWorker.open, words, id, opening.options, opening.match)
}

/** What a worker has written of a room goes to the store; when it is there, the room is told, so that nothing is stored twice. */
export function storeSnapshot(rooms: Rooms, entry: RoomEntry, snapshot: Omit<StoredSnapshot, 'version'>): void {
  const began = monotonicMs(), { arena } = entry.link
  rooms.backplane.store(entry.id, { ...snapshot, version: entry.type.version }).then(() => {
    rooms.onStored(entry, snapshot.data.length, (monotonicMs() - began) / 1000)
    if (entry.state === 'open') storeWide(arena, entry.base + atStoredSeq, snapshot.seq)
  }, (error: unknown) => rooms.onStoreFailed(entry, error instanceof Error ? error.message : String(error))).finally(() => {
    // Behind its close the block may be another room's.
    if (entry.state === 'open') storeWord(arena, entry.base + atStoring, 0)
  })
}

/** Open rooms of a type that match, for those who look for one: name, sessions, packed listing. */
export const listRooms = ({ byId }: Rooms, type: CatalogEntry, match: Readonly<Record<string, unknown>>): { name: string; sessions: number; listing: string }[] =>
  [...byId.values()].filter((room) => room.type === type && room.state === 'open' && !room.isLocked && isMatch(room, match)).map((room) => ({
    name: room.id.slice(type.name.length + 1), sessions: room.bySlot.size, listing: Buffer.from(packToBytes(type.listing, room.listing)).toString('base64url'),
  }))

/** The worker has no space: the next one in rendezvous order is asked. False if there is none. */
export function openElsewhere(rooms: Rooms, entry: RoomEntry): boolean {
  const next = entry.places.shift()
  if (next === undefined) return false
  entry.link.rooms--
  entry.link = rooms.links[next]
  entry.link.rooms++
  return askOpen(rooms, entry)
}

/** Forgets a room. `released`: its block goes back to the arena. */
export function forgetRoom(rooms: Rooms, entry: RoomEntry, released: boolean): void {
  if (entry.state === 'closed') return
  entry.state = 'closed'
  // Refused if the room was opened anew meanwhile.
  if (entry.epoch > 0) rooms.backplane.release(entry.id, entry.epoch).catch(() => {})
  entry.link.rooms--
  const { address } = entry.opening, left = rooms.openedFrom.get(address)! - 1
  if (left === 0) rooms.openedFrom.delete(address)
  else rooms.openedFrom.set(address, left)
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
  if (room !== undefined && room.state !== 'closed') tellSurely(room.link, toWorker.leave, [room.key, ...wideWords(client.connection), why])
}
