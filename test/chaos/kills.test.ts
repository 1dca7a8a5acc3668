/** Workers that die at random under load: fifty deaths with LONG=1, a tenth of them else. */
import { describe, expect, it } from 'vitest'
import { connect, type ClientRoom } from 'kasagi-engine/client'
import { defineSchema, quantized, table, text, u16, u32 } from 'kasagi-engine/schema'
import { startTestEngine, until } from '../support/engine.js'

const schemaText = `
import { defineSchema, quantized, table, text, u16, u32 } from 'kasagi-engine/schema'
export const tally = defineSchema('tally', {
  player: 'players', globals: { total: u32, ticks: u32, beats: u32 },
  tables: { players: table({ counted: u32, secret: u16.to('owner'), name: text(24) }, { capacity: 64, ids: true }),
            movers: table({ x: quantized(0, 1000, 0.1), born: u32 }, { capacity: 256 }), log: table({ line: text(20) }, { capacity: 10, whenFull: 'drop-oldest' }) },
  inputs: { count: { by: u32 } }, join: { name: text(24) } })
`
const tally = defineSchema('tally', {
  player: 'players',
  globals: { total: u32, ticks: u32, beats: u32 },
  tables: {
    players: table({ counted: u32, secret: u16.to('owner'), name: text(24) }, { capacity: 64, ids: true }),
    movers: table({ x: quantized(0, 1000, 0.1), born: u32 }, { capacity: 256 }),
    log: table({ line: text(20) }, { capacity: 10, whenFull: 'drop-oldest' }),
  },
  inputs: { count: { by: u32 } },
  join: { name: text(24) },
})
const roomText = `
import { defineRoom } from 'kasagi-engine'
import { tally } from '../shared/tally.js'
export default defineRoom(tally, {
  tickHz: 30, snapshotEveryMs: 300, timers: { beat: {} },
  onCreate(room) { for (let n = 0; n < 50; n++) room.tables.movers.spawn({ x: n, born: n }); room.after(100, 'beat') },
  onJoin(room, session, { name }) { session.row = room.tables.players.spawn({ name, secret: 1000 }, { id: name, owner: session }) },
  onTimer: { beat(room) { room.globals.beats++; room.after(100, 'beat') } },
  onInput: { count(room, session, { by }) {
    const { movers, players, log } = room.tables
    room.globals.total += by
    players.counted[session.row] += by
    players.secret[session.row]++
    const [oldest] = [...movers.rows()].sort((a, b) => movers.born[a] - movers.born[b])
    movers.despawn(oldest)
    movers.spawn({ x: room.random.int(1000), born: room.globals.total + 100 })
    log.spawn({ line: 'count ' + room.globals.total })
  } },
  onTick(room) { const { movers } = room.tables; room.globals.ticks++; for (const row of movers.rows()) movers.x[row] = (movers.x[row] + 0.5) % 1000 },
})
`
type Tally = ClientRoom<typeof tally>

function picture({ globals, tables: { players, movers, log } }: Tally): string {
  const lines = [`total ${globals.total} ${globals.ticks} ${globals.beats}`]
  for (const row of players.rows()) lines.push(`player ${row} ${players.name.get(row)} ${players.counted[row]}`)
  for (const row of movers.rows()) lines.push(`mover ${row} ${movers.x[row].toFixed(3)} ${movers.born[row]}`)
  for (const row of log.rows()) lines.push(`log ${row} ${log.line.get(row)}`)
  return lines.join('\n')
}

describe('chaos: kills', () => {
  const kills = process.env.LONG === undefined ? 5 : 50
  it(`kills: ${kills} random deaths under load: nobody is disconnected, no seq is repeated or missing, every input counts once, all see the room's state`, async () => {
    const seed = Number(process.env.SEED ?? Date.now() % 1_000_000)
    const server = await startTestEngine({ 'shared/tally.ts': schemaText, 'rooms/tally.ts': roomText }, ['--fault', `random:${seed}:${kills}`, '--workers', '1'])
    try {
      const rooms: Tally[] = []
      for (const [name, room] of [['ann', 'one'], ['bob', 'one'], ['cid', 'two'], ['dee', 'two'], ['eve', 'three']]) rooms.push(await connect(server.url, { verify: true }).join(tally, { name: room, join: { name } }))
      const seqs = rooms.map((): number[] => []), told: string[] = []
      rooms.forEach((room, n) => {
        room.onFlush(() => seqs[n].push(room.position.seq))
        room.onStatus((status, code) => told.push(`${n} ${status} ${code}`))
      })
      const deaths = (): Promise<number> => server.metric('kasagi_worker_deaths_total{')
      let sent = 0
      for (; await deaths() < kills; sent++) {
        for (const room of rooms) room.send('count', { by: 1 })
        await new Promise((resolve) => { setTimeout(resolve, 5) })
        // A resync and a late join now and then, in the middle of it.
        if (sent % 100 === 50) { const late = await connect(server.url, { verify: true }).join(tally, { name: 'two', join: { name: `late ${sent}` } }); await late.leave() }
      }
      await Promise.all(rooms.map((room) => room.ask('count', { by: 1 })))
      const total = (room: Tally): number => [...room.tables.players.rows()].reduce((sum, row) => sum + room.tables.players.counted[row], 0)
      await until(() => rooms.every((room) => total(room) === room.globals.total), `SEED=${seed} all have arrived`)
      for (const room of rooms) {
        const { players } = room.tables
        expect([players.counted[players.mine!], players.secret[players.mine!], room.status, room.stats.reconnects, room.stats.hashMismatches], `SEED=${seed}`).toEqual([sent + 1, 1000 + sent + 1, 'live', 0, 0])
      }
      for (const [n, seen] of seqs.entries()) for (let at = 1; at < seen.length; at++) expect(seen[at], `SEED=${seed} client ${n}`).toBe(seen[at - 1] + 1)
      expect(told, `SEED=${seed}`).toEqual([])
      // Two clients of a room, at the same position, see the same.
      for (const [a, b] of [[rooms[0], rooms[1]], [rooms[2], rooms[3]]]) {
        await new Promise<void>((resolve, reject) => {
          const late = setTimeout(() => reject(new Error(`SEED=${seed} no common position`)), 5000)
          const look = (): void => {
            if (a.position.seq !== b.position.seq) return
            clearTimeout(late)
            try { expect(picture(a), `SEED=${seed}`).toBe(picture(b)); resolve() } catch (error) { reject(error as Error) }
          }
          a.onFlush(look)
          b.onFlush(look)
        })
      }
    } finally {
      if (process.env.SHOW !== undefined) console.log(server.lines.map(({ text }) => text).join('\n'))
      await server.stop()
    }
  }, 300_000)
})
