/**
 * A crowd in one room, of which at any tick some have something of their own and most have not, who come, go, stop reading and come back: everybody gets every
 * frame, whole and in order, whichever way it was sent.
 */
import { afterEach, describe, expect, it } from 'vitest'
import { connect, type ClientRoom, type Connection } from 'kasagi-engine/client'
import { defineSchema, f32, table, u32 } from 'kasagi-engine/schema'
import { nextInt, seedPrng } from '../../src/base/prng.js'
import { startTestEngine, until, type TestEngine } from '../support/engine.js'
import { startProxy, type Proxy } from '../support/proxy.js'

const seed = process.env.SEED === undefined ? 20_261_126 : Number(process.env.SEED)
const crowd = 40, ticks = process.env.LONG === undefined ? 60 : 1200
const state = new Uint32Array(4)
const int = (below: number): number => nextInt(state, below)

const flock = defineSchema('flock', {
  player: 'birds',
  globals: { turn: u32, calls: u32 },
  tables: { birds: table({ x: f32, seen: u32, secret: u32.to('owner') }, { capacity: 200, ids: true }) },
  inputs: { call: {} },
  events: { whisper: { turn: u32 } },
})
const files = {
  'shared/flock.ts': `import { defineSchema, f32, table, u32 } from 'kasagi-engine/schema'
export const flock = defineSchema('flock', {
  player: 'birds',
  globals: { turn: u32, calls: u32 },
  tables: { birds: table({ x: f32, seen: u32, secret: u32.to('owner') }, { capacity: 200, ids: true }) },
  inputs: { call: {} },
  events: { whisper: { turn: u32 } },
})`,
  // Of one bird in thirty, what everybody sees and what its owner alone sees change in one tick.
  'rooms/flock.ts': `import { defineRoom } from 'kasagi-engine'
import { flock } from '../shared/flock.js'
export default defineRoom(flock, { tickHz: 20,
  onJoin({ tables: { birds } }, session) { session.row = birds.spawn({}, { id: session.id, owner: session }) },
  onLeave({ tables: { birds } }, session) { birds.despawn(session.row) },
  onInput: { call({ globals }) { globals.calls++ } },
  onTick(room) {
    const { globals, tables: { birds }, random } = room
    globals.turn++
    for (const row of birds.rows()) {
      birds.x[row]++
      if (random.int(30) > 0) continue
      birds.seen[row] = birds.secret[row] = globals.turn
    }
    for (const session of room.sessions.values()) if (random.int(40) === 0) room.emit('whisper', { turn: globals.turn }, session)
  },
})`,
}
type Flock = ClientRoom<typeof flock>

/** A client that looks at each frame as it comes. */
interface Bird { readonly room: Flock; readonly wrong: string[]; turn: number; whispers: number }

function follow(room: Flock): Bird {
  const bird: Bird = { room, wrong: [], turn: room.globals.turn, whispers: 0 }
  let whispered = 0
  room.on('whisper', ({ turn }) => { whispered = turn; bird.whispers++ })
  room.onFlush(() => {
    const { globals: { turn }, tables: { birds } } = room, mine = birds.get(room.sessionId)
    if (turn !== bird.turn + 1 && turn !== bird.turn && room.stats.reconnects === 0) bird.wrong.push(`turn ${turn} behind ${bird.turn}`)
    if (mine !== undefined && mine.secret !== mine.seen) bird.wrong.push(`turn ${turn}: seen ${mine.seen}, and of its own ${mine.secret}`)
    if (whispered !== 0 && whispered !== turn) bird.wrong.push(`turn ${turn}: a whisper of ${whispered}`)
    whispered = 0
    bird.turn = turn
  })
  return bird
}

const picture = ({ globals, tables: { birds } }: Flock): string => `${globals.turn} ${globals.calls}\n${[...birds.rows()].map((row) => `${row} ${birds.x[row]} ${birds.seen[row]}`).join('\n')}`

describe('in step', () => {
  let server: TestEngine, proxy: Proxy | undefined
  const connections: Connection[] = []
  const enter = async (url = server.url): Promise<Bird> => {
    const connection = connect(url, { verify: true })
    connections.push(connection)
    return follow(await connection.join(flock, { name: 'main' }))
  }
  afterEach(async () => {
    for (const connection of connections.splice(0)) connection.close()
    await proxy?.stop()
    await server.stop()
  })

  it(`in step: ${crowd} clients get every frame of ${ticks} ticks whole and in order, while some call, come, go or lose their connection`, async () => {
    seedPrng(state, seed)
    server = await startTestEngine(files)
    proxy = await startProxy(server.url)
    const birds = await Promise.all(Array.from({ length: crowd }, () => enter())), through = await Promise.all([enter(proxy.url), enter(proxy.url)])
    let calls = 0
    for (const end = birds[0].turn + ticks; birds[0].turn < end;) {
      // Now one of them calls within a tick, now nearly all, now nobody.
      const callers = [0, 1, 3, crowd - 1][int(4)]
      await Promise.all(Array.from({ length: callers }, () => birds[int(birds.length)].room.ask('call', {})))
      calls += callers
      const what = int(8)
      if (what === 0) birds.push(await enter())
      // The first is the one that tells the time.
      if (what === 1) await birds.splice(1 + int(birds.length - 1), 1)[0].room.leave()
      if (what === 2) proxy.cut()
      await new Promise((resolve) => { setTimeout(resolve, int(60)) })
    }
    const all = [...birds, ...through]
    await until(() => all.every(({ room }) => room.status === 'live' && room.globals.calls === calls), `all are live and have heard all ${calls} calls, SEED=${seed}`)
    await until(() => new Set(all.map(({ room }) => room.position.seq)).size === 1, 'all stand at one seq')
    const seen = new Set(all.map(({ room }) => picture(room)))
    expect([seen.size, all.flatMap(({ wrong }) => wrong)], `SEED=${seed}`).toEqual([1, []])
    expect(birds.map(({ room: { stats: { resyncs, hashMismatches, reconnects, missedEvents } } }) => resyncs + hashMismatches + reconnects + missedEvents).every((count) => count === 0), `SEED=${seed}`).toBe(true)
    expect(through.every(({ room }) => room.stats.reconnects > 0)).toBe(true)
    expect(birds.reduce((sum, { whispers }) => sum + whispers, 0)).toBeGreaterThan(ticks / 2)
    expect(await server.metric('kasagi_inputs_total{result="accepted"}')).toBe(calls)
  }, 30_000 + ticks * 200)
})
