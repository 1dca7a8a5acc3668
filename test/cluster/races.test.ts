/** Two instances that want the same rooms at the same moment; and an instance that dies with many clients. In full with LONG=1. */
import { afterEach, describe, expect, it } from 'vitest'
import { connect, type ClientRoom } from 'kasagi-engine/client'
import { defineSchema, table, text, u32 } from 'kasagi-engine/schema'
import { until } from '../support/engine.js'
import { startCluster, type Cluster } from '../support/cluster.js'
import { count, enter, expectSame, percentile, project, sleep } from './rig.js'

const isLong = process.env.LONG !== undefined

// Small, and still while nobody says anything: a thousand of them fit on one worker.
const spot = defineSchema('spot', {
  player: 'players', globals: { total: u32 }, tables: { players: table({ name: text(8) }, { capacity: 8, ids: true }) },
  inputs: { count: { by: u32 } }, join: { name: text(8) },
})
const spots = {
  'shared/spot.ts': `
import { defineSchema, table, text, u32 } from 'kasagi-engine/schema'
export const spot = defineSchema('spot', {
  player: 'players', globals: { total: u32 }, tables: { players: table({ name: text(8) }, { capacity: 8, ids: true }) },
  inputs: { count: { by: u32 } }, join: { name: text(8) },
})
`,
  'rooms/spot.ts': `
import { defineRoom } from 'kasagi-engine'
import { spot } from '../shared/spot.js'
export default defineRoom(spot, {
  tickHz: 0, maxSessions: 8, snapshotEveryMs: 60_000,
  onJoin(room, session, { name }) { session.row = room.tables.players.spawn({ name }, { id: name, owner: session }) },
  onLeave(room, { row }) { if (row !== undefined) room.tables.players.despawn(row) },
  onInput: { count(room, session, { by }) { room.globals.total += by } },
})
`,
}
/** For as many clients of one address as a test has. */
const crowd = ['--connections-per-address', '0', '--rooms-per-address', '0']

const names = ['ann', 'bob']
type Spot = ClientRoom<typeof spot>
const isTogether = (rooms: readonly Spot[]): boolean => rooms.every(({ status, globals, tables: { players } }) =>
  status === 'live' && globals.total === 2 && players.size === 2 && names.every((name) => players.get(name) !== undefined))
const told = ({ status, position, globals, tables: { players } }: Spot): string => `${status} at ${position.epoch} ${position.seq}, total ${globals.total}, ${[...players.rows()].map((row) => players.name.get(row)).join()}`

describe('races', () => {
  let cluster: Cluster | undefined
  afterEach(async () => { await cluster?.end(); cluster = undefined })

  const roomCount = isLong ? 1000 : 100
  it(`cluster: two instances race to open ${roomCount} rooms: each has one owner, and whoever joined at either is with the other`, async () => {
    // With many rooms a lease of the usual length: each is renewed and shown three times in one.
    cluster = await startCluster(spots, 2, {}, [...crowd, '--lease-ms', '5000', '--arena-bytes', '2047M', '--log-level', 'warn'])
    const { instances, redis } = cluster, rooms: Spot[][] = [], wave = 50, took: number[] = []
    for (let first = 0; first < roomCount; first += wave) {
      rooms.push(...await Promise.all(Array.from({ length: wave }, (_, n) => Promise.all(instances.map(async ({ url }, at) => {
        const began = performance.now(), room = await connect(url, { verify: true }).join(spot, { name: `r${first + n}`, join: { name: names[at] } })
        took.push(performance.now() - began)
        return room
      })))))
    }
    await Promise.all(rooms.flat().map(async (room) => { await room.ask('count', { by: 1 }) }))
    for (const [n, pair] of rooms.entries()) await until(() => isTogether(pair), () => `both are in r${n}: ${pair.map(told).join('; ')}`)
    for (const [ann, bob] of rooms) expect(ann.position).toEqual(bob.position)

    const leases = await Promise.all(rooms.map((_, n) => redis.client.hmget(`room:{spot:r${n}}:owner`, 'instance', 'epoch')))
    for (const [n, [instance, epoch]] of leases.entries()) {
      expect(instance, `r${n} has an owner`).not.toBeNull()
      expect(Number(epoch), `the owner of r${n}, as its clients see it`).toBe(rooms[n][0].position.epoch)
    }
    const roles = async (role: string): Promise<number[]> => Promise.all(instances.map(({ metric }) => metric(`kasagi_rooms_run{role="${role}"`)))
    await until(async () => (await roles('looking')).every((looking) => looking === 0), 'nobody looks for an owner any more')
    const running = await roles('running'), following = await roles('following')
    expect(running[0] + running[1]).toBe(roomCount)
    expect(following[0] + following[1]).toBe(roomCount)
    expect(new Set(leases.map(([instance]) => instance)).size).toBe(running.filter((owned) => owned > 0).length)
    for (const { metric } of instances) expect(await metric('kasagi_records_discarded_total')).toBe(0)
    console.log(`${roomCount} rooms raced for: they run ${running.join(' and ')}; joins took ${Math.round(percentile(took, 0.5))} ms at the median, ${Math.round(percentile(took, 0.95))} ms at the 95th percentile`)
  }, 300_000)

  const guestCount = isLong ? 300 : 60
  it(`cluster: an instance that follows a room is killed under ${guestCount} clients: their sessions are gone after their grace time, and nothing is left of them`, async () => {
    const graceMs = 1500
    cluster = await startCluster(project(`graceMs: ${graceMs}, maxSessions: 400,`), 2, {}, crowd)
    const [first, second] = cluster.instances, bob = await enter(first.url, 'ghosts', 'bob'), { players } = bob.room.tables
    const guests = []
    for (let n = 0; n < guestCount; n += 20) guests.push(...await Promise.all(Array.from({ length: Math.min(20, guestCount - n) }, (_, at) => enter(second.url, 'ghosts', `guest ${n + at}`))))
    await until(() => players.size === guestCount + 1, () => `bob sees ${players.size}`, 20_000)
    await Promise.all([...guests.slice(0, 20), bob].map(count))
    await second.kill('SIGKILL')
    const died = performance.now()
    await sleep(graceMs / 2)
    expect(players.size, 'within their grace time they are there').toBe(guestCount + 1)
    await until(() => players.size === 1, () => `bob sees ${players.size}`, 10_000)
    console.log(`${guestCount} sessions of a killed instance were gone after ${Math.round(performance.now() - died)} ms`)
    expect(players.get('bob')).toBeDefined()
    await until(async () => await first.metric('kasagi_sessions') === 1, 'bob\'s session alone is left')
    await Promise.all(guests.map(({ room }) => room.leave()))
    // Nor do they come back with the instance.
    await cluster.start(second)
    const late = await enter(second.url, 'ghosts', 'late')
    await count(late)
    await expectSame([bob, late], 'behind the death')
    expect(players.size).toBe(2)
  }, 120_000)
})
