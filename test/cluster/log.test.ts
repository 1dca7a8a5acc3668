/** Rooms whose records go to a log: what a client has seen as durable is never lost, whoever dies. */
import { afterEach, describe, expect, it } from 'vitest'
import { until } from '../support/engine.js'
import { leaseMs, startCluster, type Cluster } from '../support/cluster.js'
import { count, countedOf, enter, expectSame, project, runners, sleep, type Player } from './rig.js'

const isLong = process.env.LONG !== undefined

/** Every input but those that were refused counts, once. */
async function expectAllCounted(players: readonly Player[]): Promise<void> {
  for (const player of players) {
    await count(player)
    const wanted = (): number => player.sent - player.refused.filter((code) => code !== 'answer-lost').length
    await until(() => countedOf(player) === wanted(), () => `${player.name} has counted ${countedOf(player)} of ${player.sent}, refused ${player.refused.join()}`)
  }
}

describe('logs', () => {
  let cluster: Cluster | undefined
  afterEach(async () => { await cluster?.end(); cluster = undefined })

  const kills = isLong ? 50 : 2
  for (const [durability, hasEdge] of [['ops-sync', true], ['ops-sync', false], ['ops', false]] as const) {
    it(`cluster: ${durability}: owners are killed ${kills} times ${hasEdge ? 'beside edges' : 'with nobody beside them'}: every input counts, once`, async () => {
      cluster = await startCluster(project(`durability: '${durability}', graceMs: 60_000, keepMs: 60_000,`), 2, { isKept: true })
      const { instances, door } = cluster
      const players = hasEdge ? await Promise.all(instances.map(({ url }, n) => enter(url, 'logged', `p${n}`))) : [await enter(door.url, 'logged', 'alone')]
      let isOver = false
      const playing = players.map(async (player) => { while (!isOver) { void count(player); await sleep(15) } })
      for (let n = 0; n < kills; n++) {
        await until(async () => (await runners(cluster!)).length === 1, 'one instance runs the room')
        const [owner] = await runners(cluster)
        await sleep(150 + n % 7 * 70)
        await owner.kill('SIGKILL')
        await until(() => players.every(({ room }) => room.status === 'live') && players.some(({ lastMs }) => performance.now() - lastMs < 200) || hasEdge, 'somebody is live', 20_000)
        await sleep(leaseMs)
        await cluster.start(owner)
        await until(() => players.every(({ room }) => room.status === 'live'), () => `all are live: ${players.map(({ room }) => room.status).join()}`, 20_000)
      }
      isOver = true
      await Promise.all(playing)
      await expectAllCounted(players)
      await expectSame(players, 'behind the kills')
      console.log(`${durability} ${hasEdge ? 'with' : 'without'} edges: ${kills} kills, inputs ${players.map(({ sent }) => sent).join()}, expired ${players.map(({ refused }) => refused.filter((code) => code === 'expired').length).join()}, rewound ${players.map(({ rewound }) => rewound).join()}`)
      if (durability === 'ops-sync') for (const { rewound } of players) expect(rewound).toBe(0)
    }, 600_000)
  }

  it('cluster: ops-sync: while Redis stands still the room stands still; nothing is shown that the log does not have', async () => {
    cluster = await startCluster(project(`durability: 'ops-sync', graceMs: 60_000,`), 2, { isKept: true })
    const players = await Promise.all(cluster.instances.map(({ url }, n) => enter(url, 'frozen', `p${n}`)))
    await Promise.all(players.map(count))
    const before = players[0].room.position.seq
    cluster.redis.signal('SIGSTOP')
    await sleep(900)
    expect(players.map(({ room }) => room.position.seq - before <= 6)).toEqual([true, true])
    const stood = players[0].room.position.seq
    await sleep(500)
    expect(players[0].room.position.seq).toBe(stood)
    cluster.redis.signal('SIGCONT')
    await until(() => players.every(({ room }) => room.position.seq > stood + 10), 'the room goes on')
    await expectAllCounted(players)
    await expectSame(players, 'behind the standstill')
  }, 60_000)
})
