/** Rooms that outlive their process: stored by cadence, at a stop and when they are empty; and clients that come back by themselves. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { connect, type ClientRoom } from 'kasagi-engine/client'
import { choice, defineSchema, f32, quantized, ref, table, text, u16, u32 } from 'kasagi-engine/schema'
import { nextFloat, seedPrng } from '../../src/base/prng.js'
import { until } from '../support/engine.js'
import { createServeProcess, type ServeProcess } from '../support/process.js'

const fields = `player: 'players', globals: { total: u32, mood: choice('calm', 'loud'), creates: u32, drops: u32, oldest: ref('things') },
  tables: { players: table({ counted: u32, secret: u16.to('owner'), hidden: u32.to('server'), name: text(24) }, { capacity: 64, ids: true }),
            things: table({ x: quantized(0, 1000, 0.1), y: f32, label: text(12) }, { capacity: 500 }),
            deck: table({ card: u16 }, { capacity: 60, to: 'server' }) },
  inputs: { count: { by: u32 }, close: {} }, events: { rang: {} }, join: { name: text(24) }, options: { things: u16.default(100) }`
const schemaText = `
import { choice, defineSchema, f32, quantized, ref, table, text, u16, u32 } from 'kasagi-engine/schema'
export const vault = defineSchema('vault', { ${fields} })
`
const vault = defineSchema('vault', {
  player: 'players',
  globals: { total: u32, mood: choice('calm', 'loud'), creates: u32, drops: u32, oldest: ref('things') },
  tables: {
    players: table({ counted: u32, secret: u16.to('owner'), hidden: u32.to('server'), name: text(24) }, { capacity: 64, ids: true }),
    things: table({ x: quantized(0, 1000, 0.1), y: f32, label: text(12) }, { capacity: 500 }),
    deck: table({ card: u16 }, { capacity: 60, to: 'server' }),
  },
  inputs: { count: { by: u32 }, close: {} },
  events: { rang: {} },
  join: { name: text(24) },
  options: { things: u16.default(100) },
})

const roomText = (settings: string): string => `
import { defineRoom } from 'kasagi-engine'
import { vault } from '../shared/vault.js'
export default defineRoom(vault, { ${settings} timers: { ring: {} },
  derive: (room) => ({ cards: room.tables.deck.size }),
  onCreate(room) {
    const { things, deck } = room.tables
    room.globals.creates++
    for (let n = 0; n < room.options.things; n++) things.spawn({ x: n * 3, y: n, label: 'thing ' + n })
    for (let n = 0; n < 20; n++) { things.despawn(n * 2); deck.spawn({ card: n }) }
    room.globals.oldest = things.ref(51)
    room.after(300, 'ring')
  },
  onJoin(room, session, { name }) { session.row = room.tables.players.spawn({ name, secret: 7, hidden: 9 }, { id: name, owner: session }) },
  onDrop(room) { room.globals.drops++ },
  onLeave(room, { row }) { if (row !== undefined) room.tables.players.despawn(row) },
  onTimer: { ring(room) { room.emit('rang', {}); room.after(300, 'ring') } },
  onInput: {
    count(room, { row }, { by }) {
      const { players, things, deck } = room.tables
      room.globals.total += by
      room.globals.mood = room.globals.total % 2 === 1 ? 'loud' : 'calm'
      players.counted[row] += by
      players.secret[row]++
      players.hidden[row]++
      if (deck.size > 0 && room.random.int(4) === 0) deck.despawn([...deck.rows()][0])
      things.spawn({ x: room.random.float() * 1000, y: room.globals.total, label: 'new ' + deck.size })
      things.despawn([...things.rows()].find((other) => other !== 51))
    },
    close(room) { room.close('over') },
  },
  onTick(room) { const { things } = room.tables; for (const row of things.rows()) things.y[row] += 0.25 },
})
`
type Vault = ClientRoom<typeof vault>
const picture = ({ globals, tables: { players, things } }: Vault): string => [
  JSON.stringify([globals.total, globals.mood, globals.creates, globals.oldest]),
  ...[...players.rows()].map((row) => `player ${row} ${players.at(row).name} ${players.counted[row]}`),
  ...[...things.rows()].map((row) => `thing ${row} ${things.x[row].toFixed(2)} ${things.y[row]} ${things.at(row).label}`),
].join('\n')

describe('persistence', () => {
  let server: ServeProcess
  const prepare = async (settings: string): Promise<void> => {
    server = await createServeProcess({ 'shared/vault.ts': schemaText, 'rooms/vault.ts': roomText(settings) })
    await server.start()
  }
  const join = (name: string, room = 'main'): Promise<Vault> => connect(server.url, { verify: true }).join(vault, { name: room, join: { name } })
  beforeEach(() => {})
  afterEach(() => server.end())

  it('persistence: a stop stores every room, and a start brings it back whole: rows, refs, owners, timers, random numbers, sessions', async () => {
    await prepare('tickHz: 0, keepMs: 60_000,')
    const ann = await join('ann')
    for (let n = 0; n < 50; n++) ann.send('count', { by: 1 })
    await ann.ask('count', { by: 1 })
    const before = picture(ann), { sessionId } = ann, { mine } = ann.tables.players, told: string[] = []
    ann.onStatus((status) => told.push(status))
    await server.kill('SIGTERM')
    await server.start()
    await until(() => ann.status === 'live', 'ann is back')
    expect(picture(ann)).toBe(before)
    expect([ann.sessionId, ann.tables.players.mine, ann.tables.players.secret[mine!], ann.globals.drops]).toEqual([sessionId, mine, 58, 1])
    expect(told).not.toContain('rewound')
    let rang = 0
    ann.on('rang', () => { rang++ })
    await until(() => rang > 0, 'the timer goes on')
    await ann.ask('count', { by: 1 })
    expect([ann.globals.total, ann.globals.creates, ann.stats.hashMismatches]).toEqual([52, 1, 0])
    const bob = await join('bob')
    expect(picture(bob)).toBe(picture(ann))
    expect(server.output).toContain('rooms kept in')
  })

  it('persistence: a room that nobody is in is stored and closed after keepMs, and comes back without onCreate', async () => {
    await prepare('tickHz: 20, keepMs: 100,')
    const ann = await join('ann')
    await ann.ask('count', { by: 5 })
    await ann.leave()
    await until(async () => await server.metric('kasagi_rooms ') === 0, 'the room is closed')
    const again = await join('ann')
    expect([again.globals.total, again.globals.creates, again.tables.players.size]).toEqual([5, 1, 1])
    again.send('close', {})
    await until(() => again.status === 'closed', 'its author has closed it')
    await until(async () => await server.metric('kasagi_rooms ') === 0, 'the room is gone')
    const fresh = await join('ann')
    expect([fresh.globals.total, fresh.globals.creates]).toEqual([0, 1])
  })

  const rounds = process.env.LONG === undefined ? 3 : 20
  it(`persistence: kill -9 under load, ${rounds} times: rooms are back at their last snapshot, clients resume by themselves or are told rewound`, async () => {
    await prepare('tickHz: 20, snapshotEveryMs: 200, graceMs: 60_000,')
    const seed = Number(process.env.SEED ?? Date.now() >>> 0), random = new Uint32Array(4)
    seedPrng(random, seed)
    const rooms = await Promise.all(['ann', 'bob', 'cid'].map((name) => join(name)))
    const ids = rooms.map(({ sessionId }) => sessionId), told = rooms.map((): string[] => [])
    rooms.forEach((room, n) => room.onStatus((status) => told[n].push(status)))
    const load = setInterval(() => { for (const room of rooms) if (room.status === 'live') room.send('count', { by: 1 }) }, 10)
    try {
      for (let round = 0; round < rounds; round++) {
        await new Promise((resolve) => { setTimeout(resolve, 250 + nextFloat(random) * 500) })
        const seen = Math.max(...rooms.map(({ globals }) => globals.total))
        await server.kill('SIGKILL')
        for (const list of told) list.length = 0
        await server.start()
        await until(() => rooms.every(({ status }) => status === 'live'), `SEED=${seed} round ${round}: all are back`, 20_000)
        expect(rooms.map(({ sessionId }) => sessionId), `SEED=${seed} round ${round}`).toEqual(ids)
        // What the last snapshot did not have is lost, and whoever had seen it is told.
        const { total } = rooms[0].globals
        if (total < seen) expect(told.flat(), `SEED=${seed} round ${round}`).toContain('rewound')
        expect(total).toBeGreaterThanOrEqual(0)
      }
    } finally {
      clearInterval(load)
    }
    await Promise.all(rooms.map((room) => room.ask('count', { by: 1 })))
    await until(() => rooms.every((room) => picture(room).split('\n')[0] === picture(rooms[0]).split('\n')[0]), `SEED=${seed} all see the same`)
    const { players } = rooms[0].tables
    expect([...players.rows()].reduce((sum, row) => sum + players.counted[row], 0), `SEED=${seed}`).toBe(rooms[0].globals.total)
    expect(rooms.map(({ stats }) => stats.hashMismatches)).toEqual([0, 0, 0])
  }, 300_000)

  it('persistence: fields that were added, removed or widened are read by name; what cannot be is told, and stays as it is stored', async () => {
    await prepare('tickHz: 0,')
    const ann = await join('ann')
    await ann.ask('count', { by: 3 })
    await server.kill('SIGTERM')
    const { writeFileSync, readFileSync } = await import('node:fs')
    const file = `${server.folder}/project/shared/vault.ts`, text0 = readFileSync(file, 'utf8')
    const changed = text0.replace('total: u32', 'total: f64, added: u8.default(5)').replace('y: f32, ', '').replace('card: u16', 'card: u32').replace("choice('calm', 'loud')", "choice('new', 'loud', 'calm')")
    writeFileSync(file, changed.replace('import { choice', 'import { f64, u8, choice'))
    writeFileSync(`${server.folder}/project/rooms/vault.ts`, roomText('tickHz: 0,').replace(/, y: [a-z.]+/g, '').replace(/, y: n/, '').replace(/onTick.*/, ''))
    await server.start()
    const { f64, u8 } = await import('kasagi-engine/schema')
    const newer = defineSchema('vault', {
      player: 'players',
      globals: { total: f64, added: u8.default(5), mood: choice('new', 'loud', 'calm'), creates: u32, drops: u32, oldest: ref('things') },
      tables: {
        players: table({ counted: u32, secret: u16.to('owner'), hidden: u32.to('server'), name: text(24) }, { capacity: 64, ids: true }),
        things: table({ x: quantized(0, 1000, 0.1), label: text(12) }, { capacity: 500 }),
        deck: table({ card: u32 }, { capacity: 60, to: 'server' }),
      },
      inputs: { count: { by: u32 }, close: {} },
      events: { rang: {} },
      join: { name: text(24) },
      options: { things: u16.default(100) },
    })
    const bob = await connect(server.url).join(newer, { name: 'main', join: { name: 'bob' } })
    expect([bob.globals.total, bob.globals.added, bob.globals.mood, bob.tables.things.size, bob.globals.oldest !== null]).toEqual([3, 5, 'loud', 80, true])
    await server.kill('SIGTERM')
    writeFileSync(file, changed.replace('import { choice', 'import { f64, u8, choice').replace('label: text(12)', 'label: text(4)'))
    await server.start()
    await expect(connect(server.url).join(newer, { name: 'main', join: { name: 'bob' } })).rejects.toMatchObject({ code: 'room-failed' })
    const shorter = defineSchema('vault', { ...newer, tables: { ...newer.tables, things: table({ x: quantized(0, 1000, 0.1), label: text(4) }, { capacity: 500 }) } })
    await expect(connect(server.url).join(shorter, { name: 'main', join: { name: 'bob' } })).rejects.toMatchObject({ code: 'room-failed' })
    expect(server.output).toContain('things.label: what is stored as text(12) does not fit text(4): needs migrate')
    await server.kill('SIGTERM')
    writeFileSync(file, changed.replace('import { choice', 'import { f64, u8, choice'))
    await server.start()
    expect((await connect(server.url).join(newer, { name: 'main', join: { name: 'cid' } })).globals.total).toBe(3)
  })
})
