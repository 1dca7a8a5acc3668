/**
 * What a delivery costs a main thread: one room of 1,000 entities that all move 20 times a second, the same count of clients at an instance that has no Redis,
 * at the owner and at an edge, at the same time. CPU of the three main threads over the same windows; clients are a process of their own.
 */
import type { ServeProcess } from '../../test/support/process.js'
import type { RedisServer } from '../../test/support/redis.js'
import { startChild, type Child } from '../child.js'
import { mainThreadNs, watch } from '../cpu.js'
import { judge, takeWindows, type Steal } from '../paired.js'
import { figure, isSmoke, median, type Measured } from '../report.js'

const counts = isSmoke ? [5] : [20, 200]
const windowMs = isSmoke ? 300 : 1500, warmMs = isSmoke ? 300 : 15_000
const subjects = ['no Redis', 'the owner', 'an edge'] as const

const sleep = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms) })

/** CPU microseconds of each main thread per delivery to one of its clients, over one window. */
async function window(servers: readonly ServeProcess[], clients: Child): Promise<number[]> {
  const read = async (): Promise<{ ns: number[]; received: number[] }> =>
    ({ received: await clients.ask<number[]>({ kind: 'count' }), ns: servers.map((server) => mainThreadNs(server.pid())) })
  const before = await read()
  await sleep(windowMs)
  const after = await read()
  return servers.map((_, index) => {
    const received = after.received[index] - before.received[index]
    if (received === 0) throw new Error(`cluster/delivery: ${subjects[index]} delivered nothing`)
    return (after.ns[index] - before.ns[index]) / 1000 / received
  })
}

export async function measureCrowd(redis: RedisServer, [owner, edge]: readonly ServeProcess[], alone: ServeProcess, steal: Steal): Promise<Measured> {
  const measured: Measured = { figures: [], ratios: {}, targets: [] }, servers = [alone, owner, edge]
  // Whoever comes first makes its instance the owner: clients join in the order of these.
  const clients = await startChild(new URL('crowd-clients.js', import.meta.url), servers.map(({ url }) => url))
  try {
    await clients.ask({ kind: 'warm up', ms: warmMs })
    for (const count of counts) {
      const id = `cluster/delivery-${count}`
      await clients.ask({ kind: 'join', count })
      await window(servers, clients)
      const busy = watch([
        ...subjects.map((name, index) => ({ name, pid: servers[index].pid() })), { name: 'clients', pid: clients.pid }, { name: 'Redis', pid: redis.pid() },
      ])
      const windows = await takeWindows(id, steal, () => window(servers, clients))
      console.log(`  ${id}: main threads: ${busy()}`)
      const wrong = await clients.ask<string>({ kind: 'check' })
      if (wrong !== '') throw new Error(`${id}: ${wrong}`)
      measured.figures.push(...subjects.map((subject, index) => figure(id, subject, 'main-thread CPU per delivery', 'us', windows.map((each) => each[index]))))
      const ratios = windows.map(([local, , followed]) => followed / local)
      measured.ratios[id] = median(ratios)
      // With few clients a record's own way through Redis is most of it: told, and no target.
      if (count === counts.at(-1)) measured.targets.push(judge('cluster/delivery', ratios))
    }
  } finally {
    await clients.end()
  }
  return measured
}
