/** Redis goes away, stands still, forgets; and instances lose it. Under load; in full with LONG=1. */
import { afterEach, describe, expect, it } from 'vitest'
import { until } from '../support/engine.js'
import { ownerOf, startCluster, type Cluster } from '../support/cluster.js'
import { startRedis, type RedisServer } from '../support/redis.js'
import { count, countedOf, enter, expectSame, project, runners, sleep, type Player } from './rig.js'

const isLong = process.env.LONG !== undefined

/** All of them count until `done`, and once more; gives back when everything is over. */
async function playing<T>(players: readonly Player[], act: () => Promise<T>): Promise<T> {
  let isOver = false
  const all = players.map(async (player) => { while (!isOver) { void count(player); await sleep(40) } })
  try {
    return await act()
  } finally {
    isOver = true
    await Promise.all(all)
  }
}

const residentBytes = async ({ instances }: Cluster): Promise<number[]> => Promise.all(instances.map((instance) => instance.metric('process_resident_memory_bytes')))

/** Every input but those that were refused has counted once. */
async function expectAllCounted(players: readonly Player[], why: string): Promise<void> {
  for (const player of players) {
    const wanted = (): number => player.sent - player.refused.filter((code) => code === 'expired').length
    await until(() => countedOf(player) === wanted(), () => `${why}: ${player.name} has counted ${countedOf(player)} of ${player.sent}, refused ${player.refused.join()}`)
  }
}

