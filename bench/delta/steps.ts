/**
 * One load of the delta bench, in a process of its own, with one kind of fields for x and y: V8 compiles for what it has seen, and where rooms of several kinds have run, their
 * common code is a quarter slower for each. Asked with what to measure, it answers with figures.
 */
import { createBenchWorker } from '../moving-room.js'
import { createSteal, judge, takeWindows, type Steal } from '../paired.js'
import { figure, isSmoke, median, type Measured } from '../report.js'
import type { GoalId } from '../targets.js'
import { engine, moveAndTouch, moveRows, moveViews, peer, type Contestant, type Load } from './contestants.js'
import { inLoop } from './in-loop.js'

export interface StepsQuestion { readonly load: Load; readonly isQuantized: boolean; readonly goal?: GoalId }
export interface StepsAnswer { readonly measured: Measured; readonly steal: Steal }

/** Steps of each contestant in a window at cadence; they take turns within each 50 ms. */
const coldSteps = isSmoke ? 2 : 8, tickMs = 50

const sleep = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms) })

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

async function measureSteps({ load, isQuantized, goal }: StepsQuestion, steal: Steal): Promise<Measured> {
  const { entities, share, track } = load, id = `delta/${entities}-${share * 100}%${track === 'touch' ? '-touch' : ''}`, kind = isQuantized ? '16-bit x and y' : 'f32'
  const measured: Measured = { figures: [], ratios: {}, targets: [] }, worker = createBenchWorker()
  const contestants: readonly Contestant[] = [
    peer(load), engine(worker, load, `KasagiEngine, ${kind}`, isQuantized, track === 'touch' ? moveAndTouch : moveRows),
    ...(track === 'touch' ? [engine(worker, load, `KasagiEngine, ${kind}, row views`, isQuantized, moveViews)] : []),
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
    const windows = await takeWindows(part, steal, take), ratios = windows.map(([theirs, ours]) => theirs / ours)
    for (const [index, { subject }] of contestants.entries()) measured.figures.push(figure(id, index === 0 ? `${subject}, beside ${kind}` : subject, metric, 'us', windows.map((times) => times[index])))
    measured.ratios[isQuantized ? part : `${part}-f32`] = median(ratios)
    if (take === takeLoop && goal !== undefined) measured.targets.push(judge(goal, ratios))
  }
  for (const { subject, bytes } of contestants) measured.figures.push(figure(id, subject, 'bytes per moved entity', 'B', [bytes() / (entities * share)]))
  return measured
}

process.on('message', (question: StepsQuestion) => {
  const steal = createSteal()
  void measureSteps(question, steal).then((measured) => process.send?.({ measured, steal } satisfies StepsAnswer))
})
process.on('disconnect', () => process.exit(0))
process.send?.('ready')
