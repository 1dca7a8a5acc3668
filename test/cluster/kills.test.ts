/** The instance that runs a room is killed, again and again, under load: three times, and with LONG=1 fifty. */
import { afterEach, describe, expect, it } from 'vitest'
import { until } from '../support/engine.js'
import { leaseMs, startCluster, type Cluster } from '../support/cluster.js'
import type { ServeProcess } from '../support/process.js'
import { count, countedOf, enter, expectSame, goesOn, percentile, play, project, runners, sleep } from './rig.js'

const isLong = process.env.LONG !== undefined

describe('owners that die', () => {
  let cluster: Cluster | undefined
  afterEach(async () => { await cluster?.end(); cluster = undefined })

  const kills = isLong ? 50 : 3
  it(`cluster: the owner is killed ${kills} times under load: a new one within the lease and half a second, from what the others had; nobody's state is wrong`, async () => {
    cluster = await startCluster(project('graceMs: 5000,'), 3)
    const { instances, door } = cluster, took: number[] = []
    const roaming = [await enter(door.url, 'arena', 'r1'), await enter(door.url, 'arena', 'r2'), await enter(door.url, 'arena', 'r3')]
    const stop = play(roaming, 15)
    for (let n = 0; n < kills; n++) {
      // One client that stays at each instance: so each has a replica.
      const fixed = await Promise.all(instances.map(({ url }, at) => enter(url, 'arena', `f${n}.${at}`)))
      await until(async () => (await runners(cluster!)).length === 1, 'one instance runs the room')
      const [owner] = await runners(cluster), others = fixed.filter((_, at) => instances[at] !== owner)
      await sleep(200 + n % 5 * 90)
      const { epoch } = fixed[0].room.position
      // Somebody new comes in the midst of it.
      const dead = owner.kill('SIGKILL'), late = enter(instances.find((instance) => instance !== owner)!.url, 'arena', `late ${n}`)
      took.push(Math.max(...await goesOn(others, epoch)))
      await dead
      const newcomer = await late
      await cluster.start(owner)
      await until(() => roaming.every(({ room }) => room.status === 'live'), () => `all are back: ${roaming.map(({ room }) => room.status).join()}`, 15_000)
      await expectSame([...others, newcomer], `behind kill ${n}`)
      await Promise.all([...fixed, newcomer].map(({ room }) => room.leave()))
    }
    await stop()
    await Promise.all(roaming.map(count))
    await sleep(300)
    await expectSame(roaming, 'at the end')
    const lost = roaming.map((player) => player.sent - player.refused.filter((code) => code === 'expired').length - countedOf(player))
    console.log(`${kills} kills: a new owner after ${Math.round(percentile(took, 0.5))} ms at the median, ${Math.round(percentile(took, 0.95))} ms at the 95th percentile; `
      + `inputs ${roaming.map(({ sent }) => sent).join()}, expired ${roaming.map(({ refused }) => refused.filter((code) => code === 'expired').length).join()}, lost ${lost.join()}, rewound ${roaming.map(({ rewound }) => rewound).join()}`)
    expect(percentile(took, 0.95)).toBeLessThan(leaseMs + 500)
    // What a dead owner had told its own clients and nobody else: a flush or two.
    for (const player of lost) expect(player).toBeLessThanOrEqual(kills * 8)
    for (const player of lost) expect(player).toBeGreaterThanOrEqual(0)
  }, 600_000)

  it('cluster: a room that no instance is left of comes back from its snapshot', async () => {
    cluster = await startCluster(project('graceMs: 10_000, keepMs: 30_000,'), 2)
    const [first, second] = cluster.instances, ann = await enter(cluster.door.url, 'alone', 'ann')
    for (let n = 0; n < 10; n++) await count(ann)
    await sleep(800)
    const before = countedOf(ann), { epoch } = ann.room.position
    const [owner] = await runners(cluster), other: ServeProcess = owner === first ? second : first
    await owner.kill('SIGKILL')
    const [ms] = await goesOn([ann], epoch)
    expect(ms).toBeLessThan(1.5 * leaseMs + 1500)
    expect(countedOf(ann)).toBe(before)
    expect((await runners(cluster))[0]).toBe(other)
    await ann.room.leave()
  }, 60_000)
})

