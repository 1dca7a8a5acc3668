/** What is said to whoever runs a room: into this instance's ring, or the owner's inbox. Main thread. */
import { hasOwner } from '../backplane/ownership.js'
import { toWorker } from '../memory/crossing.js'
import type { RoomEntry } from './client.js'
import { tell, tellLater, tellSurely } from './worker-link.js'

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) { bytes.set(part, at); at += part.length }
  return bytes
}

/** Says something to a room that is run here. An input of a room that ticks wakes nobody: the tick that applies it does. */
export function tellRoom(room: RoomEntry, kind: number, words: readonly number[], ...parts: readonly Uint8Array[]): boolean {
  const say = kind === toWorker.input && room.type.tickHz > 0 ? tellLater : tell
  return say(room.link, kind, [room.key, ...words], ...parts)
}

/** Says something to whoever runs the room; false: nobody hears it. Without bytes it may be said to a full ring. */
export function tellOwner(room: RoomEntry, kind: number, words: readonly number[], ...parts: readonly Uint8Array[]): boolean {
  const { ownership, peers } = room
  if (ownership.role === 'owning') return room.state === 'open' && tellRoom(room, kind, words, ...parts)
  if (!hasOwner(ownership)) return false
  return peers.send(ownership.owner, room, { kind: 'forward', word: kind, words, data: joined(parts) })
}

/** What must arrive, as far as anything can: what is lost on the way to another instance, that one notices by itself. */
export function tellOwnerSurely(room: RoomEntry, kind: number, words: readonly number[]): void {
  if (room.ownership.role === 'owning' && room.state === 'open') tellSurely(room.link, kind, [room.key, ...words])
  else tellOwner(room, kind, words)
}
