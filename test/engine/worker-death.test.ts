import { rmSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { connect, type ClientRoom } from 'kasagi-engine/client'
import { defineSchema, quantized, table, text, u16, u32, u8 } from 'kasagi-engine/schema'
import { startTestEngine, until, type TestEngine } from '../support/engine.js'
import { createServeProcess, type ServeProcess } from '../support/process.js'

/** Every step of the commit order, in its order. */
const points = ['flush:reserved', 'flush:written', 'flush:pending', 'flush:published', 'flush:applying', 'flush:applied', 'flush:committed', 'flush:cut']

const schemaText = `
import { defineSchema, quantized, table, text, u16, u32 } from 'kasagi-engine/schema'
export const tally = defineSchema('tally', {
  player: 'players',
  globals: { total: u32 },
  tables: { players: table({ counted: u32, secret: u16.to('owner'), name: text(24) }, { capacity: 64, ids: true }),
            movers: table({ x: quantized(0, 1000, 0.1), born: u32 }, { capacity: 256 }) },
  inputs: { count: { by: u32 } }, join: { name: text(24) } })
`
const tally = defineSchema('tally', {
  player: 'players',
  globals: { total: u32 },
  tables: {
    players: table({ counted: u32, secret: u16.to('owner'), name: text(24) }, { capacity: 64, ids: true }),
    movers: table({ x: quantized(0, 1000, 0.1), born: u32 }, { capacity: 256 }),
  },
  inputs: { count: { by: u32 } },
  join: { name: text(24) },
})

const roomText = (tickHz: number): string => `
import { defineRoom } from 'kasagi-engine'
import { tally } from '../shared/tally.js'
export default defineRoom(tally, {
  tickHz: ${tickHz},
  onCreate(room) { for (let n = 0; n < 50; n++) room.tables.movers.spawn({ x: n, born: n }) },
  onJoin(room, session, { name }) { session.row = room.tables.players.spawn({ name, secret: 1000 + room.tables.players.size }, { id: name, owner: session }) },
  onInput: { count(room, session, { by }) {
    room.globals.total += by
    room.tables.players.counted[session.row] += by
    const { movers } = room.tables
    const [oldest] = [...movers.rows()].sort((a, b) => movers.born[a] - movers.born[b])
    movers.despawn(oldest)
    movers.spawn({ x: room.globals.total % 1000, born: room.globals.total + 100 })
  } },
  onTick(room) { const { movers } = room.tables; for (const row of movers.rows()) movers.x[row] = (movers.x[row] + 0.5) % 1000 },
})
`

type Tally = ClientRoom<typeof tally>

/** All that everybody sees, as one text; owner fields aside. */
function picture({ globals, tables: { players, movers } }: Tally): string {
  const lines = [`total ${globals.total}`]
  for (const row of players.rows()) lines.push(`player ${row} ${players.name.get(row)} ${players.counted[row]}`)
  for (const row of movers.rows()) lines.push(`mover ${row} ${movers.x[row].toFixed(3)} ${movers.born[row]}`)
  return lines.join('\n')
}

describe('a worker that dies', () => {
  let server: TestEngine | undefined
  afterEach(async () => { await server?.stop(); server = undefined })

  for (const tickHz of [0, 50]) {
    for (const [index, point] of points.entries()) {
      it(`death: at ${point} of a room of ${tickHz} Hz nothing is lost, doubled or noticed`, async () => {
        server = await startTestEngine({ 'shared/tally.ts': schemaText, 'rooms/tally.ts': roomText(tickHz) }, ['--fault', `${point}:${9 + index}`])
        const rooms: Tally[] = []
        for (const name of ['ann', 'bob', 'cid']) rooms.push(await connect(server.url, { verify: true }).join(tally, { name: 'main', join: { name } }))
        const seqs = rooms.map((): number[] => [])
        rooms.forEach((room, n) => room.onFlush(() => seqs[n].push(room.position.seq)))
        for (let n = 0; n < 60; n++) {
          for (const room of rooms) room.send('count', { by: 1 })
          await new Promise((resolve) => { setTimeout(resolve, 5) })
        }
        await Promise.all(rooms.map((room) => room.ask('count', { by: 1 })))
        await until(() => rooms.every((room) => room.globals.total === 183), `all count 183, they count ${rooms.map((room) => room.globals.total).join(', ')}`)

        expect(await server.metric('kasagi_worker_deaths_total')).toBe(1)
        await until(() => rooms.every((room) => picture(room) === picture(rooms[0])), 'all see the same')
        for (const room of rooms) {
          const { players } = room.tables
          for (const row of players.rows()) expect(players.counted[row]).toBe(61)
          expect(players.secret[players.mine!]).toBeGreaterThan(999)
          expect([...players.rows()].filter((row) => players.secret[row] !== 0)).toEqual([players.mine])
          expect(room.status).toBe('live')
          expect(room.stats.hashMismatches).toBe(0)
          expect(room.stats.resyncs).toBe(0)
        }
        for (const seen of seqs) for (let n = 1; n < seen.length; n++) expect(seen[n]).toBe(seen[n - 1] + 1)
        const late = await connect(server.url).join(tally, { name: 'main', join: { name: 'dee' } })
        expect(late.globals.total).toBe(183)
        await Promise.all([...rooms, late].map((room) => room.leave()))
      })
    }
  }
})

describe('a worker that dies behind a snapshot that nobody was told of', () => {
  // In a process of its own: a main thread that walks the wrong bytes may never come back.
  let served: ServeProcess | undefined
  afterEach(async () => { await served?.end(); served = undefined })

  // The successor's snapshot is smaller: behind it the dead thread's lies on, and its values are lengths that lead nowhere.
  const fields = Array.from({ length: 16 }, (_, index) => `f${index}`), rows = 4000, nowhere = 0xffff_fff8
  const packed = defineSchema('packed', {
    tables: { boxes: table(Object.fromEntries(fields.map((name) => [name, u32])), { capacity: rows }) }, inputs: { clear: {} },
  })
  const files = {
    'shared/packed.ts': "import { defineSchema, table, u32 } from 'kasagi-engine/schema'\n"
      + `export const packed = defineSchema('packed', { tables: { boxes: table({ ${fields.map((name) => `${name}: u32`).join(', ')} }, { capacity: ${rows} }) }, inputs: { clear: {} } })`,
    'rooms/packed.ts': "import { defineRoom } from 'kasagi-engine'\nimport { packed } from '../shared/packed.js'\n"
      + "export default defineRoom(packed, { tickHz: 0, durability: 'none',\n"
      + `  onCreate(room) { for (let n = 0; n < ${rows}; n++) room.tables.boxes.spawn({ ${fields.map((name) => `${name}: ${nowhere}`).join(', ')} }) },\n`
      + '  onInput: { clear(room) { const { boxes } = room.tables; for (const row of boxes.rows()) boxes.despawn(row) } } })',
  }

  it('death: a snapshot that was posted without a bell is delivered, before the successor may write over it', async () => {
    served = await createServeProcess(files)
    await served.start('--fault', 'area:posted:2')
    const bob = await connect(served.url).join(packed, { name: 'main' })
    // Told before anything else is done about it; the successor, which has yet to start, finds this input with what it is asked.
    served.child.stdout!.on('data', (text: Uint8Array) => { if (text.toString().includes('worker 0 died')) bob.send('clear', {}) })
    const ann = await connect(served.url, { joinMs: 5000 }).join(packed, { name: 'main' })
    expect(ann.tables.boxes.size).toBe(rows)
    await until(() => ann.tables.boxes.size === 0, 'ann sees that the boxes are gone')
    await ann.ask('clear', {})
    expect([ann.status, ann.stats.resyncs, bob.status, bob.stats.resyncs]).toEqual(['live', 0, 'live', 0])
    expect(await served.metric('kasagi_worker_deaths_total')).toBe(1)
  })
})

describe('a worker that dies as it closes a room', () => {
  it('death: the block of a room whose closing was told comes back, whoever has told it', async () => {
    const server = await startTestEngine({ 'shared/tally.ts': schemaText, 'rooms/tally.ts': roomText(0).replace('tickHz: 0,', 'tickHz: 0, keepMs: 100, graceMs: 0,') }, ['--fault', 'close:told'])
    const free = await server.metric('kasagi_arena_free_bytes')
    for (let n = 0; n < 3; n++) {
      const room = await connect(server.url).join(tally, { name: `room ${n}`, join: { name: 'ann' } })
      await room.ask('count', { by: 1 })
      await room.leave()
    }
    await until(async () => await server.metric('kasagi_rooms ') === 0, 'all rooms are closed')
    await until(async () => await server.metric('kasagi_arena_free_bytes') === free, 'all blocks are given back')
    expect(await server.metric('kasagi_worker_deaths_total')).toBe(1)
    await server.stop()
  })
})

describe('a worker that its own author ends', () => {
  it('death: the log names handler, room and session whose code was running, and other clients stay', async () => {
    const server = await startTestEngine({
      'shared/mine.ts': "import { defineSchema, u8, u32 } from 'kasagi-engine/schema'\nexport const mine = defineSchema('mine', { globals: { n: u32 }, inputs: { dig: {}, boom: { once: u8 } } })",
      'rooms/mine.ts': "import { existsSync, writeFileSync } from 'node:fs'\nimport { defineRoom } from 'kasagi-engine'\nimport { mine } from '../shared/mine.js'\n"
        + "const spent = `${process.env.TMPDIR ?? '/tmp'}/kasagi-mine-${process.pid}`\n"
        + 'export default defineRoom(mine, { tickHz: 0, onInput: { dig(room) { room.globals.n++ }, boom() { if (existsSync(spent)) return; writeFileSync(spent, \'\'); process.exit(3) } } })',
    })
    const mine = defineSchema('mine', { globals: { n: u32 }, inputs: { dig: {}, boom: { once: u8 } } })
    const [a, b] = await Promise.all([1, 2].map(() => connect(server.url).join(mine, { name: 'deep' })))
    await a.ask('dig', {})
    await a.ask('boom', { once: 1 })
    await b.ask('dig', {})
    await until(() => a.globals.n === 2, 'both digs are counted')
    expect([a.status, b.status]).toEqual(['live', 'live'])
    const { text, fields } = server.lines.find(({ level }) => level === 'error')!
    expect(text).toMatch(/^worker 0 died \(.*\) in onInput\.boom of mine:deep, journal entry \d+; its successor takes over$/)
    expect(fields).toMatchObject({ worker: 0, reason: 'exit', room: 'mine:deep', handler: 'onInput.boom', session: a.sessionId, address: '127.0.0.1' })
    await Promise.all([a.leave(), b.leave()])
    await server.stop()
    rmSync(`${process.env.TMPDIR ?? '/tmp'}/kasagi-mine-${process.pid}`, { force: true })
  })
})
