/** A client's decoder beside a room on an arena of this thread: whether what it was told is what the room holds. */
import { applySection, openSection } from '../src/client/apply.js'
import { createReplica, type NumberArray, type Replica } from '../src/client/table.js'
import type { Actor } from '../workers/room-actor.js'
import { worldSize } from './moving-room.js'

export interface Follower {
  /** A section of the room's stream, or a chunk of a snapshot. */
  take(section: Uint8Array): void
  /** The first global of the room. */
  firstGlobal(): number
  /** Throws unless every mover is seen, and where it is. */
  check(): void
}

/** Of 16 bits over the world, and what f32 leaves of that. */
const halfStep = worldSize / 65_535 / 2 + 1e-3

const numbersOf = ({ columns }: Replica, name: string): NumberArray => columns.find(({ field }) => field.name === name)!.values as NumberArray

/** `id`: of the bench's part, for what it throws. */
export function createFollower(id: string, { room }: Actor): Follower {
  const replicas = room.type.tables.tables.map(createReplica), seen = replicas.find(({ table }) => table.name === 'movers')!, movers = room.tables[1]
  return {
    // Decoders want a buffer of their own, as it comes from a socket.
    take: (section) => applySection(openSection(section.slice().buffer as ArrayBuffer)!, replicas, { nowMs: 0, intervalMs: 50 }),
    firstGlobal: () => (replicas[0].columns[0].values as NumberArray)[0],
    check: () => {
      if (seen.size !== movers.rowsOf.size) throw new Error(`${id}: ${seen.size} of ${movers.rowsOf.size} rows are seen`)
      for (const name of ['x', 'y']) {
        const is = movers.column(name) as Float32Array, told = numbersOf(seen, name)
        for (let row = 0; row < seen.size; row++) if (!(Math.abs(told[row] - is[row]) <= halfStep)) throw new Error(`${id}: ${name} of row ${row} is not what was sent`)
      }
    },
  }
}
