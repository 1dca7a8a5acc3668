/** Which connections of a room's clients are lost, by what instances say. Worker thread. */
import { instanceOf } from '../src/base/connection-number.js'
import { toWorker } from '../src/memory/crossing.js'

/** True if `connection` is lost by what a `sweep` (instances that live) or a `present` (an instance, and its sockets) says. */
export function isLost(kind: number, words: Uint32Array, connection: number): boolean {
  if (connection === 0) return false
  const instance = instanceOf(connection)
  if (kind === toWorker.sweep) return !words.includes(instance)
  return words[0] === instance && !words.subarray(1).includes(connection >>> 0)
}
