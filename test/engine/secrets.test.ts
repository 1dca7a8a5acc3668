/**
 * Secrets stay secret: in a twin of `cards` every secret is an 8-byte mark, and every byte that goes to a client is searched for those of others.
 * Real clients over real sockets; their transport alone is ours: it keeps what comes, cuts, and lies about positions.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { describe, expect, it } from 'vitest'
import { nextInt, seedPrng } from '../../src/base/prng.js'
import { openSection } from '../../src/client/apply.js'
import type { ClientRoom } from '../../src/client/client-room.js'
import { connectWith } from '../../src/client/connect.js'
import { openWebSocket, type OpenTransport, type Transport } from '../../src/client/web-socket.js'
import { readClientMessage, writeJoin, writeResync } from '../../src/wire/client-messages.js'
import { readServerMessage } from '../../src/wire/server-messages.js'
import { startTestEngine, until, type TestEngine } from '../support/engine.js'
import { freePort } from '../support/free-port.js'
import { echoesMax, kinds, mark, numbersMax, word } from '../support/twin/shared/marks.js'
import { seatsMax, twin } from '../support/twin/shared/twin.js'

type Twin = ClientRoom<typeof twin>

/** A client's connections, watched. */
interface Watched {
  readonly open: OpenTransport
  /** Every message that ever came, whatever became of it. */
  readonly received: ArrayBuffer[]
  readonly slots: number[]
  readonly resynced: ('sections' | 'snapshot')[]
  /** What the next resume says of its position: so many seqs earlier, or an epoch that never was. */
  lie: number | 'wrong-epoch'
  /** The Join asks for the field tables. */
  asksTables: boolean
  cut(): void
  send(bytes: Uint8Array): void
}

function watch(): Watched {
  let drop = (): void => {}, say = (_: Uint8Array): void => {}
  const watched: Watched = {
    received: [], slots: [], resynced: [], lie: 0, asksTables: true, cut: () => drop(), send: (bytes) => say(bytes),
    open: async (url, handlers) => {
      let isCut = false
      const transport: Transport = await openWebSocket(url, {
        open: () => handlers.open(),
        message: (bytes) => {
          watched.received.push(bytes.slice(0))
          const said = readServerMessage(new Uint8Array(bytes))
          if (said?.kind === 'welcome') watched.slots.push(said.welcome.slot)
          if (said?.kind === 'resynced') watched.resynced.push(said.resynced.kind === 0 ? 'sections' : 'snapshot')
          if (!isCut) handlers.message(bytes)
        },
        closed: (code) => { if (!isCut) handlers.closed(code) },
      })
      say = (bytes) => transport.send(bytes)
      drop = () => { if (isCut) return; isCut = true; transport.close(); handlers.closed(1006) }
      return { close: (code) => transport.close(code), send: (bytes) => transport.send(tell(watched, bytes)) }
    },
  }
  return watched
}

/** A Join that asks for everything, and a resume that tells the truth, or does not. */
function tell(watched: Watched, bytes: Uint8Array): Uint8Array {
  const message = readClientMessage(bytes)
  if (message?.kind !== 'join') return bytes
  const { resume } = message, { lie, asksTables } = watched
  watched.lie = 0
  watched.asksTables = false
  const schemaHash = asksTables ? 0 : message.schemaHash
  if (resume === undefined) return writeJoin({ ...message, schemaHash })
  const claim = lie === 'wrong-epoch' ? { epoch: resume.epoch - 1 } : { seq: Math.max(1, resume.seq - lie) }
  return writeJoin({ ...message, schemaHash, resume: { ...resume, ...claim } })
}

/** All marks of a seed, as number and as text: whose and which. */
interface Marks { readonly byValue: ReadonlyMap<bigint, string>; readonly byText: ReadonlyMap<string, string>; readonly lows: ReadonlySet<number> }

/** `numbers`: by owner, how many of each kind there can be. */
function allMarks(seed: number, numbers: readonly number[]): Marks {
  const byValue = new Map<bigint, string>(), byText = new Map<string, string>(), lows = new Set<number>()
  for (const [who, count] of numbers.entries()) {
    for (const kind of kinds) {
      for (let number = 0; number < count; number++) {
        const value = mark(seed, who, kind, number), label = `${who} ${kind} ${number}`
        byValue.set(value, label)
        byText.set(String(value), label)
        byText.set(word(seed, who, kind, number), `${label} as text`)
        lows.add(Number(value & 0xffff_ffffn))
      }
    }
  }
  return { byValue, byText, lows }
}

