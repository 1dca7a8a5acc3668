/**
 * Contestants that take turns in short windows of one run, and what may be said of their differences: a median with its 95% interval, and against a target
 * met, missed, or undecided where the interval spans it.
 */
import { readFileSync } from 'node:fs'
import { isSmoke, median, type Target } from './report.js'
import { goals, type Goal, type GoalId } from './targets.js'

/** Enough for an interval of the median that leaves out three of each side. */
export const windowsWanted = isSmoke ? 1 : 15

/** Of fewer, not even all of them make a 95% interval. */
const windowsForInterval = 6

/** What the machine's owner gave to others, as a share of all time; above it a window says nothing. */
const stealMax = 0.05

export interface Steal { repeated: number; highest: number }

export const createSteal = (): Steal => ({ repeated: 0, highest: 0 })

export const printSteal = ({ highest, repeated }: Steal): void =>
  console.log(`  stolen from a window at most ${(highest * 100).toFixed(1)}%; taken again because it was more than ${stealMax * 100}%: ${repeated}`)

/** Ticks of all cores: all, and stolen. */
function readTicks(): { all: number; stolen: number } {
  const ticks = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0].trim().split(/\s+/).slice(1, 9).map(Number)
  return { all: ticks.reduce((sum, each) => sum + each, 0), stolen: ticks[7] }
}

/** So many windows, counted from 0; one of which too much was stolen is taken again, as often as there are windows. */
export async function takeWindows<T>(id: string, steal: Steal, takeWindow: (window: number) => Promise<T> | T, wanted = windowsWanted): Promise<T[]> {
  const taken: T[] = []
  for (let left = wanted; taken.length < wanted;) {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${id}: window ${taken.length + 1} of ${wanted} `)
    const before = readTicks(), window = await takeWindow(taken.length), after = readTicks()
    const share = (after.stolen - before.stolen) / Math.max(1, after.all - before.all)
    if (share > stealMax && left-- > 0) { steal.repeated++; continue }
    steal.highest = Math.max(steal.highest, share)
    taken.push(window)
  }
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
  return taken
}

/** The 95% interval of a median, by the order of the values: as many are left out of each side as chance allows. Of few, all. */
export function intervalOf(values: readonly number[]): readonly [low: number, high: number] {
  const sorted = [...values].sort((a, b) => a - b), { length } = sorted
  let left = 0, chance = 2 ** -length, below = chance
  while (2 * below <= 0.05) {
    left++
    chance *= (length - left + 1) / left
    below += chance
  }
  const out = Math.max(0, left - 1)
  return [sorted[out], sorted[length - 1 - out]]
}

/** Holds what was measured in each window against what it is to be. */
export function judge(id: GoalId, values: readonly number[]): Target {
  const [low, high] = intervalOf(values), { limit, is }: Goal = goals[id]
  const isIn = (value: number): boolean => is === 'at most' ? value <= limit : value >= limit
  const verdict = values.length < windowsForInterval || isIn(low) !== isIn(high) ? 'undecided' : isIn(low) ? 'met' : 'missed'
  return { id, median: median(values), low, high, verdict }
}
