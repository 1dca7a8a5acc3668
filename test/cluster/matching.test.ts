/** Joins without a name, at several instances: players who match meet, whichever instance they came to. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connect, type ClientRoom } from 'kasagi-engine/client'
import { defineSchema, table, text, u64, u8 } from 'kasagi-engine/schema'
import { until } from '../support/engine.js'
import { ownerOf, startCluster, type Cluster } from '../support/cluster.js'

const shape = "{ player: 'players', tables: { players: table({ name: text(20) }, { capacity: 20 }) }, inputs: { lock: { on: u8 }, level: { to: u8 } }, join: { name: text(20) }, listing: { level: u8, map: text(20), big: u64 } }"
const lobby = defineSchema('lobby', {
  player: 'players', tables: { players: table({ name: text(20) }, { capacity: 20 }) }, inputs: { lock: { on: u8 }, level: { to: u8 } }, join: { name: text(20) },
  listing: { level: u8, map: text(20), big: u64 },
})
type Lobby = ClientRoom<typeof lobby>
const files = {
  'shared/lobby.ts': `import { defineSchema, table, text, u64, u8 } from 'kasagi-engine/schema'\nexport const lobby = defineSchema('lobby', ${shape})\n`,
  'rooms/lobby.ts': `
import { defineRoom } from 'kasagi-engine'
import { lobby } from '../shared/lobby.js'
export default defineRoom(lobby, {
  tickHz: 0, maxSessions: 3, keepMs: 200, graceMs: 200,
  onJoin(room, session, { name }) { session.row = room.tables.players.spawn({ name }, { owner: session }) },
  onLeave(room, { row }) { if (row !== undefined) room.tables.players.despawn(row) },
  onInput: { lock(room, _, { on }) { room.lock(on === 1) }, level(room, _, { to }) { room.listing.level = to } },
})
`,
}

describe('matching', () => {
  let cluster: Cluster
  beforeAll(async () => { cluster = await startCluster(files, 2) })
  afterAll(() => cluster?.end())

  const join = (n: number, match?: { level?: number; map?: string; big?: bigint }, open: 'if-absent' | 'never' = 'if-absent'): Promise<Lobby> =>
    connect(cluster.instances[n % 2].url).join(lobby, { match, open, join: { name: `p${n}` } })
  /** The directory, as a plain client reads it. */
  const entryOf = async (id: string): Promise<{ instance: number; sessions: number; listing: object } | undefined> => {
    const text = await cluster.redis.client.hget('rooms:{lobby}', id)
    return text === null ? undefined : JSON.parse(text) as { instance: number; sessions: number; listing: object }
  }
  const hasSessions = (id: string, sessions: number): Promise<void> => until(async () => (await entryOf(id))?.sessions === sessions, `${id} is entered with ${sessions}`)
  const leave = (...rooms: Lobby[]): Promise<unknown> => Promise.all(rooms.map((room) => room.leave()))

  it('matching: two who join by match at different instances meet in one room; who wants another, or finds it full, gets another', async () => {
    const wanted = { level: 3, map: 'moor', big: 2n ** 60n }
    const first = await join(0, wanted)
    await hasSessions(first.id, 1)
    expect(await entryOf(first.id)).toMatchObject({ instance: await ownerOf(cluster, first.id), listing: { level: 3, map: 'moor', big: String(2n ** 60n) } })
    const second = await join(1, wanted), other = await join(1, { level: 4 })
    expect([second.id === first.id, other.id === first.id]).toEqual([true, false])
    await until(() => first.tables.players.size === 2, 'they see each other')
    for (const { url } of cluster.instances) {
      const listed = await connect(url).list(lobby, { map: 'moor' })
      expect(listed.map(({ sessions, ...room }) => [room, sessions >= 1 && sessions <= 2])).toEqual([[{ name: first.id.slice('lobby:'.length), ...wanted }, true]])
    }
    const third = await join(1, { map: 'moor' })
    expect(third.id).toBe(first.id)
    // Whatever the directory says by then: its owner refuses a fourth one, which goes elsewhere.
    const fourth = await join(1, wanted)
    expect(fourth.id).not.toBe(first.id)
    await leave(first, second, third, fourth, other)
  }, 20_000)

  it('matching: the fullest room with a seat is taken; a locked one is not in the directory, nor one that has closed', async () => {
    const match = { map: 'two' }, a = await join(0, match)
    await a.ask('lock', { on: 1 })
    await until(async () => await entryOf(a.id) === undefined, 'a locked room is taken out')
    const b = await join(0, match), b2 = await join(0, match)
    expect([b.id === a.id, b2.id === b.id]).toEqual([false, true])
    await hasSessions(b.id, 2)
    await a.ask('lock', { on: 0 })
    await hasSessions(a.id, 1)
    const c = await join(1, match)
    expect(c.id).toBe(b.id)
    await b.ask('level', { to: 9 })
    await until(async () => (await entryOf(b.id))?.listing !== undefined && JSON.stringify((await entryOf(b.id))!.listing).includes('"level":9'), 'the listing follows')
    expect((await join(1, { map: 'two', level: 0 })).id).toBe(a.id)
    await leave(a, b, b2, c)
    await until(async () => await entryOf(b.id) === undefined, 'a closed room is taken out', 10_000)
  }, 20_000)

  it('matching: who only joins what is open finds it at another instance, by match and by name', async () => {
    await expect(join(1, { map: 'three' }, 'never')).rejects.toMatchObject({ code: 'room-absent' })
    const a = await join(0, { map: 'three' })
    await hasSessions(a.id, 1)
    const b = await join(1, { map: 'three' }, 'never')
    const c = await connect(cluster.instances[1].url).join(lobby, { name: a.id.slice('lobby:'.length), open: 'never', join: { name: 'c' } })
    expect([b.id, c.id]).toEqual([a.id, a.id])
    await leave(a, b, c)
  }, 20_000)

  it('matching: nine at once at one instance fill three rooms of three', async () => {
    const rooms = await Promise.all(Array.from({ length: 9 }, () => join(0, { map: 'many' })))
    expect(new Set(rooms.map(({ id }) => id)).size).toBe(3)
    await leave(...rooms)
  }, 20_000)

  it('matching: an entry that somebody else has written lets nobody into what is no room', async () => {
    const until = Date.now() + 60_000, listing = { level: 0, map: 'bad', big: '0' }
    for (const id of ['lobby:', 'lobby:\u0000', 'other:x', 'lobby', `lobby:${'x'.repeat(300)}`]) await cluster.redis.client.hset('rooms:{lobby}', id, JSON.stringify({ until, instance: 77, sessions: 2, listing }))
    await cluster.redis.client.hset('rooms:{lobby}', 'lobby:none', JSON.stringify({ until, instance: 77, sessions: 1, listing: [] }))
    const a = await join(0, { map: 'bad' })
    expect(a.id).toMatch(/^lobby:[0-9a-f]{8}$/)
    await leave(a)
  }, 20_000)
})
