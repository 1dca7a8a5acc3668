/**
 * What a tick costs: mutation, compare, encode and commit of 10,000 entities, and of 100,000 with touch tracking, beside `@colyseus/schema` on the same changes; in a
 * loop (tinybench), and 20 times a second, when caches are cold. Beside the flush alone: what nothing can go below. `make bench ONLY=delta`.
 */
import { Bench } from 'tinybench'
import { createBenchWorker, createMovingRoom } from './moving-room.js'
import { createSteal, judge, printSteal, takeWindows } from './paired.js'
import { engine, moveAndTouch, moveRows, moveViews, peer, stepOf, type Contestant, type Load } from './delta/contestants.js'
import { createCopying } from './delta/copying.js'
import { figure, isSmoke, median, printFigures, writeReport, type Measured } from './report.js'
import type { GoalId } from './targets.js'

const loopMs = isSmoke ? 5 : 60
/** Steps of each contestant in a window at cadence; they take turns within each 50 ms. */
const coldSteps = isSmoke ? 2 : 8, tickMs = 50

const steal = createSteal(), sleep = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms) })

/** Microseconds at the median, called again and again. */
async function inLoop(step: () => void): Promise<number> {
  const bench = new Bench({ time: loopMs, warmup: false })
  bench.add('step', step)
  const [{ result }] = await bench.run()
  if (result?.state !== 'completed') throw new Error(`delta: ${String(result?.state)}`)
  return result.latency.p50 * 1000
}

/** Microseconds at the median of each, one after the other every 50 ms. */
async function atCadence(steps: readonly (() => void)[]): Promise<number[]> {
  const times = steps.map((): number[] => [])
  for (let n = 0; n < coldSteps; n++) {
    for (const [index, step] of steps.entries()) {
      await sleep(tickMs / steps.length)
      const began = performance.now()
      step()
      times[index].push((performance.now() - began) * 1000)
    }
  }
  return times.map(median)
}

async function measureSteps(load: Load, goal: GoalId | undefined): Promise<Measured> {
  const { entities, share, track } = load, id = `delta/${entities}-${share * 100}%${track === 'touch' ? '-touch' : ''}`, move = track === 'touch' ? moveAndTouch : moveRows
  const measured: Measured = { figures: [], ratios: {}, targets: [] }, worker = createBenchWorker()
  const contestants: readonly Contestant[] = [
    engine(worker, load, 'KasagiEngine, 16-bit x and y', true, move), engine(worker, load, 'KasagiEngine, f32', false, move), peer(load),
    ...(track === 'touch' ? [engine(worker, load, 'KasagiEngine, 16-bit, row views', true, moveViews)] : []),
  ]
  for (const contestant of contestants) {
    for (let n = 0; n < 30; n++) { contestant.step(); contestant.newest() }
    contestant.check()
  }
  const steps = contestants.map((contestant) => () => { contestant.step() })
  const takeLoop = async (): Promise<number[]> => {
    const times: number[] = []
    for (const step of steps) times.push(await inLoop(step))
    return times
  }
  await takeLoop()
  for (const [metric, part, take] of [['time per tick', id, takeLoop], ['time per tick at 20 Hz', `${id}-20-hz`, () => atCadence(steps)]] as const) {
    const windows = await takeWindows(part, steal, take)
    for (const [index, { subject }] of contestants.entries()) measured.figures.push(figure(id, subject, metric, 'us', windows.map((times) => times[index])))
    measured.ratios[part] = median(windows.map(([ours, , theirs]) => theirs / ours))
    measured.ratios[`${part}-f32`] = median(windows.map(([, ours, theirs]) => theirs / ours))
    if (take === takeLoop && goal !== undefined) measured.targets.push(judge(goal, windows.map(([ours, , theirs]) => theirs / ours)))
  }
  for (const { subject, bytes } of contestants) measured.figures.push(figure(id, subject, 'bytes per moved entity', 'B', [bytes() / (entities * share)]))
  return measured
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
  await measureSteps({ entities: 10_000, share: 1, track: 'scan' }, 'delta/10000-100%'), await measureSteps({ entities: 10_000, share: 0.1, track: 'scan' }, 'delta/10000-10%'),
  await measureSteps({ entities: 10_000, share: 0.01, track: 'scan' }, undefined), await measureSteps({ entities: 10_000, share: 0.01, track: 'touch' }, 'delta/10000-1%-touch'),
  await measureSteps({ entities: 100_000, share: 0.01, track: 'touch' }, 'delta/100000-1%-touch'), await measureCopying(),
]
printFigures(parts.flatMap(({ figures }) => figures))
printSteal(steal)
writeReport('delta', parts)
