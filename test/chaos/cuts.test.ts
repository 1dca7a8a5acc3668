/**
 * Connections that are cut at random, and come back with all kinds of truths and lies: ten thousand cuts with LONG=1, a tenth of them else. Clients
 * are real ones over real sockets; their transport alone is ours.
 */
import { describe, expect, it } from 'vitest'
import type { ClientRoom } from '../../src/client/client-room.js'
import { connectWith } from '../../src/client/connect.js'
import { openWebSocket, type OpenTransport, type Transport } from '../../src/client/web-socket.js'
import { nextFloat, nextInt, seedPrng } from '../../src/base/prng.js'
import { defineSchema, quantized, table, text, u32 } from '../../src/schema/index.js'
import { readClientMessage, writeJoin } from '../../src/wire/client-messages.js'
import { readServerMessage } from '../../src/wire/server-messages.js'
import { startTestEngine, until } from '../support/engine.js'

const shape = `{
  player: 'players', globals: { total: u32, ticks: u32 },
  tables: { players: table({ counted: u32, secret: u32.to('owner'), name: text(24) }, { capacity: 256, ids: true }),
            purse: table({ coin: u32 }, { capacity: 1024, to: 'owner' }),
            movers: table({ x: quantized(0, 1000, 0.1), label: text(10) }, { capacity: 400 }) },
  inputs: { count: { by: u32 } }, join: { name: text(24) } }`
const schema = defineSchema('cuts', {
  player: 'players',
  globals: { total: u32, ticks: u32 },
  tables: {
    players: table({ counted: u32, secret: u32.to('owner'), name: text(24) }, { capacity: 256, ids: true }),
    purse: table({ coin: u32 }, { capacity: 1024, to: 'owner' }),
    movers: table({ x: quantized(0, 1000, 0.1), label: text(10) }, { capacity: 400 }),
  },
  inputs: { count: { by: u32 } },
  join: { name: text(24) },
})
const graceMs = 1500
const roomText = `
import { defineRoom } from 'kasagi-engine'
import { cuts } from '../shared/cuts.js'
export default defineRoom(cuts, { tickHz: 30, graceMs: ${graceMs}, maxSessions: 200,
  onCreate(room) { for (let n = 0; n < 200; n++) room.tables.movers.spawn({ x: n, label: 'm' + n }) },
  onJoin(room, session, { name }) { session.row = room.tables.players.spawn({ name }, { id: session.id, owner: session }) },
  onLeave(room, { row }) { if (row !== undefined) room.tables.players.despawn(row) },
  onInput: { count(room, session, { by }) {
    const { players, purse } = room.tables
    room.globals.total += by
    players.counted[session.row] += by
    players.secret[session.row] += by
    if (purse.size < 900) purse.spawn({ coin: players.counted[session.row] }, { owner: session })
    else purse.despawn([...purse.rows()][room.random.int(900)])
  } },
  onTick(room) {
    const { movers } = room.tables
    room.globals.ticks++
    for (let n = 0; n < 10; n++) { const row = room.random.int(400); if (movers.has(row)) movers.x[row] = room.random.int(1000) }
    if (room.random.int(4) === 0) { movers.despawn([...movers.rows()][room.random.int(movers.size)]); movers.spawn({ x: room.random.int(1000), label: 't' + room.globals.ticks }) }
  } })
`
type Cuts = ClientRoom<typeof schema>

/** What a client says of itself when it comes back. */
type Lie = 'none' | 'older' | 'newer' | 'wrong-epoch' | 'old-token'

interface Cutter {
  readonly open: OpenTransport
  lie: Lie
  /** Seq that a lie is off by. */
  by: number
  /** The next connection hears nothing, and is cut before its Welcome is told. */
  losesWelcome: boolean
  welcomes: number
  readonly tokens: string[]
  cut(): void
}

