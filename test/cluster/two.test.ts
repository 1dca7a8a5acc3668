/** Two instances and one room: whoever connects to either sees the same. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../support/engine.js'
import { ownerOf, startCluster, type Cluster } from '../support/cluster.js'
import { count, countedOf, enter, expectSame, project, runners } from './rig.js'

describe('two instances', () => {
  let cluster: Cluster
  beforeAll(async () => { cluster = await startCluster(project('graceMs: 600, keepMs: 500,'), 2) })
  afterAll(() => cluster?.end())

  it('cluster: an input at one instance is seen at the other, both ways; events and rows of one\'s own too', async () => {
    const [ann, bob] = await Promise.all(cluster.instances.map(({ url }, n) => enter(url, 'one', ['ann', 'bob'][n])))
    const heard: number[] = []
    ann.room.on('counted', ({ by }) => heard.push(by))
    for (const player of [ann, bob, ann, bob]) await count(player)
    await until(() => heard.length === 4, () => `ann hears ${heard.length} events`)
    expect([countedOf(ann), countedOf(bob), ann.room.globals.total]).toEqual([2, 2, 4])
    await expectSame([ann, bob], 'both')
    expect(bob.room.tables.players.secret[bob.room.tables.players.mine!]).toBe(2)
    expect((await runners(cluster)).length).toBe(1)
    await Promise.all([ann.room.leave(), bob.room.leave()])
    await until(async () => await ownerOf(cluster, 'tally:one') === undefined, 'the empty room is let go of', 10_000)
  })

  it('cluster: a client that comes back at the other instance finds its session, and its inputs count once', async () => {
    const { door, instances } = cluster, ann = await enter(door.url, 'two', 'ann'), bob = await enter(instances[0].url, 'two', 'bob')
    for (let n = 0; n < 6; n++) {
      const counting = [count(ann), count(ann), count(ann)]
      door.cut()
      await Promise.all(counting)
      // What was asked before the cut may have lost its answer; it counts all the same.
      await count(ann)
      await count(bob)
    }
    await until(() => countedOf(ann) === 24, () => `all have counted: ${countedOf(ann)} of ${ann.sent}, refused ${ann.refused.join()}`)
    await expectSame([ann, bob], 'after the cuts')
    expect(ann.room.stats.reconnects).toBeGreaterThanOrEqual(6)
    await Promise.all([ann.room.leave(), bob.room.leave()])
  }, 30_000)

  it('cluster: what the room refuses it refuses at every instance, and who closes it closes it for all', async () => {
    const small = await startCluster(project('maxSessions: 2,'), 2)
    try {
      const [first, second] = small.instances
      const ann = await enter(first.url, 'small', 'ann'), bob = await enter(second.url, 'small', 'bob')
      for (const { url } of [first, second]) await expect(enter(url, 'small', 'cid')).rejects.toMatchObject({ code: 'room-full' })
      await count(bob)
      const closed = [ann, bob].map(({ room }) => new Promise((resolve) => { room.onStatus((told, code) => { if (told === 'closed') resolve(code) }) }))
      bob.room.send('close', {})
      expect(await Promise.all(closed)).toEqual(['room-closed', 'room-closed'])
      await until(async () => await ownerOf(small, 'tally:small') === undefined, 'it is let go of')
      expect(await small.redis.client.exists('room:{tally:small}:snapshot')).toBe(0)
      const again = await enter(second.url, 'small', 'bob')
      expect(again.room.globals.total).toBe(0)
      await again.room.leave()
    } finally {
      await small.end()
    }
  }, 30_000)
})