describe('Redis away', () => {
  let cluster: Cluster | undefined
  afterEach(async () => { await cluster?.end(); cluster = undefined })

  for (const isForgetful of [false, true]) {
    const awaySeconds = isLong ? 60 : 4
    it(`cluster: Redis is gone for ${awaySeconds} s under load and back ${isForgetful ? 'empty' : 'with its data'}: the room ticks on, no room changes hands, all are equal within 5 s`, async () => {
      cluster = await startCluster(project('graceMs: 100_000,'), 3, { isKept: true })
      const { redis, instances } = cluster
      const players = await Promise.all(instances.map(({ url }, at) => enter(url, 'away', `p${at}`)))
      await Promise.all(players.map(count))
      const [owner] = await runners(cluster), at = instances.indexOf(owner), ruler = players[at], before = await ownerOf(cluster, 'tally:away')
      const memory = await residentBytes(cluster), ticks = ruler.room.globals.ticks
      ruler.longestMs = 0
      await playing([ruler], async () => {
        await redis.kill('SIGKILL')
        await sleep(awaySeconds * 1000)
      })
      expect(ruler.room.globals.ticks - ticks, 'the room has ticked on').toBeGreaterThan(awaySeconds * 20 * 0.8)
      expect(ruler.longestMs, 'longest time without a flush').toBeLessThan(700)
      const after = await residentBytes(cluster)
      await redis.start({ isForgetful })
      const began = performance.now()
      await expectSame(players, 'behind the outage')
      expect(performance.now() - began).toBeLessThan(5000)
      await Promise.all(players.map(count))
      await expectAllCounted([ruler], 'behind the outage')
      await expectSame(players, 'behind the outage, with inputs')
      expect(await ownerOf(cluster, 'tally:away')).toBe(before)
      expect(await runners(cluster)).toEqual([owner])
      const grown = after.map((bytes, n) => (bytes - memory[n]) / 1e6)
      console.log(`Redis away for ${awaySeconds} s: the instances grew by ${grown.map((mb) => mb.toFixed(1)).join(', ')} MB`)
      for (const mb of grown) expect(mb).toBeLessThan(60)
    }, 200_000)
  }

  it('cluster: Redis stands still for two leases (CLIENT PAUSE): the room ticks on and stays where it is', async () => {
    cluster = await startCluster(project('graceMs: 100_000,'), 2)
    const { redis, instances } = cluster
    const players = await Promise.all(instances.map(({ url }, at) => enter(url, 'paused', `p${at}`)))
    await Promise.all(players.map(count))
    const [owner] = await runners(cluster), ruler = players[instances.indexOf(owner)]
    ruler.longestMs = 0
    await playing([ruler], async () => {
      await redis.client.client('PAUSE', 2000)
      await sleep(3500)
    })
    expect(ruler.longestMs).toBeLessThan(700)
    await expectSame(players, 'behind the pause')
    await Promise.all(players.map(count))
    await expectAllCounted([ruler], 'behind the pause')
    expect((await runners(cluster)).length).toBe(1)
  }, 60_000)

  it('cluster: whenDetached freeze: while Redis is gone the room stands still, and goes on with everybody when it is back', async () => {
    cluster = await startCluster(project("graceMs: 100_000, whenDetached: 'freeze',"), 2, { isKept: true })
    const { redis, instances } = cluster
    const players = await Promise.all(instances.map(({ url }, at) => enter(url, 'freeze', `p${at}`)))
    await Promise.all(players.map(count))
    await redis.kill('SIGKILL')
    await until(() => players.every(({ room }) => room.detached), 'both are told')
    await sleep(200)
    const before = players.map(({ room }) => room.globals.ticks), ticks = Math.max(...before)
    await sleep(1000)
    expect(players.map(({ room }) => room.globals.ticks)).toEqual(before)
    await redis.start()
    await until(() => players.every(({ room }) => room.globals.ticks > ticks + 5), 'it goes on')
    await Promise.all(players.map(count))
    await expectSame(players, 'behind the standstill')
    await expectAllCounted(players, 'behind the standstill')
  }, 60_000)

  const cuts = isLong ? 120 : 6
  it(`cluster: every subscriber's connection is killed ${cuts} times, one a second: no gap goes unnoticed`, async () => {
    cluster = await startCluster(project('graceMs: 100_000,'), 2)
    const { redis, instances } = cluster
    const players = await Promise.all(instances.map(({ url }, at) => enter(url, 'cut', `p${at}`)))
    await playing(players, async () => {
      for (let n = 0; n < cuts; n++) {
        await redis.client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
        await sleep(1000)
      }
    })
    await Promise.all(players.map(count))
    await expectSame(players, 'behind the cuts')
    await expectAllCounted(players, 'behind the cuts')
  }, 300_000)

  it('cluster: a Redis fails over by hand to a copy that has forgotten the last second, three times: no gap goes unnoticed, all end equal', async () => {
    cluster = await startCluster(project('graceMs: 100_000,'), 2)
    const { redis, instances, wires } = cluster
    const players = await Promise.all(instances.map(({ url }, at) => enter(url, 'over', `p${at}`))), copies: RedisServer[] = [redis]
    try {
      await playing(players, async () => {
        for (let n = 0; n < 3; n++) {
          const primary = copies[copies.length - 1], copy = await startRedis({ replicaOf: primary.port })
          copies.push(copy)
          await until(async () => (await copy.client.info('replication')).includes('master_link_status:up'), 'the copy has all')
          await sleep(300)
          await copy.client.call('REPLICAOF', 'NO', 'ONE')
          await sleep(1000)
          // The old primary is still there, with whoever has not noticed.
          for (const [index, wire] of wires.entries()) {
            wire.ports = [copy.port]
            wire.cut()
            if (index === 0) await sleep(200)
          }
        }
        await sleep(1500)
      })
      await Promise.all(players.map(count))
      await expectSame(players, 'behind the failovers')
      await expectAllCounted(players, 'behind the failovers')
      expect((await runners(cluster)).length).toBe(1)
    } finally {
      for (const copy of copies.slice(1)) await copy.end()
    }
  }, 60_000)

  const cutSeconds = isLong ? 20 : 3
  for (const role of ['runs', 'follows']) {
    it(`cluster: the instance that ${role} the room is cut off from Redis for ${cutSeconds} s: all end equal, under one owner`, async () => {
      cluster = await startCluster(project('graceMs: 100_000,'), 3)
      const { instances, wires } = cluster
      const players = await Promise.all(instances.map(({ url }, at) => enter(url, 'cutoff', `p${at}`)))
      await Promise.all(players.map(count))
      const [owner] = await runners(cluster), at = (instances.indexOf(owner) + (role === 'runs' ? 0 : 1)) % 3, { ports } = wires[at]
      let late: Promise<Player> | undefined
      await playing(players, async () => {
        wires[at].ports = []
        wires[at].cut()
        await sleep(cutSeconds * 500)
        expect(players[at].room.detached, 'its client is told').toBe(true)
        // Whom only a cut off owner knows joins anew when the room goes on elsewhere.
        if (role === 'runs') late = enter(instances[at].url, 'cutoff', 'late')
        await sleep(cutSeconds * 500)
        wires[at].ports = ports
        await sleep(1000)
      })
      const began = performance.now()
      await Promise.all(players.map(count))
      await expectSame(late === undefined ? players : [...players, await late], 'behind the cut')
      expect(performance.now() - began).toBeLessThan(5000)
      expect(players[at].room.detached).toBe(false)
      if (late !== undefined) await until(async () => countedOf(await late!) >= 0, 'who joined meanwhile is in the room')
      await until(async () => (await runners(cluster!)).length === 1, 'one instance runs the room')
      // What the owner played alone is undone: told, and counted.
      const discarded = await instances[at].metric('kasagi_records_discarded_total')
      expect(discarded > 0 && players[at].rewound > 0, `${discarded} records discarded, rewound ${players[at].rewound} times`).toBe(role === 'runs')
      if (role === 'follows') await expectAllCounted(players, 'behind the cut')
      else await expectAllCounted(players.filter((_, n) => n !== at), 'behind the cut')
    }, 90_000)
  }
})
