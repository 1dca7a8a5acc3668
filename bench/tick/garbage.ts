/**
 * What a worker's steady loop leaves to the garbage collector: a real server, one room of 10,000 entities that all move 20 times a second, one client. The room's
 * author looks at its thread's heap (project/rooms/steady.ts) and tells what a tick has allocated, everything that the thread does included, and how often V8 collected.
 * Before that a room of 240 Hz runs beside it for a while, and is closed: until V8 has compiled the loop, which at 20 Hz takes minutes, numbers are boxed and iterators made.
 */
import { connect, type ClientRoom } from 'kasagi-engine/client'
import type { ServeProcess } from '../../test/support/process.js'
import { until } from '../../test/support/until.js'
import { watch } from '../cpu.js'
import { judge } from '../paired.js'
import { figure, isSmoke, type Measured } from '../report.js'
import { checkMovers } from './movers.js'
import { steady, warming } from './project/shared/shapes.js'

const id = 'tick/garbage'
/** A second each: with the other room, until it is closed and forgotten, and what is measured. */
const warmSamples = isSmoke ? 0 : 15, calmSamples = isSmoke ? 0 : 4, samplesWanted = isSmoke ? 1 : 60
/** Samples that see a collection do not count. */
const withinMs = 4 * 1000 * samplesWanted + 30_000

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
  const warmer = await connect(server.url).join(warming, { name: 'one' })
  await hear(room, warmSamples)
  await warmer.leave()
  await hear(room, calmSamples)
  const { majors, minors } = room.globals, busy = watch([{ name: 'the server', pid: server.pid() }, { name: 'the client', pid: process.pid }])
  const bytes = await hear(room, samplesWanted)
  checkMovers(id, room)
  const majorsSeen = room.globals.majors - majors
  console.log(`  ${id}: ${majorsSeen} major and ${room.globals.minors - minors} minor collections in ${samplesWanted} s; main threads: ${busy()}`)
  await room.leave()
  return {
    figures: [figure(id, 'garbage of a tick', 'allocated', 'B', bytes), figure(id, 'major collections', 'count', '', [majorsSeen])],
    ratios: {},
    targets: [
      judge('tick/garbage', bytes.map((each) => each / 1000)),
      judge('tick/major-collections', bytes.map(() => majorsSeen)),
    ],
  }
}
