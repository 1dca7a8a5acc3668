/**
 * What a worker's steady loop leaves to the garbage collector: a real server, one room of 10,000 entities that all move 20 times a second, one client. The room's
 * author looks at its thread's heap (project/rooms/steady.ts) and tells what a tick has allocated, everything that the thread does included, and how often V8 collected.
 */
import { connect, type ClientRoom } from 'kasagi-engine/client'
import type { ServeProcess } from '../../test/support/process.js'
import { until } from '../../test/support/until.js'
import { watch } from '../cpu.js'
import { isSmoke, judge } from '../paired.js'
import { figure, type Measured } from '../report.js'
import { checkMovers } from './movers.js'
import { steady } from './project/shared/shapes.js'

const id = 'tick/garbage', bytesMax = 2048
/** Until the loop is compiled, which allocates; and what is measured, a second each. */
const warmSamples = isSmoke ? 0 : 10, samplesWanted = isSmoke ? 1 : 60
const withinMs = 4 * 1000 * (warmSamples + samplesWanted) + 10_000

type Steady = ClientRoom<typeof steady>

/** What the room says of every sample, from the next one on. */
async function hear(room: Steady, count: number): Promise<number[]> {
  const bytes: number[] = []
  let seen = room.globals.samples
  const unsubscribe = room.onFlush(() => {
    const { samples, bytesPerTick } = room.globals
    if (samples === seen) return
    seen = samples
    bytes.push(bytesPerTick)
  })
  await until(() => bytes.length >= count, `${id}: the room has told of ${count} samples`, withinMs)
  unsubscribe()
  return bytes
}

export async function measureGarbage(server: ServeProcess): Promise<Measured> {
  const room = await connect(server.url, { verify: true }).join(steady, { name: 'one' })
  await hear(room, warmSamples)
  const { majors, minors } = room.globals, busy = watch([{ name: 'the server', pid: server.pid() }, { name: 'the client', pid: process.pid }])
  const bytes = await hear(room, samplesWanted)
  checkMovers(id, room)
  const majorsSeen = room.globals.majors - majors
  console.log(`  ${id}: ${majorsSeen} major and ${room.globals.minors - minors} minor collections in ${samplesWanted} s; main threads: ${busy()}`)
  await room.leave()
  return {
    figures: [figure(id, '10,000 move', 'garbage per tick', 'B', bytes), figure(id, '10,000 move', 'major collections', '', [majorsSeen])],
    ratios: {},
    targets: [
      judge(id, 'garbage of a worker\'s tick of 10,000 moving entities', 'B', bytesMax, bytes),
      judge(`${id}-major`, `major collections in ${samplesWanted} s of it`, '', 0, bytes.map(() => majorsSeen)),
    ],
  }
}
