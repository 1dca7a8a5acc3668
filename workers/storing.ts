/** When a room is handed to its store: by its cadence, because the main thread wants it, or before it ends. Called by the loop. Worker thread. */
import { atStoredSeq, atStoring } from '../src/memory/room-layout.js'
import type { RingWriter } from '../src/memory/ring.js'
import { loadWide, loadWord, storeWord } from '../src/memory/views.js'
import type { SectionWriter } from '../src/wire/section.js'
import type { ActiveRoom } from './active-room.js'
import { isAreaFree } from './area.js'
import { committedSeq } from './history.js'
import { storeRoom } from './stored-room.js'

/** What writes a room's stored form, and where the main thread takes it. */
interface StorePath { readonly section: SectionWriter; readonly output: RingWriter }

/** Whether what is stored is what is committed. */
export const isStored = ({ arena, layout }: ActiveRoom): boolean => loadWide(arena, layout.base + atStoredSeq) === committedSeq(arena, layout)

export function isStoreDue(room: ActiveRoom, nowMs: number): boolean {
  const { durability, snapshotEveryTicks } = room.type.definition
  if (durability === 'none' || !room.isCommitted || room.closing !== undefined) return false
  // A store that is slower than the cadence must not be handed more and more.
  if (loadWord(room.arena, room.layout.base + atStoring) === 1) return false
  const isDue = nowMs >= room.storeDueMs || (snapshotEveryTicks !== Infinity && room.book.clock.tick >= room.storeDueTick)
  return isDue && !isStored(room) && isAreaFree(room)
}

/** Stores the room because the main thread wants it stored now. */
export function saveRoom(store: StorePath, room: ActiveRoom, nowMs: number): void {
  if (room.isCommitted && isAreaFree(room) && handToStore(store, room, nowMs)) room.isSaveDue = false
}

/** Hands the room to the store. Should that fail, the next one is due all the same: main alone says what is stored. */
export function handToStore({ section, output }: StorePath, room: ActiveRoom, nowMs: number): boolean {
  const storing = room.layout.base + atStoring
  storeWord(room.arena, storing, 1)
  if (!storeRoom(room, section, output)) {
    storeWord(room.arena, storing, 0)
    return false
  }
  room.storeDueMs = nowMs + room.type.definition.snapshotEveryMs
  room.storeDueTick = room.book.clock.tick + room.type.definition.snapshotEveryTicks
  return true
}
