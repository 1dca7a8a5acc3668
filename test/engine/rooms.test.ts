/** What rooms promise their authors and clients, through real sockets and workers. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connect, type ClientRoom } from 'kasagi-engine/client'
import { bool, choice, defineSchema, f32, ref, table, text, u16, u32, u8 } from 'kasagi-engine/schema'
import { WebSocket } from 'ws'
import { fullTablesOf, publicTablesOf } from '../../src/schema/tables-of.js'
import { writeJoin } from '../../src/wire/client-messages.js'
import { packToBytes } from '../../src/wire/fields.js'
import { startTestEngine, until, type TestEngine } from '../support/engine.js'

const schemaText = `
import { bool, choice, defineSchema, f32, ref, table, text, u16, u32, u8 } from 'kasagi-engine/schema'
export const club = defineSchema('club', {
  player: 'guests',
  globals: { mood: choice('calm', 'loud'), open: bool.default(true), derivedSum: u32, host: ref('guests'), found: u32 },
  tables: { guests: table({ name: text(20), drinks: u8, pin: u16.to('owner') }, { capacity: 10, ids: true }),
            notes: table({ of: ref('guests'), line: text(40) }, { capacity: 20, to: 'owner' }),
            spots: table({ x: f32, y: f32 }, { capacity: 500, grid: { x: 'x', y: 'y', cell: 50 } }) },
  inputs: { shout: { line: text(40) }, whisper: { to: text(20), line: text(40) }, note: { line: text(40) }, drink: {}, kick: { who: text(20) }, close: {}, lock: {}, look: { x: f32, y: f32, radius: f32 }, vanish: {}, burst: { count: u16 } },
  events: { said: { line: text(40) }, told: { line: text(40) } }, join: { name: text(20) }, options: { spots: u16.default(200) } })
`
const club = defineSchema('club', {
  player: 'guests',
  globals: { mood: choice('calm', 'loud'), open: bool.default(true), derivedSum: u32, host: ref('guests'), found: u32 },
  tables: {
    guests: table({ name: text(20), drinks: u8, pin: u16.to('owner') }, { capacity: 10, ids: true }),
    notes: table({ of: ref('guests'), line: text(40) }, { capacity: 20, to: 'owner' }),
    spots: table({ x: f32, y: f32 }, { capacity: 500, grid: { x: 'x', y: 'y', cell: 50 } }),
  },
  inputs: {
    shout: { line: text(40) }, whisper: { to: text(20), line: text(40) }, note: { line: text(40) }, drink: {}, kick: { who: text(20) }, close: {}, lock: {},
    look: { x: f32, y: f32, radius: f32 }, vanish: {}, burst: { count: u16 },
  },
  events: { said: { line: text(40) }, told: { line: text(40) } },
  join: { name: text(20) },
  options: { spots: u16.default(200) },
})
const roomText = `
import { defineRoom } from 'kasagi-engine'
import { club } from '../shared/club.js'
const sessionOf = (room, name) => [...room.sessions.values()].find((session) => session.row !== undefined && room.tables.guests.at(session.row).name === name)
export default defineRoom(club, {
  tickHz: 0, maxSessions: 4, keepMs: 150, eventsPerFlushMax: 10,
  derive: () => ({ sum: 41 }),
  onCreate(room) { for (let n = 0; n < room.options.spots; n++) room.tables.spots.spawn({ x: (n * 37) % 1000, y: (n * 91) % 1000 }); room.globals.derivedSum = room.derived.sum + 1 },
  onJoin(room, session, { name }) {
    session.row = room.tables.guests.spawn({ name, pin: 1000 + name.length }, { id: name, owner: session })
    room.globals.host ??= room.tables.guests.ref(session.row)
  },
  onLeave(room, { row }) { if (row !== undefined) room.tables.guests.despawn(row) },
  onInput: {
    shout(room, _, { line }) { room.globals.mood = 'loud'; room.emit('said', { line }) },
    whisper(room, _, { to, line }) { room.emit('told', { line }, sessionOf(room, to)) },
    note(room, session, { line }) { room.tables.notes.spawn({ of: room.tables.guests.ref(session.row), line }, { owner: session }) },
    drink(room, { row }) { room.tables.guests.at(row).drinks++ },
    kick(room, _, { who }) { sessionOf(room, who).end() },
    close(room) { room.close('closing-time') },
    lock(room) { room.lock() },
    look(room, _, { x, y, radius }) { room.globals.found = [...room.tables.spots.near(x, y, radius)].length },
    vanish(room, { row }) { room.tables.guests.despawn(row) },
    burst(room, _, { count }) { for (let n = 0; n < count; n++) room.emit('said', { line: String(n) }) },
  },
})
`
type Club = ClientRoom<typeof club>

describe('rooms', () => {
  let server: TestEngine, names = 0
  beforeAll(async () => { server = await startTestEngine({ 'shared/club.ts': schemaText, 'rooms/club.ts': roomText }) })
  afterAll(() => server.stop())

  const party = (...guests: string[]): Promise<Club[]> => {
    const name = `party ${names++}`
    return Promise.all(guests.map((guest) => connect(server.url, { verify: true }).join(club, { name, join: { name: guest } })))
  }
  const leave = (rooms: readonly Club[]): Promise<unknown> => Promise.all(rooms.map((room) => room.leave()))

  it('rooms: events to all reach all in order, events to one reach that one', async () => {
    const [ann, bob] = await party('ann', 'bob'), heard: string[] = []
    for (const [who, room] of [['ann', ann], ['bob', bob]] as const) {
      room.on('said', ({ line }) => heard.push(`${who} ${line}`))
      room.on('told', ({ line }) => heard.push(`${who} told ${line}`))
    }
    await ann.ask('shout', { line: 'one' })
    await ann.ask('whisper', { to: 'bob', line: 'psst' })
    await ann.ask('shout', { line: 'two' })
    await until(() => heard.length === 5, 'five events are heard')
    expect(heard.filter((line) => line.startsWith('ann'))).toEqual(['ann one', 'ann two'])
    expect(heard.filter((line) => line.startsWith('bob'))).toEqual(['bob one', 'bob told psst', 'bob two'])
    expect(ann.globals.mood).toBe('loud')
    await leave([ann, bob])
  })

  it('rooms: events beyond eventsPerFlushMax are dropped, and clients are told how many', async () => {
    const [ann] = await party('ann')
    let heard = 0
    ann.on('said', () => { heard++ })
    await ann.ask('burst', { count: 25 })
    expect([heard, ann.stats.missedEvents]).toEqual([10, 15])
    await leave([ann])
  })

  it('rooms: owner rows and fields reach their owner alone; mine, refs, ids and defaults are what the room says', async () => {
    const [ann, bob] = await party('ann', 'bob')
    await ann.ask('note', { line: 'my secret' })
    await bob.ask('drink', {})
    await until(() => ann.tables.guests.get('bob')?.drinks === 1, 'ann sees bob drink')
    expect([...ann.tables.notes.rows()].map((row) => ann.tables.notes.line.get(row))).toEqual(['my secret'])
    expect(bob.tables.notes.size).toBe(0)
    expect([ann.tables.guests.pin[ann.tables.guests.mine!], ann.tables.guests.pin[bob.tables.guests.mine!]]).toEqual([1003, 0])
    expect([ann.globals.open, ann.globals.derivedSum]).toEqual([true, 42])
    const host = ann.tables.guests.row(ann.globals.host as never)!
    expect(['ann', 'bob']).toContain(ann.tables.guests.name.get(host))
    const guest = ann.tables.guests.at(host).name === 'ann' ? ann : bob, other = guest === ann ? bob : ann
    await guest.ask('vanish', {})
    expect(guest.tables.guests.mine).toBeUndefined()
    await until(() => other.globals.host === null, 'a ref reads null once its target is despawned')
    await leave([ann, bob])
  })

  it('rooms: near finds exactly the rows within the radius', async () => {
    const [ann] = await party('ann'), { spots } = ann.tables
    for (const [x, y, radius] of [[500, 500, 120], [0, 0, 60], [990, 10, 300], [500, 500, 5000], [-400, -400, 50]]) {
      await ann.ask('look', { x, y, radius })
      const within = [...spots.rows()].filter((row) => Math.hypot(spots.x[row] - x, spots.y[row] - y) <= radius).length
      expect(ann.globals.found).toBe(within)
    }
    await leave([ann])
  })

  it('rooms: a session that the room ends, a closed room and a full or locked one tell their clients which', async () => {
    const [ann, bob] = await party('ann', 'bob'), ends: string[] = []
    bob.onStatus((status, code) => ends.push(`bob ${status} ${code}`))
    ann.onStatus((status, code) => ends.push(`ann ${status} ${code}`))
    await ann.ask('kick', { who: 'bob' })
    await until(() => bob.status === 'closed', 'bob is out')
    ann.send('close', {})
    await until(() => ann.status === 'closed', 'the room is closed')
    expect(ends).toEqual(['bob closed session-ended', 'ann closed room-closed'])
    const crowd = await party('a', 'b', 'c', 'd')
    const name = crowd[0].id.slice('club:'.length)
    await expect(connect(server.url).join(club, { name, join: { name: 'e' } })).rejects.toMatchObject({ code: 'room-full' })
    await crowd[0].ask('lock', {})
    await crowd[1].leave()
    await expect(connect(server.url).join(club, { name, join: { name: 'e' } })).rejects.toMatchObject({ code: 'room-locked' })
    await leave(crowd)
  })

  it('rooms: an empty room is kept for keepMs and then closed; a join without a name takes an open room', async () => {
    const [ann] = await party('ann')
    await ann.ask('drink', {})
    const anywhere = await connect(server.url).join(club, { join: { name: 'bob' } })
    expect(anywhere.id.startsWith('club:')).toBe(true)
    await leave([ann, anywhere])
    await until(async () => await server.metric('kasagi_rooms') === 0, 'all rooms are closed')
    const again = await connect(server.url).join(club, { name: ann.id.slice('club:'.length), join: { name: 'ann' } })
    expect(again.tables.guests.get('ann')?.drinks).toBe(0)
    await leave([again])
  })

  it('rooms: a client that is sent away leaves no session behind', async () => {
    await until(async () => await server.metric('kasagi_rooms') === 0, 'all rooms are closed')
    const [ann] = await party('ann'), name = ann.id.slice('club:'.length)
    const socket = new WebSocket(server.url), tables = publicTablesOf(fullTablesOf(club, []))
    socket.on('open', () => socket.send(writeJoin({ schema: 'club', schemaHash: 0, name, open: 0, join: packToBytes(tables.join, { name: 'rude' }), options: new Uint8Array(0) })))
    await until(() => ann.tables.guests.get('rude') !== undefined, 'the rude guest is in')
    socket.send('text is not spoken here')
    await until(() => ann.tables.guests.get('rude') === undefined, 'the rude guest is out')
    await leave([ann])
  })

  it('rooms: a room that is empty only briefly goes on', async () => {
    const [ann] = await party('ann'), name = ann.id.slice('club:'.length)
    await ann.ask('shout', { line: 'x' })
    await ann.leave()
    const back = await connect(server.url).join(club, { name, join: { name: 'ann' } })
    expect(back.globals.mood).toBe('loud')
    await leave([back])
  })

  it('rooms: in a full room the seat of whoever leaves is taken in the very same tick, again and again', async () => {
    const pair = defineSchema('pair', { player: 'guests', tables: { guests: table({ name: text(20) }, { capacity: 2 }) }, join: { name: text(20) } })
    const small = await startTestEngine({
      'shared/pair.ts': "import { defineSchema, table, text } from 'kasagi-engine/schema'\nexport const pair = defineSchema('pair', { player: 'guests', tables: { guests: table({ name: text(20) }, { capacity: 2 }) }, join: { name: text(20) } })",
      'rooms/pair.ts': "import { defineRoom } from 'kasagi-engine'\nimport { pair } from '../shared/pair.js'\nexport default defineRoom(pair, { tickHz: 10, maxSessions: 2 })",
    })
    const sit = (name: string): Promise<ClientRoom<typeof pair>> => connect(small.url).join(pair, { name: 'main', join: { name } })
    let seated = await Promise.all([sit('ann'), sit('bob')])
    for (let round = 0; round < 5; round++) {
      await Promise.all(seated.map((room) => room.leave()))
      seated = await Promise.all([sit(`ann ${round}`), sit(`bob ${round}`)])
    }
    expect(seated.map(({ status }) => status)).toEqual(['live', 'live'])
    expect(await small.metric('kasagi_worker_deaths_total')).toBe(0)
    await expect(sit('cid')).rejects.toMatchObject({ code: 'room-full' })
    await small.stop()
  })
})
