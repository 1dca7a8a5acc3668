/**
 * How many ticks a second all workers make together, against how many there are: threads as in bench/tick, each with rooms of its own, in a loop. More than the machine
 * has cores say nothing; on a larger one `WORKERS=1,2,4,8,16`.
 */
import { takeWindows, type Steal } from '../paired.js'
import { figure, isSmoke, type Measured } from '../report.js'
import { startThread } from '../tick/ticking-thread.js'

const id = 'growth/workers', workerCounts = (process.env.WORKERS ?? '1,2').split(',').map(Number)
const setup = { entities: 1000, rooms: isSmoke ? 1 : 10, periodMs: 50 }, stride = 10, ms = isSmoke ? 10 : 200, windows = isSmoke ? 1 : 5

export async function measureWorkers(steal: Steal): Promise<Measured> {
  if (workerCounts.some((count) => !Number.isInteger(count) || count < 1)) throw new Error(`${id}: WORKERS names counts, like 1,2,4: ${process.env.WORKERS}`)
  const threads = await Promise.all(Array.from({ length: Math.max(...workerCounts) }, () => startThread(setup)))
  const window = async (): Promise<readonly number[]> => {
    const perSecond: number[] = []
    for (const count of workerCounts) {
      const answers = await Promise.all(threads.slice(0, count).map(({ ask }) => ask({ how: 'loop', isTimed: false, stride, ms })))
      perSecond.push(answers.reduce((sum, { ticksPerSecond }) => sum + ticksPerSecond, 0))
    }
    return perSecond
  }
  await window()
  const taken = await takeWindows(id, steal, window, windows)
  await Promise.all(threads.map((thread) => thread.end()))
  const figures = workerCounts.map((count, index) =>
    figure(id, `rooms of ${setup.entities} entities, 10% move`, 'ticks of all workers', '/s', taken.map((each) => each[index]), { along: 'workers', value: count }))
  return { figures, ratios: {}, targets: [] }
}
