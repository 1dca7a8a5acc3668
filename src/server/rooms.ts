/**
 * The rooms of this instance, run or followed: id, type, place, and who is in them. Main thread; it never reads entity state. Who runs a room is its
 * ownership's matter (driver.ts); here its blocks are asked for, on the worker that placement names, or on the next one if that has no space, and given
 * back.
 */
import { closeLane, createForwarding } from '../backplane/forwarding.js'
import { createOwnership } from '../backplane/ownership.js'
import type { Backplane } from '../backplane/backplane.js'
import { monotonicMs, wallMs } from '../base/clock.js'
import { nextFloat, seedPrng } from '../base/prng.js'
import type { ErrorCode } from '../base/errors.js'
import { continues } from '../base/lineage.js'
import { openFlags, toWorker, wideWords, type CatalogEntry, type MainMessage } from '../memory/crossing.js'
import { atStoredSeq, atStoring } from '../memory/room-layout.js'
import { defaultOf } from '../schema/values.js'
import { storeWide, storeWord } from '../memory/views.js'
import { packToBytes, unpackMatch } from '../wire/fields.js'
import { writePeer } from '../wire/peer-messages.js'
import { disband, standAt, unseat } from './broadcast.js'
import type { Client, Opening, Peers, RoomEntry } from './client.js'
import type { ListedRoom } from './directory.js'
import { createDriver, storeRoom } from './driver.js'
import { letGo, type Driver, type DriverHooks } from './driver-calls.js'
import { placesFor } from './placement.js'
import { tellOwnerSurely } from './tell-owner.js'
import { tell, tellSurely, type StorePost, type WorkerLink } from './worker-link.js'

export interface Rooms {
  readonly byKey: Map<number, RoomEntry>
  readonly byId: Map<string, RoomEntry>
  readonly links: readonly WorkerLink[]
  readonly peers: Peers
  readonly driver: Driver
  /** Open rooms by the address that opened them. */
  readonly openedFrom: Map<string, number>
  /** Whether the backplane is there. */
  isReachable: boolean
  isDraining: boolean
  nextKey: number
  /** Draws a number, uniform in [0, 1). */
  random(): number
  /** Says something over the port of a worker's newest thread. */
  post(link: WorkerLink, message: MainMessage): void
  /** What others and the log get of an own record, which begins its buffer. */
  form(record: Uint8Array, type: CatalogEntry): Uint8Array
  /** Begins to hear a room's channel; gives back how to end that. */
  follow(room: RoomEntry): () => void
  /** A room does not open; `cause` is for the log. */
  onNotOpened(entry: RoomEntry, code: ErrorCode, cause: string): void
}

/** Nobody is told yet, and nothing can be opened: the engine sets who is told, and how to speak to workers. */
export function createRooms(links: readonly WorkerLink[], backplane: Backplane): Rooms {
  const { instance } = backplane, state = new Uint32Array(4)
  seedPrng(state, Math.floor(monotonicMs() * 1000) ^ instance)
  const send: Peers['send'] = (to, { id }, body) => backplane.send(to, writePeer(instance, id, body))
  return {
    byKey: new Map(), byId: new Map(), links, peers: { instance, send }, driver: createDriver(backplane, {} as DriverHooks), openedFrom: new Map(),
    isReachable: true, isDraining: false, nextKey: 1, random: () => nextFloat(state), post: () => {}, form: (record) => record, follow: () => () => {}, onNotOpened: () => {},
  }
}

const nobody = 0

