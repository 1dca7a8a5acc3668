/** Which room a join goes to, of those that this instance knows. Main thread. Rooms of other instances are in the directory. */
import { randomUUID } from 'node:crypto'
import type { ErrorCode } from '../base/errors.js'
import type { CatalogEntry } from '../memory/crossing.js'
import type { Client, JoinRequest, RoomEntry } from './client.js'
import { isMatch, openRoomEntry, type Rooms } from './rooms.js'

/** Whether another instance may have what a join asks for, and this one has not. A name alone is enough, unless only a room that is open may be joined. */
export function isPerhapsElsewhere(rooms: Rooms, { type, name, match, open, resume }: JoinRequest, full: readonly string[]): boolean {
  if (rooms.peers.instance === 0 || resume !== undefined || open === 2) return false
  if (name === undefined) return matchingRoom(rooms, type, match, full) === undefined
  return (open === 1 || type.opens === 'server') && !rooms.byId.has(`${type.name}:${name}`)
}

/** The room that a join goes to, which is opened if need be; or why there is none. `listed`: one that another instance runs. `perAddress`: rooms of one address at most, 0: any number. */
export function roomFor(rooms: Rooms, perAddress: number, { type, name: asked, match, matchBytes, open, options, resume }: JoinRequest, { socket: { address }, full }: Client, listed: string | undefined): RoomEntry | ErrorCode {
  const id = resume?.claims.roomId ?? listed ?? (asked === undefined ? undefined : `${type.name}:${asked}`)
  if (open !== 2 || resume !== undefined) {
    const found = id === undefined ? matchingRoom(rooms, type, match, full) : rooms.byId.get(id)
    if (found !== undefined && found.state !== 'closed') return found
    if (open === 1 && listed === undefined) return 'room-absent'
  }
  // A room that is stored may be opened again by whoever was in it.
  if (type.opens === 'server' && resume === undefined && listed === undefined) return 'room-absent'
  if (perAddress !== 0 && (rooms.openedFrom.get(address) ?? 0) >= perAddress) return 'too-many-rooms'
  return openRoomEntry(rooms, id ?? `${type.name}:${randomUUID().slice(0, 8)}`, type, { options, match: matchBytes, stays: false, address, onlyStored: type.opens === 'server', isMatched: id === undefined }) ?? 'no-space'
}

/** A room with a seat that this instance runs, or is about to: of others' it does not know what they say of themselves. */
function matchingRoom({ byId, peers }: Rooms, type: CatalogEntry, match: Readonly<Record<string, unknown>>, full: readonly string[]): RoomEntry | undefined {
  for (const room of byId.values()) {
    const { ownership, state, opening, sessions, clients, isLocked } = room
    if (room.type !== type || state === 'closed' || isLocked || full.includes(room.id)) continue
    const isRunHere = ownership.role === 'owning' || (state === 'opening' && (peers.instance === 0 || opening.isMatched))
    // Who is on the way in is no session yet.
    if (isRunHere && Math.max(sessions, clients.size) < type.maxSessions && isMatch(room, match)) return room
  }
  return undefined
}