/** The marks in these bytes, at any offset. */
function marksIn({ byValue, byText, lows }: Marks, messages: readonly ArrayBuffer[]): Set<string> {
  const found = new Set<string>()
  for (const message of messages) {
    const view = new DataView(message)
    for (let at = 0; at + 8 <= view.byteLength; at++) {
      const label = lows.has(view.getUint32(at, true)) ? byValue.get(view.getBigUint64(at, true)) : undefined
      if (label !== undefined) found.add(label)
    }
    const text = Buffer.from(message).toString('latin1')
    for (const [, run] of text.matchAll(/(?=(\d{16,20}|[0-9a-f]{16}))/g)) {
      for (const label of [byText.get(run), byText.get(run.slice(0, 16))]) if (label !== undefined) found.add(label)
    }
  }
  return found
}

/** What field tables tell, and what only servers know by name. */
const publicNames = ['hands', 'wallet', 'word']
const serverNames = ['deck', 'bias', 'note', 'lines', 'turnOver', 'stake', 'seed', '$owner', '$born', '$sessions', '$room']
const namesIn = (messages: readonly ArrayBuffer[], names: readonly string[]): string[] =>
  names.filter((name) => messages.some((message) => Buffer.from(message).includes(`"${name}"`)))

/** Bytes of a section's data that belong to no row set, value or event, and are not zero. */
function strayBytes(message: ArrayBuffer): number {
  const section = openSection(message)
  if (section === undefined || section.vectors[0] === 0) return 0
  const { u8, u32, vectors } = section, [from] = vectors
  const isUsed = new Uint8Array(u32[(from - 4) >> 2])
  // Row sets, columns, events: the words of a struct, and which of them is its offset; how many bytes it has says the next.
  for (const [vector, words, offset] of [[2, 5, 3], [3, 3, 1], [4, 3, 1]] as const) {
    const first = vectors[vector] >> 2
    for (let n = 0; first > 0 && n < u32[first - 1]; n++) {
      const at = first + n * words + offset
      isUsed.fill(1, u32[at], u32[at] + u32[at + 1])
    }
  }
  return isUsed.reduce((sum, used, at) => sum + (used === 0 && u8[from + at] !== 0 ? 1 : 0), 0)
}

/** A seat at the table, and what the room says it was given, once it stops playing. */
interface Player { readonly who: number; readonly room: Twin; readonly watched: Watched; given: { drawn: number; spent: number; refused: number } }

const mayRefuse: ReadonlySet<string> = new Set(['answer-lost', 'not-in-hand', 'input-failed'])

