/** Rooms that are opened at two instances and abandoned leave nothing behind, there or in Redis, but what is stored of them. In full with LONG=1. */
import { afterEach, describe, expect, it } from 'vitest'
import { until } from '../support/engine.js'
import { portOf, startCluster, type Cluster } from '../support/cluster.js'
import { startDoor, type Door } from '../support/door.js'
import { count, enter, project, type Player } from './rig.js'

const isLong = process.env.LONG !== undefined

/** What rooms take of the instances and of Redis. */
interface Taken { readonly rooms: number[]; readonly run: number[]; readonly sessions: number[]; readonly free: number[]; readonly largest: number[]; readonly keys: string[]; readonly channels: string[] }

async function taken({ instances, redis: { client } }: Cluster): Promise<Taken> {
  const of = (name: string): Promise<number[]> => Promise.all(instances.map(({ metric }) => metric(name)))
  const keys = (await client.keys('*')).map((key) => key.replace(/^instance:\{\d+\}$/, 'instance'))
  return {
    rooms: await of('kasagi_rooms'), run: await of('kasagi_rooms_run'), sessions: await of('kasagi_sessions'), free: await of('kasagi_arena_free_bytes'), largest: await of('kasagi_arena_largest_free_bytes'),
    keys: keys.filter((key) => !/^room:\{tally:r\d+\}:(epoch|snapshot)$/.test(key)).sort(), channels: (await client.call('PUBSUB', 'CHANNELS') as string[]).sort(),
  }
}

describe('memory', () => {
  let cluster: Cluster | undefined
  const doors: Door[] = []
  afterEach(async () => {
    for (const door of doors.splice(0)) await door.stop()
    await cluster?.end()
    cluster = undefined
  })

  const rounds = isLong ? 8 : 2, roomCount = isLong ? 200 : 60
  for (const durability of ['snapshot', 'ops']) {
    it(`cluster: ${durability}: ${roomCount} rooms are opened at two instances and abandoned, ${rounds} times over: memory, keys and channels are what they were`, async () => {
      cluster = await startCluster(project(`durability: '${durability}', graceMs: 300, keepMs: 200,`), 2, {}, ['--connections-per-address', '0', '--rooms-per-address', '0', '--log-level', 'warn'])
      for (const instance of cluster.instances) doors.push(await startDoor([portOf(instance)]))
      const { instances, redis: { client } } = cluster, before = await taken(cluster), resident: number[] = []
      for (let round = 0; round < rounds; round++) {
        for (let first = 0; first < roomCount; first += 10) {
          // Half of the rooms have somebody at either instance. In turn all of them leave, or are lost.
          const ports = doors.map((door) => door.ports), players: Player[] = []
          await Promise.all(Array.from({ length: 10 }, (_, n) => doors.map(async ({ url }, at) => {
            if (n % 2 === 0 || at === (n >> 1) % 2) players.push(await enter(url, `r${first + n}`, `p${at}`))
          })).flat())
          await Promise.all(players.map(count))
          if (first % 20 === 0) for (const door of doors) { door.ports = []; door.cut() }
          await Promise.all(players.map(({ room }) => room.leave()))
          for (const [at, door] of doors.entries()) door.ports = ports[at]
        }
        await until(async () => (await taken(cluster!)).rooms.every((rooms, n) => rooms === before.rooms[n]), 'all rooms are given back', 20_000)
        await until(async () => JSON.stringify(await taken(cluster!)) === JSON.stringify(before), 'everything is what it was', 10_000).catch(() => {})
        expect(await taken(cluster), `round ${round}`).toEqual(before)
        resident.push(...await Promise.all(instances.map(({ metric }) => metric('process_resident_memory_bytes'))))
      }
      expect(await client.exists(...Array.from({ length: roomCount }, (_, n) => `room:{tally:r${n}}:epoch`))).toBe(roomCount)
      const mb = resident.map((bytes) => Math.round(bytes / 1e6))
      console.log(`${durability}: ${rounds} rounds of ${roomCount} rooms: the instances take ${mb.join(', ')} MB`)
      // What was touched once is not given back to the system, and every round touches a little more of the arena; half of the rounds are for that.
      if (isLong) for (const at of [0, 1]) expect(mb.at(at - 2)! - mb[at + rounds], `growth of instance ${at}, MB`).toBeLessThan(60)
    }, 300_000)
  }
})
