/**
 * The directory of open rooms that all instances share: what this one enters, and how a join finds a room in it. Main thread. Everything in it is a hint, at
 * most a beat old: who follows one asks the room's owner, which has the last word.
 */
import type { DirectoryEntry } from '../backplane/backplane.js'
import { monotonicMs } from '../base/clock.js'
import { isRoomName } from '../base/room-name.js'
import type { CatalogEntry } from '../memory/crossing.js'
import type { Plain } from '../schema/field-tables.js'
import { defaultOf } from '../schema/values.js'
import { packToBytes } from '../wire/fields.js'
import type { JoinRequest, RoomEntry } from './client.js'
import type { Driver } from './driver-calls.js'

/** JSON knows no bigints: they are decimal text. */
const jsonOf = (value: unknown): string => JSON.stringify(value, (_, part: unknown) => typeof part === 'bigint' ? String(part) : part) ?? 'null'

/** With every beat, if the room's worker has said that it is to be found. */
export function enlist({ backplane }: Driver, room: RoomEntry): void {
  const { id, type, ownership, state, sessions, listing, enlistedMs } = room
  if (enlistedMs === -Infinity || ownership.role !== 'owning' || state !== 'open') return
  room.enlistedMs = monotonicMs()
  backplane.enlist(type.name, id, { sessions, listing: jsonOf(listing) }).catch(() => {})
}

/** Joins look there, so what has changed does not wait for a beat; but no oftener than this. */
const changedMs = 200

/** Its worker has said something new of it. One that is locked lets nobody in. */
export function enlistChanged(driver: Driver, room: RoomEntry): void {
  if (driver.backplane.instance === 0) return
  if (room.isLocked) return delist(driver, room)
  const isNew = room.enlistedMs === -Infinity
  if (isNew) room.enlistedMs = 0
  if (isNew || monotonicMs() - room.enlistedMs >= changedMs) enlist(driver, room)
}

/** Of what another instance has entered since, nothing is taken out. */
export function delist({ backplane }: Driver, room: RoomEntry): void {
  if (room.enlistedMs === -Infinity) return
  room.enlistedMs = -Infinity
  backplane.enlist(room.type.name, room.id, undefined).catch(() => {})
}

/**
 * The room of another instance that a join names, or the fullest with a seat that it matches, so that players meet. Undefined if there is none, or if the
 * directory cannot be read. `full`: rooms that had none.
 */
export async function findListed({ backplane }: Driver, { type, name, match }: JoinRequest, full: readonly string[]): Promise<string | undefined> {
  const entries = await backplane.list(type.name).catch((): DirectoryEntry[] => [])
  // What this instance runs it knows better.
  const others = entries.filter(({ instance, roomId }) => instance !== backplane.instance && !full.includes(roomId))
  if (name !== undefined) return others.find(({ roomId }) => roomId === `${type.name}:${name}`)?.roomId
  let best: DirectoryEntry | undefined
  for (const entry of others) if (isOpenTo(entry, type, match) && (best === undefined || isBetter(entry, best))) best = entry
  return best?.roomId
}

/** Anybody may have written the entry. */
function isOpenTo({ sessions, listing, roomId }: DirectoryEntry, type: CatalogEntry, match: Readonly<Record<string, unknown>>): boolean {
  const values = JSON.parse(listing) as Record<string, unknown>, isRoom = roomId.startsWith(`${type.name}:`) && isRoomName(type.name, roomId.slice(type.name.length + 1))
  return isRoom && sessions < type.maxSessions && Object.entries(match).every(([name, value]) => jsonOf(values[name]) === jsonOf(value))
}

/** As a list of open rooms has it: name, sessions, packed listing. */
export interface ListedRoom { readonly name: string; readonly sessions: number; readonly listing: string }

/** Rooms of other instances that match. */
export async function listOthers({ backplane }: Driver, type: CatalogEntry, match: Readonly<Record<string, unknown>>): Promise<ListedRoom[]> {
  if (backplane.instance === 0) return []
  const entries = await backplane.list(type.name).catch((): DirectoryEntry[] => [])
  return entries.flatMap((entry) => {
    const listing = entry.instance !== backplane.instance && isOpenTo({ ...entry, sessions: 0 }, type, match) ? packed(entry, type) : undefined
    return listing === undefined ? [] : [{ name: entry.roomId.slice(type.name.length + 1), sessions: entry.sessions, listing }]
  })
}

/** Undefined for values that are none of this type's listing. */
function packed({ listing }: DirectoryEntry, { listing: fields }: CatalogEntry): string | undefined {
  const values = JSON.parse(listing) as Readonly<Record<string, Plain | undefined>>
  try {
    return Buffer.from(packToBytes(fields, Object.fromEntries(fields.map((field) => [field.name, defaultOf({ ...field, default: values[field.name] ?? field.default })])))).toString('base64url')
  } catch {
    return undefined
  }
}

/** All instances choose the same one. */
const isBetter = (a: DirectoryEntry, b: DirectoryEntry): boolean => a.sessions > b.sessions || (a.sessions === b.sessions && a.roomId < b.roomId)
