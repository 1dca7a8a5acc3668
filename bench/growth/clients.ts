/** What a tick of one room of 1,000 moving entities costs the server, all its threads, against the clients in it; each of them gets every delivery of every turn. */
import type { Steal } from '../paired.js'
import { figure, isSmoke, type Figure, type Measured } from '../report.js'
import { cpuPerTick, join, measureTurns, openStage, viewers, warmUp } from './stage.js'

const id = 'growth/clients', clientCounts = isSmoke ? [3, 6] : [10, 30, 100, 300, 1000, 2500, 5000], room = 'clients'

export async function measureClients(steal: Steal): Promise<Measured> {
  const stage = await openStage(), figures: Figure[] = [], told = { turns: 0, inputs: 0 }
  try {
    await warmUp(stage)
    await stage.engine.enter(room, 'crowd')
    for (const clients of clientCounts) {
      await join(stage, 'crowd', [room], clients - viewers)
      const taken = await measureTurns(stage, `${id}/${clients}`, told, steal), at = { along: 'clients', value: clients }
      figures.push(
        figure(id, 'the server', 'CPU of a tick', 'us', cpuPerTick(taken), at),
        figure(id, 'the server', 'CPU per delivery', 'us', taken.map(({ cpuPerDeliveryUs }) => cpuPerDeliveryUs), at),
      )
    }
  } finally {
    await stage.end()
  }
  return { figures, ratios: {}, targets: [] }
}
