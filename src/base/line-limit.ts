/**
 * How many log lines a cause may write. Any thread. A stranger, or a handler that throws at every tick, must not fill a disk: a line about the same
 * thing comes once in a while, with the number of those that were left out; and all keys together write no more than so many a second.
 */
import { monotonicMs } from './clock.js'

export interface LineLimit {
  /** How many lines about `key` were left out since the last one, or undefined if this one is to be left out too. */
  take(key: string): number | undefined
}

/** Keys that are remembered; beyond, the oldest is forgotten, which costs a line at most. */
const keysMax = 10_000
/** And so long after its last line a key is forgotten: rooms come and go, and what was left out then is no news. */
const forgetMs = 60_000
const linesPerSecondMax = 20

/** `everyMs`: between two lines of one key. `onLeftOut` is called for each line that is. */
export function createLineLimit(everyMs = 1000, onLeftOut: () => void = () => {}): LineLimit {
  const last = new Map<string, { atMs: number; leftOut: number }>()
  let secondMs = -Infinity, lines = 0
  return {
    take(key) {
      const now = monotonicMs(), entry = last.get(key)
      if (now - secondMs >= 1000) { secondMs = now; lines = 0 }
      if ((entry !== undefined && now - entry.atMs < everyMs) || lines >= linesPerSecondMax) {
        if (entry !== undefined) entry.leftOut++
        onLeftOut()
        return undefined
      }
      lines++
      // The oldest stand first.
      for (const [old, { atMs }] of last) {
        if (now - atMs < Math.max(everyMs, forgetMs)) break
        last.delete(old)
      }
      if (entry === undefined && last.size >= keysMax) last.delete(last.keys().next().value!)
      last.delete(key)
      last.set(key, { atMs: now, leftOut: 0 })
      return entry?.leftOut ?? 0
    },
  }
}
