/** The room, the players and the checks of all tests with several instances: every player counts, and checks what it is shown. */
import { expect } from 'vitest'
import { connect, type ClientRoom } from 'kasagi-engine/client'
import { defineSchema, quantized, table, text, u32 } from 'kasagi-engine/schema'
import { until } from '../support/engine.js'
import type { Cluster } from '../support/cluster.js'
import type { ServeProcess } from '../support/process.js'

const shape = `
  player: 'players', globals: { total: u32, ticks: u32 },
  tables: {
    players: table({ name: text(24), counted: u32, secret: u32.to('owner') }, { capacity: 400, ids: true }),
    movers: table({ x: quantized(0, 1000, 0.1), born: u32 }, { capacity: 256 }),
  },
  inputs: { count: { by: u32 }, close: {} }, events: { counted: { by: u32 } }, join: { name: text(24) }`
const schemaText = `import { defineSchema, quantized, table, text, u32 } from 'kasagi-engine/schema'\nexport const tally = defineSchema('tally', {${shape} })\n`
export const tally = defineSchema('tally', {
  player: 'players', globals: { total: u32, ticks: u32 },
  tables: {
    players: table({ name: text(24), counted: u32, secret: u32.to('owner') }, { capacity: 400, ids: true }),
    movers: table({ x: quantized(0, 1000, 0.1), born: u32 }, { capacity: 256 }),
  },
  inputs: { count: { by: u32 }, close: {} }, events: { counted: { by: u32 } }, join: { name: text(24) },
})
export type Tally = ClientRoom<typeof tally>

/** A project with one room type. `settings`: of its definition, as text. */
export const project = (settings = ''): Record<string, string> => ({
  'shared/tally.ts': schemaText,
  'rooms/tally.ts': `
import { defineRoom } from 'kasagi-engine'
import { tally } from '../shared/tally.js'
export default defineRoom(tally, {
  tickHz: 20, ${settings.includes("snapshotEveryMs") ? "" : "snapshotEveryMs: 500,"} ${settings}
  onCreate(room) { for (let n = 0; n < 50; n++) room.tables.movers.spawn({ x: n, born: n }) },
  onJoin(room, session, { name }) { session.row = room.tables.players.spawn({ name }, { id: name, owner: session }) },
  onLeave(room, { row }) { if (row !== undefined) room.tables.players.despawn(row) },
  onTick(room) { const { movers } = room.tables; room.globals.ticks++; for (const row of movers.rows()) movers.x[row] = (movers.x[row] + 0.5) % 1000 },
  onInput: { count(room, session, { by }) {
    const { movers, players } = room.tables
    room.globals.total += by
    players.counted[session.row] += by
    players.secret[session.row]++
    const [oldest] = [...movers.rows()].sort((a, b) => movers.born[a] - movers.born[b])
    movers.despawn(oldest)
    movers.spawn({ x: room.random.int(1000), born: room.globals.total + 100 })
    room.emit('counted', { by })
  }, close(room) { room.close('done') } } })
`,
})

export function picture({ globals, tables: { players, movers } }: Tally): string {
  const lines = [`total ${globals.total} ${globals.ticks}`]
  for (const row of players.rows()) lines.push(`player ${row} ${players.name.get(row)} ${players.counted[row]}`)
  for (const row of movers.rows()) lines.push(`mover ${row} ${movers.x[row].toFixed(3)} ${movers.born[row]}`)
  return lines.join('\n')
}

export interface Player {
  readonly name: string
  readonly room: Tally
  /** Inputs sent, each of which counts one; and refused, by code. */
  sent: number
  readonly refused: string[]
  /** Longest time without a flush, ms; since when. */
  longestMs: number
  lastMs: number
  rewound: number
  /** Positions that cannot be. */
  readonly wrong: string[]
}