describe('secrets', () => {
  const isLong = process.env.LONG !== undefined
  const steps = isLong ? 1500 : 120

  it(`secrets: nobody receives a mark of another or of the deck, over ${steps} steps of play, cuts, lies, leaves, deaths and a restart`, async () => {
    const seed = Number(process.env.SEED ?? Date.now() % 1_000_000), random = new Uint32Array(4)
    seedPrng(random, seed)
    const data = mkdtempSync(joinPath(tmpdir(), 'kasagi-secrets-'))
    const start = (port: string): Promise<TestEngine> =>
      startTestEngine('test/support/twin', ['--port', port, '--data', data, '--fault', `random:${seed}:${isLong ? 20 : 3}`])
    const port = String(await freePort())
    let server = await start(port), deaths = 0
    const { url, http } = server
    const everybody: Player[] = [], outside: ArrayBuffer[] = []
    const take = (text: string): void => { outside.push(new TextEncoder().encode(text).buffer as ArrayBuffer) }

    const sit = async (): Promise<Player> => {
      const watched = watch(), who = everybody.length + 1
      const room = await connectWith(watched.open, url, { verify: true }).join(twin, { name: 'main', options: { seed }, join: { who, fails: false } })
      const player = { who, room, watched, given: { drawn: 0, spent: 0, refused: 0 } }
      everybody.push(player)
      return player
    }
    const ask = (player: Player, ...input: Parameters<Twin['ask']>): Promise<void> =>
      player.room.ask(...input).catch((error: { code: string }) => { if (!mayRefuse.has(error.code)) throw error })
    const act = async (player: Player): Promise<void> => {
      const { hands, players } = player.room.tables, kind = nextInt(random, 10)
      if (kind < 3 && players.drawn[players.mine!] < numbersMax - 10) return ask(player, 'draw', {})
      if (kind < 5) return ask(player, 'spend', {})
      if (kind < 6) return ask(player, 'say', { line: `line ${nextInt(random, 1000)}` })
      if (kind < 7) return ask(player, 'play', { card: BigInt(nextInt(random, 1000)) })
      const rows = [...hands.rows()]
      if (rows.length > 0) return ask(player, 'play', { card: hands.card[rows[nextInt(random, rows.length)]] })
    }
    /** Stops playing: what it was given by now stands in its row, which everybody sees. */
    const settle = async (player: Player): Promise<void> => {
      const { room } = player, { players } = room.tables
      await until(() => room.status === 'live', `SEED=${seed} client ${player.who} is back`)
      await ask(player, 'say', { line: 'that is all' })
      const mine = players.mine!
      player.given = { drawn: players.drawn[mine], spent: players.spent[mine], refused: players.refused[mine] }
    }

    try {
      const seated = [await sit(), await sit(), await sit(), await sit()]
      for (let step = 0; step < steps; step++) {
        await Promise.all(seated.map(act))
        const at = nextInt(random, seated.length), player = seated[at], { watched, room } = player
        const { epoch, seq } = room.position, by = 1 + nextInt(random, 300)
        const kind = nextInt(random, 16)
        if (kind < 4) {
          watched.lie = [0, 0, by, 'wrong-epoch' as const][kind]
          watched.cut()
        } else if (kind < 6) watched.send(writeResync(0, 0))
        else if (kind < 8) watched.send(writeResync(epoch, Math.max(1, seq - by)))
        else if (kind < 10) {
          await settle(player)
          await room.leave()
          // Into the very seat, and with a position from before it came.
          seated[at] = await sit()
          const now = seated[at].room.position
          seated[at].watched.send(writeResync(now.epoch, Math.max(1, now.seq - by)))
        } else if (kind < 15) await ask(player, (['nudge', 'haunt', 'haunt', 'sweep', 'fail'] as const)[kind - 10], {})
        else if (seated.length < seatsMax) seated.push(await sit())
        if (step === steps >> 1) {
          deaths += await server.metric('kasagi_worker_deaths_total{')
          await server.stop()
          server = await start(port)
        }
      }
      const refused = watch()
      const joined = connectWith(refused.open, url).join(twin, { name: 'main', join: { who: 200, fails: true } })
      expect(['join-refused', 'room-full']).toContain(await joined.catch((error: { code: string }) => error.code))
      outside.push(...refused.received)
      await Promise.all(seated.map(settle))
      const rooms = await (await fetch(`${http}/_kasagi/rooms/twin`)).json() as { name: string; listing: string }[]
      expect(rooms).toHaveLength(1)
      outside.push(new Uint8Array(Buffer.from(rooms[0].listing, 'base64url')).buffer)
      take(JSON.stringify(rooms))
      take(await (await fetch(`${http}/metrics`)).text())
      deaths += await server.metric('kasagi_worker_deaths_total{')
      seated[0].room.send('close', {})
      await until(() => seated.every(({ room }) => room.status === 'closed'), `SEED=${seed} the room is closed`)

      const marks = allMarks(seed, [numbersMax, ...everybody.map(({ given }) => 1 + Math.max(echoesMax, ...Object.values(given)))])
      for (const { who, room, watched, given: { drawn, spent, refused: nacks } } of everybody) {
        const found = marksIn(marks, watched.received), place = `SEED=${seed} client ${who}`
        expect([...found].filter((label) => !label.startsWith(`${who} `)), `${place} has received`).toEqual([])
        const due = Array.from({ length: drawn }, (_, n) => [`${who} card ${n}`, `${who} word ${n} as text`]).flat()
        due.push(`${who} wallet ${spent}`, `${who} wallet ${spent} as text`)
        expect(due.filter((label) => !found.has(label)), `${place} has not received`).toEqual([])
        if (nacks > 20) expect([...found].some((label) => label.includes('refusal')), `${place} was told why`).toBe(true)
        expect(watched.received.reduce((sum, message) => sum + strayBytes(message), 0), `${place}: stray bytes`).toBe(0)
        expect([namesIn(watched.received, publicNames), namesIn(watched.received, serverNames)], place).toEqual([publicNames, []])
        expect(room.stats.hashMismatches, place).toBe(0)
      }
      expect([...marksIn(marks, outside)], `SEED=${seed} without a seat`).toEqual([])
      // Each of what this is about has happened.
      const slots = everybody.map(({ watched }) => watched.slots[0]), resynced = everybody.flatMap(({ watched }) => watched.resynced)
      expect(new Set(slots).size, `SEED=${seed} slots are given out again`).toBeLessThan(slots.length)
      expect([resynced.includes('sections'), resynced.includes('snapshot'), deaths > 0], `SEED=${seed}`).toEqual([true, true, true])
    } finally {
      if (process.env.SHOW !== undefined) console.log(server.lines.map(({ text }) => text).join('\n'))
      await server.stop()
      rmSync(data, { recursive: true, force: true })
    }
  }, 300_000)
})
