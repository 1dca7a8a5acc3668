/**
 * What a tick costs: mutation, compare, encode and commit of 10,000 entities, and of 100,000 with touch tracking, beside `@colyseus/schema` on the same changes; in a
 * loop (tinybench), and 20 times a second, when caches are cold. Beside the flush alone: what nothing can go below. `make bench ONLY=delta`.
 */
import { startChild } from './child.js'
import { moveRows, stepOf, type Load } from './delta/contestants.js'
import { createCopying } from './delta/copying.js'
import { inLoop, loopMs } from './delta/in-loop.js'
import type { StepsAnswer, StepsQuestion } from './delta/steps.js'
import { createBenchWorker, createMovingRoom } from './moving-room.js'
import { createSteal, judge, printSteal, takeWindows } from './paired.js'
import { figure, median, printFigures, writeReport, type Measured } from './report.js'
import type { GoalId } from './targets.js'

const steal = createSteal()

async function measureSteps(load: Load, goal?: GoalId): Promise<Measured[]> {
  const parts: Measured[] = []
  for (const isQuantized of [true, false]) {
    const child = await startChild(new URL('delta/steps.js', import.meta.url), [])
    const { measured, steal: taken } = await child.ask<StepsAnswer>({ load, isQuantized, ...(isQuantized ? { goal } : {}) } satisfies StepsQuestion)
    await child.end()
    parts.push(measured)
    steal.repeated += taken.repeated
    steal.highest = Math.max(steal.highest, taken.highest)
  }
  return parts
}

/** The flush alone, all rows changed, beside one pass over the same memory. */
async function measureCopying(): Promise<Measured> {
  const entities = 10_000, room = createMovingRoom(createBenchWorker(), entities, true), copying = await createCopying(room, ['x', 'y'])
  let turn = 0
  const window = async (): Promise<readonly [number, number]> => {
    const times: number[] = []
    for (const end = performance.now() + 2 * loopMs; performance.now() < end;) {
      moveRows(room, 0, entities, 1, stepOf(turn++))
      const began = performance.now()
      room.flush()
      times.push((performance.now() - began) * 1000)
    }
    return [median(times), await inLoop(copying)]
  }
  const id = 'delta/copying', windows = await takeWindows(id, steal, window), ratios = windows.map(([flush, floor]) => flush / floor)
  return {
    figures: [
      figure(id, 'a flush: compare, gather, encode, commit', 'time', 'us', windows.map(([flush]) => flush)),
      figure(id, `${Math.round(copying() / 1000)} kB read once, what changed copied twice`, 'time', 'us', windows.map(([, floor]) => floor)),
    ],
    ratios: { [id]: median(ratios) }, targets: [judge('delta/copying', ratios)],
  }
}

const parts = [
  ...await measureSteps({ entities: 10_000, share: 1, track: 'scan' }, 'delta/10000-100%'), ...await measureSteps({ entities: 10_000, share: 0.1, track: 'scan' }, 'delta/10000-10%'),
  ...await measureSteps({ entities: 10_000, share: 0.01, track: 'scan' }), ...await measureSteps({ entities: 10_000, share: 0.01, track: 'touch' }, 'delta/10000-1%-touch'),
  ...await measureSteps({ entities: 100_000, share: 0.01, track: 'touch' }, 'delta/100000-1%-touch'), await measureCopying(),
]
printFigures(parts.flatMap(({ figures }) => figures))
printSteal(steal)
writeReport('delta', parts)