/** Joins and checks from then on: within an epoch seqs never fall, and an epoch never comes back. */
export async function enter(url: string, roomName: string, name: string): Promise<Player> {
  const room = await connect(url, { verify: true }).join(tally, { name: roomName, join: { name } })
  const player: Player = { name, room, sent: 0, refused: [], longestMs: 0, lastMs: performance.now(), rewound: 0, wrong: [] }
  let epoch = 0, seq = 0
  room.onFlush(() => {
    const now = performance.now(), { position } = room
    player.longestMs = Math.max(player.longestMs, now - player.lastMs)
    player.lastMs = now
    // Missing sections of one seq, the room's and the session's own, come one after the other.
    if (position.epoch < epoch || (position.epoch === epoch && position.seq < seq)) player.wrong.push(`${epoch} ${seq}, then ${position.epoch} ${position.seq}`)
    epoch = position.epoch
    seq = position.seq
  })
  room.onStatus((told) => { if (told === 'rewound') player.rewound++ })
  return player
}

/** Sends one input that counts one; what is refused is remembered. */
export function count(player: Player): Promise<void> {
  player.sent++
  return player.room.ask('count', { by: 1 }).catch((error: { code: string }) => { player.refused.push(error.code) })
}

/** Players that count without end until they are told to stop. */
export function play(players: readonly Player[], everyMs: number): () => Promise<void> {
  let isOver = false
  const playing = players.map(async (player) => {
    while (!isOver) { void count(player); await sleep(everyMs) }
  })
  return async () => { isOver = true; await Promise.all(playing) }
}

/** When the room goes on after a moment, as each of `players` sees it: ms until its first flush in a newer epoch. */
export const goesOn = (players: readonly Player[], epoch: number): Promise<number[]> => Promise.all(players.map(async ({ room, name }) => {
  const began = performance.now()
  await until(() => room.position.epoch > epoch, () => `${name} sees a new owner: ${room.status} at ${JSON.stringify(room.position)}`, 20_000)
  return performance.now() - began
}))

export const countedOf = ({ room, name }: Player): number => room.tables.players.get(name)?.counted ?? -1

/** All see the same at one position, and no hash of the room's state has ever differed. */
export async function expectSame(players: readonly Player[], why: string): Promise<void> {
  const [first, ...others] = players
  for (const other of others) {
    await until(() => {
      const [a, b] = [first.room.position, other.room.position]
      if (a.seq !== b.seq || a.epoch !== b.epoch) return false
      expect(picture(other.room), `${why}: ${other.name} sees what ${first.name} sees at ${a.epoch} ${a.seq}`).toBe(picture(first.room))
      return true
    }, () => `${why}: ${first.name} at ${JSON.stringify(first.room.position)} and ${other.name} at ${JSON.stringify(other.room.position)} meet`)
  }
  for (const { name, room, wrong } of players) expect([name, room.status, room.stats.hashMismatches, wrong], why).toEqual([name, 'live', 0, []])
}

/** The instances that say that they run rooms. */
export async function runners({ instances }: Cluster): Promise<ServeProcess[]> {
  const running: ServeProcess[] = []
  for (const instance of instances) {
    const rooms = await instance.metric('kasagi_rooms_run{role="running"').catch(() => 0)
    if (rooms > 0) running.push(instance)
  }
  return running
}

/** What each instance says of its rooms, or that it says nothing: for the message of a test that waits for them. */
export async function rolesOf({ instances }: Cluster): Promise<string> {
  const said = await Promise.all(instances.map(async ({ http }) => {
    try {
      const text = await (await fetch(`${http}/metrics`, { signal: AbortSignal.timeout(2000) })).text()
      return text.split('\n').filter((line) => line.startsWith('kasagi_rooms_run{')).join(' ')
    } catch (error) {
      return String(error)
    }
  }))
  return said.map((roles, at) => `${at}: ${roles}`).join('; ')
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms) })

/** The value below which `part` of the values lie. */
export const percentile = (values: readonly number[], part: number): number => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))]