function createCutter(): Cutter {
  let drop = (): void => {}
  const cutter: Cutter = {
    lie: 'none', by: 0, losesWelcome: false, welcomes: 0, tokens: [], cut: () => drop(),
    open: async (url, handlers) => {
      let isDeaf = false
      const transport: Transport = await openWebSocket(url, {
        open: () => handlers.open(),
        message: (bytes) => {
          if (isDeaf) return
          const said = readServerMessage(new Uint8Array(bytes))
          if (said?.kind === 'welcome') {
            if (cutter.losesWelcome) { cutter.losesWelcome = false; return drop() }
            cutter.welcomes++
            cutter.tokens.push(said.welcome.token)
          }
          handlers.message(bytes)
        },
        closed: (code) => { if (!isDeaf) handlers.closed(code) },
      })
      drop = () => { if (isDeaf) return; isDeaf = true; transport.close(); handlers.closed(1006) }
      return { close: (code) => transport.close(code), send: (bytes) => transport.send(tell(cutter, bytes)) }
    },
  }
  return cutter
}

/** A resume that tells the truth, or does not. */
function tell(cutter: Cutter, bytes: Uint8Array): Uint8Array {
  const message = cutter.lie === 'none' ? undefined : readClientMessage(bytes)
  if (message?.kind !== 'join' || message.resume === undefined) return bytes
  const { resume } = message
  const told = {
    older: { ...resume, seq: Math.max(0, resume.seq - cutter.by) }, newer: { ...resume, seq: resume.seq + cutter.by }, 'wrong-epoch': { ...resume, epoch: resume.epoch - cutter.by },
    'old-token': { ...resume, token: cutter.tokens.at(-1 - (1 + cutter.by % 3)) ?? resume.token }, none: resume,
  }[cutter.lie]
  cutter.lie = 'none'
  return writeJoin({ ...message, resume: told })
}

const publicPicture = ({ globals, tables: { players, movers } }: Cuts): string => [
  `${globals.total} ${globals.ticks}`, ...[...players.rows()].map((row) => `p${row} ${players.at(row).name} ${players.counted[row]}`),
  ...[...movers.rows()].map((row) => `m${row} ${movers.x[row].toFixed(1)} ${movers.at(row).label}`),
].join('\n')

