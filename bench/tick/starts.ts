/** When a room's ticks began, as it tells its clients, and how late that was. */
import type { ClientRoom } from 'kasagi-engine/client'
import { until } from '../../test/support/until.js'
import type { burning, storm } from './project/shared/shapes.js'

type Telling = ClientRoom<typeof burning> | ClientRoom<typeof storm>

/** Of one tick: milliseconds of the worker's clock when it began, and of this process's when its flush arrived. */
export interface Start { readonly startedMs: number; readonly arrivedMs: number }

export interface Starts {
  /** Ticks from now on. */
  take(count: number): Promise<Start[]>
  /** Ticks until `whileAsked` resolves. */
  during(whileAsked: Promise<unknown>): Promise<Start[]>
}

/** Hears of every tick of `room`; one that is not told of is an error. */
export function hearStarts(id: string, room: Telling): Starts {
  let starts: Start[] = [], turn = room.globals.turn
  room.onFlush(() => {
    const { globals } = room
    if (globals.turn === turn) return
    if (globals.turn !== turn + 1) throw new Error(`${id}: turn ${globals.turn} is told after turn ${turn}`)
    turn = globals.turn
    starts.push({ startedMs: globals.startedMs, arrivedMs: performance.now() })
  })
  return {
    take: async (count) => {
      starts = []
      await until(() => starts.length >= count, `${id}: ${count} ticks are told of`, 60_000)
      return starts.slice(0, count)
    },
    during: async (whileAsked) => {
      starts = []
      await whileAsked
      return starts
    },
  }
}

/**
 * Milliseconds by which each tick began too late, by the schedule that the engine keeps: absolute, and a tick that is more than a period late skips. The earliest
 * counts as on time: none begins early.
 */
export function latenessOf(starts: readonly Start[], periodMs: number): number[] {
  let dueMs = starts[0].startedMs - periodMs
  const late = starts.map(({ startedMs }) => {
    dueMs += periodMs
    const behindMs = startedMs - dueMs
    if (behindMs > 2 * periodMs) dueMs += Math.floor((behindMs - periodMs) / periodMs) * periodMs
    return behindMs
  })
  const earliest = Math.min(...late)
  return late.map((ms) => ms - earliest)
}

/** The smallest value that `share` of all do not exceed. */
export const percentile = (values: readonly number[], share: number): number => [...values].sort((a, b) => a - b)[Math.max(0, Math.ceil(values.length * share) - 1)]
