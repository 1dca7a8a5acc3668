/**
 * What a worker counts, in plain numbers, until it tells the main thread. Worker thread. A first count is told at the end of its turn, further ones a
 * moment later, the times of turns twice a second; what a thread had not told when it died is lost.
 */
import { lateSecondsBounds, turnSecondsBounds, type Buckets, type CountedMetric, type WorkerTally } from '../src/memory/crossing.js'

export interface Tally {
  readonly counts: Map<string, { readonly metric: CountedMetric; readonly labels: Readonly<Record<string, string>>; by: number }>
  /** By type of room. */
  readonly turns: ReadonlyMap<string, MutableBuckets>
  readonly late: MutableBuckets
  busyMs: number
  countsDueMs: number
  dueMs: number
}

interface MutableBuckets { readonly counts: number[]; sum: number }

const countsEveryMs = 250, tallyEveryMs = 500

const createBuckets = (bounds: readonly number[]): MutableBuckets => ({ counts: new Array<number>(bounds.length + 1).fill(0), sum: 0 })

export const createTally = (types: readonly string[]): Tally => ({
  counts: new Map(), turns: new Map(types.map((type) => [type, createBuckets(turnSecondsBounds)])), late: createBuckets(lateSecondsBounds), busyMs: 0, countsDueMs: 0, dueMs: 0,
})

export function count({ counts }: Tally, metric: CountedMetric, labels: Readonly<Record<string, string>>, by: number): void {
  const key = `${metric} ${Object.values(labels).join(' ')}`, entry = counts.get(key)
  if (entry === undefined) counts.set(key, { metric, labels, by })
  else entry.by += by
}

/** Series begin at 0: whoever watches for an increase sees the first one too. */
export function beginCounts(tally: Tally, type: string, handlers: readonly string[]): void {
  for (const metric of ['ticksMissed', 'flushSkipped', 'eventsMissed', 'inputsLost'] as const) count(tally, metric, { type }, 0)
  for (const what of ['entry', 'inputs', 'room']) count(tally, 'poisoned', { type, what }, 0)
  for (const handler of handlers) count(tally, 'handlerErrors', { type, handler }, 0)
}

/** A room's turn has taken `ms`, and began `lateMs` behind its time: Infinity if it had none. Allocates nothing. */
export function countTurn({ turns, late }: Tally, type: string, ms: number, lateMs: number): void {
  observe(turns.get(type)!, turnSecondsBounds, ms / 1000)
  if (lateMs !== Infinity) observe(late, lateSecondsBounds, Math.max(0, lateMs) / 1000)
}

function observe(buckets: MutableBuckets, bounds: readonly number[], value: number): void {
  let index = 0
  while (index < bounds.length && value > bounds[index]) index++
  buckets.counts[index]++
  buckets.sum += value
}

export const isTallyDue = ({ counts, countsDueMs, dueMs }: Tally, nowMs: number): boolean => nowMs >= dueMs || (counts.size > 0 && nowMs >= countsDueMs)

/** What was counted since the last time. `sessions`: of the rooms of a type. */
export function takeTally(tally: Tally, nowMs: number, heapBytes: number, sessions: (type: string) => number): WorkerTally {
  const told: WorkerTally = {
    counts: [...tally.counts.values()], heapBytes, busySeconds: tally.busyMs / 1000, late: takeBuckets(tally.late),
    types: [...tally.turns].map(([type, buckets]) => ({ type, turns: takeBuckets(buckets), sessions: sessions(type) })),
  }
  if (tally.counts.size > 0) tally.countsDueMs = nowMs + countsEveryMs
  tally.counts.clear()
  tally.busyMs = 0
  tally.dueMs = nowMs + tallyEveryMs
  return told
}

function takeBuckets(buckets: MutableBuckets): Buckets {
  const taken = { counts: buckets.counts.slice(), sum: buckets.sum }
  buckets.counts.fill(0)
  buckets.sum = 0
  return taken
}
