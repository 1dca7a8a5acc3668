/** Connections of clients of all instances, as rooms know them: the instance in the high word, the socket's number in the low one. Worker thread. */
import { toWorker } from '../src/memory/crossing.js'

export const instanceOf = (connection: number): number => Math.floor(connection / 0x1_0000_0000)

/** True if `connection` is lost by what a `sweep` (instances that live) or a `present` (an instance, and its sockets) says. */
export function isLost(kind: number, words: Uint32Array, connection: number): boolean {
  if (connection === 0) return false
  const instance = instanceOf(connection)
  if (kind === toWorker.sweep) return !words.includes(instance)
  return words[0] === instance && !words.subarray(1).includes(connection >>> 0)
}
