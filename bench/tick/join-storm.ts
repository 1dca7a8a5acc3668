/**
 * 500 clients join within one second a running room of 10,000 entities that all move 20 times a second: how late does a tick begin meanwhile, by the room's own
 * clock, and how long does a client that was there before wait for a flush? The crowd is a process of its own (storm-clients.ts); everybody leaves before the next storm.
 */
import { connect } from 'kasagi-engine/client'
import type { ServeProcess } from '../../test/support/process.js'
import { until } from '../../test/support/until.js'
import { startChild, type Child } from '../child.js'
import { watch } from '../cpu.js'
import { judge, takeWindows, type Steal } from '../paired.js'
import { figure, isSmoke, type Measured } from '../report.js'
import { checkMovers } from './movers.js'
import { storm, tickHz } from './project/shared/shapes.js'
import { hearStarts, latenessOf, type Start } from './starts.js'
import type { Joined } from './storm-clients.js'

const id = 'tick/join-storm', clientCount = isSmoke ? 20 : 500, stormMs = isSmoke ? 200 : 1000, stormsWanted = isSmoke ? 1 : 7, calmMs = isSmoke ? 100 : 700
const periodMs = 1000 / tickHz

const sleep = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms) })

interface Storm extends Joined { readonly lateMs: number; readonly gapMs: number; /** Of the ticks while everybody leaves. */ readonly leavingMs: number }

const latestOf = (starts: readonly Start[]): number => Math.max(...latenessOf(starts, periodMs))

/** All of the crowd at once; resolves when the room has forgotten them, and gone on for a while. */
async function leave(server: ServeProcess, clients: Child): Promise<void> {
  const wrong = await clients.ask<string>({ kind: 'end' })
  if (wrong !== '') throw new Error(`${id}: ${wrong}`)
  await until(async () => await server.metric('kasagi_connections') === 1, `${id}: the crowd has left`)
  await sleep(calmMs)
}

/** The longest time between two flushes beyond a period. */
const gapOf = (starts: readonly Start[]): number => Math.max(...starts.slice(1).map(({ arrivedMs }, n) => arrivedMs - starts[n].arrivedMs)) - periodMs

export async function measureJoinStorm(server: ServeProcess, steal: Steal): Promise<Measured> {
  const room = await connect(server.url, { verify: true }).join(storm, { name: 'one' }), starts = hearStarts(id, room)
  const clients = await startChild(new URL('storm-clients.js', import.meta.url), [server.url])
  try {
    await starts.take(isSmoke ? 2 : 100)
    const take = async (): Promise<Storm> => {
      const asked = clients.ask<Joined>({ kind: 'storm', count: clientCount, withinMs: stormMs }), during = await starts.during(asked), joined = await asked
      checkMovers(id, room)
      const leaving = await starts.during(leave(server, clients))
      return { ...joined, lateMs: latestOf(during), gapMs: gapOf(during), leavingMs: latestOf(leaving) }
    }
    const busy = watch([{ name: 'the server', pid: server.pid() }, { name: 'the crowd', pid: clients.pid }, { name: 'this process', pid: process.pid }])
    const storms = await takeWindows(id, steal, take, stormsWanted)
    console.log(`  ${id}: main threads: ${busy()}`)
    await room.leave()
    return {
      figures: [
        figure(id, 'latest tick of a storm', 'start error', 'ms', storms.map(({ lateMs }) => lateMs)), figure(id, 'longest wait for a flush', 'beyond a period', 'ms', storms.map(({ gapMs }) => gapMs)),
        figure(id, 'latest tick while all leave', 'start error', 'ms', storms.map(({ leavingMs }) => leavingMs)),
        figure(id, 'join to whole world, median', 'latency', 'ms', storms.map(({ medianMs }) => medianMs)), figure(id, 'join to whole world, longest', 'latency', 'ms', storms.map(({ longestMs }) => longestMs)),
      ],
      ratios: {},
      targets: [judge('tick/join-storm', storms.map(({ lateMs }) => lateMs))],
    }
  } finally {
    await clients.end()
  }
}