/** Room `id` is needed here: this instance finds out who runs it, or runs it. What comes of it comes later. */
export function openRoomEntry(rooms: Rooms, id: string, type: CatalogEntry, opening: Opening): RoomEntry | undefined {
  const { links, driver: { backplane } } = rooms
  const places = placesFor(id, links.map(({ rooms: count, usable }) => usable ? count : Infinity)).filter((place) => links[place].usable)
  const first = places.shift()
  if (first === undefined) return undefined
  const { instance, leaseMs } = backplane, { version, whenDetached } = type, durability = type.durability as 'snapshot'
  const entry: RoomEntry = {
    id, type, peers: rooms.peers, forwarding: createForwarding(), key: rooms.nextKey++, state: 'opening', link: links[first], isPlaced: false, places, base: 0,
    ownership: createOwnership({ instance, version, leaseMs, durability, whenDetached, random: rooms.random, continues }),
    heardSeq: 0, at: { epoch: 0, seq: 0 }, tick: 0, parentEpoch: 0, forkSeq: 0, begin: undefined, pending: new Set(), clients: new Map(), bySlot: new Map(), inStep: 0, apart: new Set(), topic: `room:${id}`, unlookedBytes: 0, opening, isLocked: false, sessions: 0, enlistedMs: -Infinity,
    listing: listingOf(type, opening.match), undelivered: [], outgoing: new Map(), durableSeq: 0, storedSeq: 0, loaded: undefined, afterStore: undefined,
    fetches: new Map(), answers: [], arriving: undefined, isDetached: false, attachedEpoch: 0, unfollow: () => {}, idleSinceMs: Infinity,
  }
  entry.ownership.isReachable = rooms.isReachable
  entry.ownership.isDraining = rooms.isDraining
  rooms.byKey.set(entry.key, entry)
  rooms.byId.set(id, entry)
  entry.link.rooms++
  rooms.openedFrom.set(opening.address, (rooms.openedFrom.get(opening.address) ?? 0) + 1)
  if (instance !== nobody) entry.unfollow = rooms.follow(entry)
  rooms.driver.happen(entry, { kind: 'wanted' })
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

const textEncoder = new TextEncoder()

/** Asks the worker for a block, as `begin` says; false if its ring is full. */
export function askOpen(rooms: Rooms, entry: RoomEntry): boolean {
  const id = textEncoder.encode(entry.id), { epoch, parentEpoch, forkSeq, seq, follows, stored } = entry.begin!
  const { link, opening } = entry
  const flags = (stored === undefined ? 0 : openFlags.stored) | (opening.stays ? openFlags.stays : 0) | (follows ? openFlags.follows : 0)
  if (stored !== undefined) rooms.post(link, { roomKey: entry.key, stored: stored.state, records: stored.records })
  entry.isPlaced = true
  const words = [
    entry.key, entry.type.number, ...wideWords(epoch), ...wideWords(parentEpoch), ...wideWords(forkSeq), ...wideWords(seq), flags, id.length, opening.options.length,
  ]
  return tell(link, toWorker.open, words, id, opening.options, opening.match)
}

/** The worker has no space: the next one in rendezvous order is asked. False if there is none. */
export function openElsewhere(rooms: Rooms, entry: RoomEntry): boolean {
  const next = entry.places.shift()
  if (next === undefined) return false
  entry.link.rooms--
  entry.link = rooms.links[next]
  entry.link.rooms++
  return askOpen(rooms, entry)
}

/** The room is to be run or followed in a new block. */
export function beginRoom(rooms: Rooms, entry: RoomEntry): void {
  if (!askOpen(rooms, entry)) rooms.onNotOpened(entry, 'no-space', 'its worker takes no more')
}

/** The replica begins anew with a state that came from another instance; clients go on from it as soon as it is there. */
export function adoptState(rooms: Rooms, entry: RoomEntry, state: Uint8Array): void {
  const { ownership } = entry, fork = ownership.lineage.at(-1) ?? { epoch: 0, parentEpoch: 0, forkSeq: 0 }, { seq } = ownership.position!
  dropBlock(rooms, entry)
  entry.begin = { ...fork, seq, follows: true, stored: { state, records: [] } }
  standAt(entry, seq)
  Object.assign(entry, { heardSeq: seq, parentEpoch: fork.parentEpoch, forkSeq: fork.forkSeq, loaded: undefined })
  beginRoom(rooms, entry)
}

/** The block goes back to the arena, and with it the room's key: whatever its worker still says of it is void. */
export function dropBlock(rooms: Rooms, entry: RoomEntry): void {
  if (!entry.isPlaced) return
  tellSurely(entry.link, toWorker.release, [entry.key])
  rooms.byKey.delete(entry.key)
  entry.key = rooms.nextKey++
  rooms.byKey.set(entry.key, entry)
  Object.assign(entry, { isPlaced: false, base: 0, begin: undefined })
  if (entry.state === 'open') entry.state = 'opening'
  entry.undelivered.length = entry.answers.length = 0
  entry.fetches.clear()
  disband(entry)
  for (const client of entry.bySlot.values()) {
    client.asked = false
    if (client.state === 'live' || client.state === 'catching') client.state = 'behind'
  }
}

/** What a worker has written of a room goes to the store; when it is there, the room is told, so that nothing is stored twice. */
export function storeSnapshot(rooms: Rooms, entry: RoomEntry, { epoch, seq, tick }: Omit<StorePost, 'roomKey' | 'address' | 'bytes'>, data: Uint8Array): void {
  const { arena } = entry.link, { key } = entry
  // Behind its close the block may be another room's.
  const isOpen = (): boolean => entry.state === 'open' && entry.key === key
  storeRoom(rooms.driver, entry, { data, epoch, seq, tick, ts: wallMs() }, (isStored) => {
    if (!isOpen()) return
    if (isStored) storeWide(arena, entry.base + atStoredSeq, seq)
    storeWord(arena, entry.base + atStoring, 0)
  })
}

/** Open rooms of a type that this instance runs and that match, for those who look for one. */
export const listRooms = ({ byId }: Rooms, type: CatalogEntry, match: Readonly<Record<string, unknown>>): ListedRoom[] =>
  [...byId.values()].filter((room) => room.type === type && room.state === 'open' && room.ownership.role === 'owning' && !room.isLocked && isMatch(room, match)).map((room) => ({
    name: room.id.slice(type.name.length + 1), sessions: Math.max(room.sessions, room.bySlot.size), listing: Buffer.from(packToBytes(type.listing, room.listing)).toString('base64url'),
  }))

/** Forgets a room, which nobody here needs or can have any more. `released`: its worker has closed it, and waits for the word that its block is free. */
export function forgetRoom(rooms: Rooms, entry: RoomEntry, released: boolean): void {
  if (entry.state === 'closed') return
  entry.state = 'closed'
  // Refused if the room was opened anew meanwhile.
  if (entry.ownership.epoch !== 0) letGo(rooms.driver, entry, entry.ownership.epoch)
  entry.unfollow()
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
  unseat(room, client)
  room.pending.delete(client)
  closeLane(room.forwarding, client.connection)
  return room
}

/** The stay is over, whoever ended it: a worker that has ended the session itself finds nobody of that connection. `why`: 0 left, 1 dropped. */
export function leaveRoom(client: Client, why: number): void {
  const wasWaiting = client.room?.pending.has(client), room = detachClient(client)
  if (room !== undefined && room.state !== 'closed' && wasWaiting !== true) tellOwnerSurely(room, toWorker.leave, [...wideWords(client.connection), why])
}
