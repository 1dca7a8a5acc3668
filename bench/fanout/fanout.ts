/** The fan-out bench as a whole: it sets the stage once, measures every crowd on it, the bytes of the engine's f32 fields, and, in full, how many clients hold 20 Hz. */
import type { Steal } from '../paired.js'
import { figure, median, type Figure, type Measured } from '../report.js'
import { openStage, type Stage } from './contestants.js'
import { measureCrowd } from './crowd.js'
import { figuresOf, inputFigures, targetsOf } from './measured.js'
import { measureMost } from './most.js'
import { installPeers } from './peers.js'
import { pinningSaid } from './pinning.js'
import { crowdShapes, ticksPerTurn } from './shapes.js'
import { takeTurn } from './turns.js'

/** The engine with f32 for x and y: what a delivery weighs does not depend on how many there are. */
async function measureExact(stage: Stage): Promise<Figure> {
  const { engine } = stage.contestants, name = 'exact', clients = 2
  await stage.ask({ kind: 'join', group: engine.key, dialect: engine.dialect, port: engine.port, type: 'exact', names: [name], clients: [clients] })
  await engine.enter(name, 'exact')
  const { bytesPerDelivery } = await takeTurn(stage, engine, 1, ticksPerTurn, 0), { wrong } = await engine.check()
  if (wrong !== '') throw new Error(`fanout/exact: ${wrong}`)
  await engine.leave()
  await stage.ask({ kind: 'leave', group: engine.key })
  return figure('fanout/exact', 'the engine, f32', 'bytes per delivery', 'B', [bytesPerDelivery])
}

export async function measureFanout(steal: Steal): Promise<Measured> {
  installPeers()
  const measured: Measured = { figures: [], ratios: {}, targets: [] }, stage = await openStage()
  console.log(`  fanout: ${pinningSaid}`)
  try {
    for (const shape of crowdShapes) {
      const windows = await measureCrowd(stage, shape, steal), targets = targetsOf(shape, windows)
      measured.figures.push(...figuresOf(shape.id, windows), ...inputFigures(shape, windows))
      measured.targets.push(...targets)
      measured.ratios[shape.id] = median(windows.map(({ engine, floor, floorAgain }) => 2 * engine.cpuPerDeliveryUs / (floor.cpuPerDeliveryUs + floorAgain.cpuPerDeliveryUs)))
    }
    measured.figures.push(await measureExact(stage))
    if (process.env.FULL !== undefined) measured.figures.push(...await measureMost(stage))
  } finally {
    await stage.end()
  }
  return measured
}
