/** Catching one client up, in this thread: what the worker writes for it, how long that takes, and whether it is what was missing. */
import { snapshotKind, toMain } from '../../src/memory/crossing.js'
import { read, release } from '../../src/memory/ring.js'
import { atSnapshotBusy } from '../../src/memory/room-layout.js'
import { align, storeWord } from '../../src/memory/views.js'
import { roomStream } from '../../src/wire/section.js'
import { serveWaiting } from '../../workers/snapshots.js'
import type { TickingRooms } from '../tick/ticking-rooms.js'

/** `sections`: of the room's stream; chunks of a snapshot, or what was missed. */
export interface CaughtUp { readonly us: number; readonly bytes: number; readonly sections: readonly Uint8Array[] }

/** Nobody's. */
export const nowhere = { epoch: 0, seq: 0 }

/** The first room's only session stands at a position, and asks. `kind`: what it has to get. */
export function catchUp({ worker, actors }: TickingRooms, { epoch, seq }: typeof nowhere, kind: keyof typeof snapshotKind): CaughtUp {
  const { arena, flusher, published } = worker, [{ room }] = actors
  room.waiting.push({ connection: 1, slot: 0, epoch, seq })
  const began = performance.now()
  serveWaiting(room, flusher.encoder.section, flusher.output)
  const us = (performance.now() - began) * 1000, at = read(published) >>> 2
  if (at === 0 || published.kind !== toMain.snapshot || arena.u32[at + 1] !== snapshotKind[kind]) throw new Error(`growth: ${kind} were to be written for a client at ${seq}`)
  const address = arena.u32[at + 7], bytes = arena.u32[at + 8], sections: Uint8Array[] = []
  for (let entry = address; entry < address + bytes; entry = align(entry + 8 + arena.u32[entry >>> 2], 8)) {
    if (arena.u32[(entry >>> 2) + 1] === roomStream) sections.push(arena.u8.slice(entry + 8, entry + 8 + arena.u32[entry >>> 2]))
  }
  release(published)
  storeWord(arena, room.layout.base + atSnapshotBusy, 0)
  return { us, bytes, sections }
}
