/**
 * Which worker a room goes to: rendezvous hashing with bounded load (Mirrokni, Thorup, Zadimoghaddam: Consistent Hashing with Bounded
 * Loads, 2016). Main thread. A pure function of the room id and the loads; the place is recorded when the room opens.
 */
import { hashText } from '../base/hash.js'

/** A worker takes at most this much more than the mean. */
const loadFactor = 1.25

/** The workers in the order in which room `id` would go to them: those with space below the bound first. `loads`: rooms per worker. */
export function placesFor(id: string, loads: readonly number[]): number[] {
  const rooms = loads.reduce((sum, load) => sum + load, 0) + 1
  const bound = Math.ceil(rooms / loads.length * loadFactor)
  const score = loads.map((_, worker) => hashText(`${id}\0${worker}`))
  const order = loads.map((_, worker) => worker).sort((a, b) => score[b] - score[a])
  return [...order.filter((worker) => loads[worker] < bound), ...order.filter((worker) => loads[worker] >= bound)]
}
