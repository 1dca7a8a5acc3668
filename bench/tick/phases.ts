/**
 * Tick throughput: rooms x entities x share of changed rows x workers. Worker threads that really tick in parallel (ticking-worker.ts), each with rooms of its own;
 * ticks per second in a tight loop, and what a tick costs there and 20 times a second, when caches are cold; where its time goes, in the largest room.
 */
import { takeWindows, type Steal } from '../paired.js'
import { figure, isSmoke, type Figure, type Measured } from '../report.js'
import { phases } from './phase-clock.js'
import { startThread, type Thread } from './ticking-thread.js'
import type { Answer } from './ticking-worker.js'

const roomCounts = isSmoke ? [1] : [1, 50], entityCounts = isSmoke ? [1000] : [1000, 10_000], shares = isSmoke ? [0.1] : [1, 0.1, 0.01]
const workerCounts = [1, 2]
const windowsWanted = isSmoke ? 1 : 5, loopMs = isSmoke ? 10 : 60, cadenceMs = isSmoke ? 60 : 150, periodMs = 50

/** One window of a cell: all workers in a loop; then one of them 20 times a second, and both ways with the phases told apart. */
interface Window { readonly perSecond: readonly number[]; readonly loop: Answer; readonly loopTimed: Answer; readonly cadence: Answer; readonly cadenceTimed: Answer }

async function window(threads: readonly Thread[], stride: number): Promise<Window> {
  const perSecond: number[] = [], inLoop = { how: 'loop', isTimed: false, stride, ms: loopMs } as const, atCadence = { how: 'cadence', isTimed: false, stride, ms: cadenceMs } as const
  for (const count of workerCounts) perSecond.push(sum((await Promise.all(threads.slice(0, count).map(({ ask }) => ask(inLoop)))).map(({ ticksPerSecond }) => ticksPerSecond)))
  const [{ ask }] = threads
  return { perSecond, loop: await ask(inLoop), loopTimed: await ask({ ...inLoop, isTimed: true }), cadence: await ask(atCadence), cadenceTimed: await ask({ ...atCadence, isTimed: true }) }
}

const sum = (values: readonly number[]): number => values.reduce((total, each) => total + each, 0)

function figuresOf(id: string, isPhased: boolean, windows: readonly Window[]): Figure[] {
  const figures = workerCounts.map((workers, index) => figure(id, `${workers} worker${workers === 1 ? '' : 's'}`, 'ticks in a loop', '/s', windows.map(({ perSecond }) => perSecond[index])))
  figures.push(
    figure(id, 'a tick, in a loop', 'time', 'us', windows.map(({ loop }) => loop.usPerTick)), figure(id, 'a tick, 20 Hz', 'time', 'us', windows.map(({ cadence }) => cadence.usPerTick)),
    figure(id, 'a record', 'bytes', 'B', windows.map(({ loop }) => loop.bytesPerTick)),
  )
  if (!isPhased) return figures
  for (const phase of phases) {
    figures.push(figure(id, `${phase}, in a loop`, 'time per tick', 'us', windows.map(({ loopTimed }) => loopTimed.us[phase])), figure(id, `${phase}, 20 Hz`, 'time per tick', 'us', windows.map(({ cadenceTimed }) => cadenceTimed.us[phase])))
  }
  return figures
}

export async function measurePhases(steal: Steal): Promise<Measured> {
  const figures: Figure[] = []
  for (const rooms of roomCounts) {
    for (const entities of entityCounts) {
      const threads = await Promise.all(Array.from({ length: Math.max(...workerCounts) }, () => startThread({ entities, rooms, periodMs })))
      for (const share of shares) {
        const id = `tick/${rooms}x${entities}-${share * 100}%`, stride = Math.round(1 / share), take = (): Promise<Window> => window(threads, stride)
        await take()
        figures.push(...figuresOf(id, rooms === 1 && entities === entityCounts.at(-1), await takeWindows(id, steal, take, windowsWanted)))
      }
      await Promise.all(threads.map((thread) => thread.end()))
    }
  }
  return { figures, ratios: {}, targets: [] }
}
