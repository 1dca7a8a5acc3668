/** What a tick of all rooms costs the server, all its threads, against the rooms: each of 100 moving entities with one client, on one worker and on two. */
import type { Steal } from '../paired.js'
import { figure, isSmoke, type Figure, type Measured } from '../report.js'
import { inTurn } from './in-turn.js'
import { cpuPerTick, join, leave, measureTurns, openStage, warmUp } from './stage.js'

const id = 'growth/rooms', roomCounts = isSmoke ? [1, 4] : [1, 10, 100, 300, 1000, 2000], workerCounts = isSmoke ? [2] : [1, 2]
/** As much address space as a worker can have: each room takes a block of 2 MiB, of which it touches what it needs. */
const flags = ['--arena-bytes', '2047M'], roomsPerWorkerMax = 1000

async function measureWith(workers: number, steal: Steal): Promise<Figure[]> {
  const stage = await openStage('--workers', String(workers), ...flags), figures: Figure[] = [], subject = `${workers} worker${workers === 1 ? '' : 's'}`
  try {
    await warmUp(stage)
    for (const rooms of roomCounts.filter((count) => count <= workers * roomsPerWorkerMax)) {
      const names = Array.from({ length: rooms }, (_, n) => `${rooms}-${n}`)
      await join(stage, 'small', names, 1)
      await stage.engine.enter(names[0], 'small')
      const taken = await measureTurns(stage, `${id}/${rooms}, ${subject}`, { turns: 0, inputs: 0 }, steal), at = { along: 'rooms', value: rooms }
      figures.push(
        figure(id, subject, 'CPU of a tick of all rooms', 'us', cpuPerTick(taken), at),
        figure(id, subject, 'CPU per delivery', 'us', taken.map(({ cpuPerDeliveryUs }) => cpuPerDeliveryUs), at),
      )
      await stage.engine.leave()
      await leave(stage)
    }
  } finally {
    await stage.end()
  }
  return figures
}

export const measureRooms = async (steal: Steal): Promise<Measured> =>
  ({ figures: (await inTurn(workerCounts.map((workers) => () => measureWith(workers, steal)))).flat(), ratios: {}, targets: [] })