describe('chaos: cuts', () => {
  const cuts = process.env.LONG === undefined ? 1000 : 10_000
  it(`cuts: ${cuts} random cuts, lost Welcomes, resumes inside, at the edge of and outside history, wrong epochs and old tokens: every client converges exactly, or is told`, async () => {
    const seed = Number(process.env.SEED ?? Date.now() % 1_000_000), random = new Uint32Array(4)
    seedPrng(random, seed)
    const server = await startTestEngine({ 'shared/cuts.ts': `import { defineSchema, quantized, table, text, u32 } from 'kasagi-engine/schema'\nexport const cuts = defineSchema('cuts', ${shape})`, 'rooms/cuts.ts': roomText })
    const counts: Record<string, number> = {}
    const count = (what: string): void => { counts[what] = (counts[what] ?? 0) + 1 }
    try {
      const reference = await connectWith(openWebSocket, server.url, { verify: true }).join(schema, { name: 'main', join: { name: 'reference' } })
      const seen = new Map<number, string>()
      reference.onFlush(() => {
        seen.set(reference.position.seq, publicPicture(reference))
        if (seen.size > 600) seen.delete(seen.keys().next().value!)
      })
      let done = 0
      const runClient = async (number: number): Promise<void> => {
        while (done < cuts) {
          const cutter = createCutter()
          const room = await connectWith(cutter.open, server.url, { verify: true }).join(schema, { name: 'main', join: { name: `client ${number}` } })
          let sent = 0, { sessionId } = room
          const gone: string[] = []
          const isClosed = (): boolean => room.status === 'closed'
          room.onStatus((told, code) => { if (code !== undefined && code !== 'connection-lost') gone.push(`${told} ${code}`) })
          const send = (): void => { room.send('count', { by: 1 }); sent++ }
          while (done < cuts && !isClosed()) {
            done++
            for (let n = nextInt(random, 4); n > 0; n--) send()
            await new Promise((resolve) => { setTimeout(resolve, nextFloat(random) * 40) })
            const kind = nextInt(random, 100)
            cutter.by = 1 + nextInt(random, kind % 2 === 0 ? 30 : 800)
            cutter.lie = kind < 50 ? 'none' : kind < 65 ? 'older' : kind < 80 ? 'newer' : kind < 90 ? 'wrong-epoch' : kind < 92 ? 'old-token' : 'none'
            cutter.losesWelcome = nextInt(random, 5) === 0
            count(cutter.lie)
            if (cutter.losesWelcome) count('lost Welcome')
            const { welcomes } = cutter
            cutter.cut()
            if (!isClosed() && nextInt(random, 2) === 0) send()
            await until(() => isClosed() || (room.status === 'live' && cutter.welcomes > welcomes), () => `SEED=${seed} client ${number} is back: ${room.status}, ${cutter.welcomes - welcomes} Welcomes, kind ${kind}, by ${cutter.by}, ${JSON.stringify(room.stats)} at ${JSON.stringify(room.position)}, reference at ${reference.position.seq}, ${gone.slice(-3).join('; ')}`, 15_000)
            if (isClosed()) break
            if (room.sessionId !== sessionId) {
              count('session-gone')
              expect(gone.at(-1), `SEED=${seed}`).toMatch(/session-gone|bad-token/)
              sessionId = room.sessionId
              sent = 0
            }
            // At a position that the reference has seen too, both see the same.
            await until(() => isClosed() || seen.has(room.position.seq) || !seen.has(reference.position.seq), `SEED=${seed} client ${number} reaches a known position`)
            const picture = seen.get(room.position.seq)
            if (picture !== undefined && room.status === 'live') { count('compared'); if (publicPicture(room) !== picture) expect(publicPicture(room), `SEED=${seed} client ${number} at ${room.position.seq}`).toBe(picture) }
          }
          expect([room.stats.hashMismatches], `SEED=${seed}`).toEqual([0])
          if (isClosed()) { count('token-used'); expect(gone.at(-1), `SEED=${seed}`).toBe('closed token-used'); continue }
          await room.ask('count', { by: 1 })
          const { players, purse } = room.tables, mine = players.mine!
          expect([players.counted[mine], players.secret[mine]], `SEED=${seed} client ${number}: each input once`).toEqual([sent + 1, sent + 1])
          for (const row of purse.rows()) expect(purse.coin[row], `SEED=${seed}`).toBeLessThanOrEqual(sent + 1)
          await room.leave()
        }
      }
      await Promise.all(Array.from({ length: 25 }, (_, number) => runClient(number)))
      expect(reference.stats.hashMismatches + reference.stats.resyncs + reference.stats.reconnects, `SEED=${seed}`).toBe(0)
      for (const what of ['older', 'newer', 'wrong-epoch', 'old-token', 'lost Welcome', 'token-used']) expect(counts[what], `SEED=${seed} ${what}`).toBeGreaterThan(0)
      expect(counts.compared, `SEED=${seed}`).toBeGreaterThan(cuts / 2)
      expect(await server.metric('kasagi_resyncs_total{kind="sections"}')).toBeGreaterThan(0)
      expect(await server.metric('kasagi_resyncs_total{kind="snapshot"}')).toBeGreaterThan(0)
    } finally {
      if (process.env.SHOW !== undefined) console.log(JSON.stringify(counts), server.lines.map(({ text }) => text).join('\n'), (await (await fetch(`${server.http}/metrics`)).text()).split('\n').filter((line) => /^kasagi_(flush|worker|records|ticks|inputs|messages|handler)/.test(line)).join('\n'))
      await server.stop()
    }
  }, 900_000)
})
