/** Author code that ends its thread: what is dropped, what is closed, and that everybody else goes on. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { connect, type ClientRoom } from 'kasagi-engine/client'
import { defineSchema, text, u32 } from 'kasagi-engine/schema'
import { startTestEngine, until, type TestEngine } from '../support/engine.js'

const schemaText = `
import { defineSchema, text, u32 } from 'kasagi-engine/schema'
export const mine = defineSchema('mine', { globals: { n: u32, left: u32, deadlyTick: u32, deadlyFrom: u32 },
  inputs: { dig: {}, exit: {}, loop: {}, stuck: { ms: u32 }, later: {}, heap: {}, leak: {}, arm: {}, doom: { inTicks: u32 } }, options: { kill: text(10) }, join: { how: text(10) } })
`
const mine = defineSchema('mine', {
  globals: { n: u32, left: u32, deadlyTick: u32, deadlyFrom: u32 },
  inputs: { dig: {}, exit: {}, loop: {}, stuck: { ms: u32 }, later: {}, heap: {}, leak: {}, arm: {}, doom: { inTicks: u32 } },
  options: { kill: text(10) },
  join: { how: text(10) },
})

/** `once` holds for one thread's life only: what kills but once. */
const roomText = (tickHz: number, folder: string): string => `
import { existsSync, writeFileSync } from 'node:fs'
import { pbkdf2Sync } from 'node:crypto'
import { defineRoom } from 'kasagi-engine'
import { mine } from '../shared/mine.js'
const once = (name, run) => { if (existsSync('${folder}/' + name)) return; writeFileSync('${folder}/' + name, ''); run() }
const leaked = []
let leaking = false
export default defineRoom(mine, { tickHz: ${tickHz}, graceMs: 0,
  onCreate(room) { if (room.options.kill === 'create') process.exit(4) },
  onJoin(room, session, { how }) { if (how === 'exit') process.exit(5) },
  onLeave(room) { room.globals.left++; if (room.options.kill === 'leave') process.exit(6) },
  onTick(room) {
    if (room.globals.deadlyTick === 1) process.exit(7)
    if (room.globals.deadlyFrom !== 0 && room.time.tick >= room.globals.deadlyFrom) process.exit(8)
    if (room.options.kill === 'leak') for (let n = 0; n < 20; n++) leaked.push(new Array(100_000).fill(n + 0.5))
  },
  onInput: {
    dig(room) { room.globals.n++ },
    exit() { process.exit(3) },
    loop() { for (;;) {} },
    stuck(room, _, { ms }) { once('stuck', () => { const end = performance.now() + ms; while (performance.now() < end) pbkdf2Sync('a', 'b', 3_000_000, 64, 'sha512') }) },
    later() { once('later', () => { setTimeout(() => { throw new Error('a timer of the author') }, 1) }) },
    heap() { const all = []; for (;;) all.push(new Array(1e6).fill(all.length)) },
    leak() {},
    arm(room) { room.globals.deadlyTick = 1 },
    doom(room, _, { inTicks }) { room.globals.deadlyFrom = room.time.tick + inTicks },
  },
})
`
type Mine = ClientRoom<typeof mine>
const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'applied', (error: { code: string }) => error.code)

describe('poison', () => {
  let server: TestEngine, folder: string
  const start = async (tickHz: number, ...flags: string[]): Promise<void> => {
    server = await startTestEngine({ 'shared/mine.ts': schemaText, 'rooms/mine.ts': roomText(tickHz, folder) }, flags)
  }
  const join = (name: string, kill = ''): Promise<Mine> => connect(server.url, { verify: true }).join(mine, { name, options: { kill } })
  const deaths = (kind: string): Promise<number> => server.metric(`kasagi_worker_deaths_total{reason="${kind}"}`)
  beforeEach(() => { folder = mkdtempSync(joinPath(tmpdir(), 'kasagi-poison-')) })
  afterEach(async () => { await server.stop(); rmSync(folder, { recursive: true, force: true }) })

  for (const tickHz of [0, 20]) {
    for (const [input, kind] of [['exit', 'exit'], ['loop', 'stalled'], ['heap', 'heap']] as const) {
      it(`poison: an input that ends its thread twice (${kind}) is dropped with a nack, at ${tickHz} Hz; all others count once`, async () => {
        await start(tickHz, '--stall-ms', kind === 'stalled' ? '500' : '10000')
        const ann = await join('deep'), bob = await join('deep'), far = await join('far')
        const digs = [ann.ask('dig', {}), bob.ask('dig', {})]
        const poisoned = codeOf(ann.ask(input, {}))
        digs.push(ann.ask('dig', {}), bob.ask('dig', {}), far.ask('dig', {}))
        expect(await poisoned).toBe('poisoned')
        await Promise.all(digs)
        await until(() => bob.globals.n === 4 && far.globals.n === 1, 'all see it')
        expect([ann.globals.n, ann.status, bob.status, far.status]).toEqual([4, 'live', 'live', 'live'])
        expect([ann.stats.reconnects, ann.stats.resyncs, ann.stats.hashMismatches]).toEqual([0, 0, 0])
        expect(await deaths(kind)).toBe(2)
        expect(server.lines.some(({ text }) => text.includes('onInput of journal entry') && text.includes('twice'))).toBe(true)
      })
    }
  }

  it('poison: a throw in an author\'s timer ends the thread once, and nothing else', async () => {
    await start(20)
    const ann = await join('deep')
    await ann.ask('later', {})
    await until(async () => await deaths('error') === 1, 'the thread is gone')
    await ann.ask('dig', {})
    expect([ann.globals.n, ann.status]).toEqual([1, 'live'])
  })

  it('poison: a thread that cannot be ended has no successor before its exit', async () => {
    await start(20, '--stall-ms', '300')
    const ann = await join('deep')
    const began = performance.now()
    ann.send('stuck', { ms: 3000 })
    await ann.ask('dig', {})
    // Nothing can interrupt the hash: whoever answers earlier would write the same arena.
    expect(performance.now() - began).toBeGreaterThan(1000)
    expect([ann.globals.n, ann.status, await deaths('stalled')]).toEqual([1, 'live', 1])
  })

  it('poison: two deaths in one tick drop the inputs that are not committed, with a nack, and the room lives', async () => {
    await start(20)
    const ann = await join('deep')
    await ann.ask('dig', {})
    const answers = [codeOf(ann.ask('dig', {})), codeOf(ann.ask('arm', {}))]
    expect((await Promise.all(answers)).includes('poisoned')).toBe(true)
    await ann.ask('dig', {})
    expect([ann.globals.deadlyTick, ann.status, await deaths('exit')]).toEqual([0, 'live', 2])
  })

  it('poison: the third death closes that room, and only it', async () => {
    await start(20)
    const ann = await join('deep'), far = await join('far')
    await ann.ask('doom', { inTicks: 3 })
    await until(() => ann.status === 'closed', 'the room is closed')
    await expect(ann.ask('dig', {})).rejects.toMatchObject({ code: 'room-poisoned' })
    await far.ask('dig', {})
    expect([far.globals.n, far.status, await deaths('exit')]).toEqual([1, 'live', 3])
    expect(server.lines.some(({ text }) => text.includes('too often: the room is closed'))).toBe(true)
  })

  const comesBack = process.env.LONG === undefined ? 0 : 3
  it(`poison: who sends one poison input after the other loses the room at thirty deaths within a minute, ${comesBack + 1} times in a row; its neighbour on the same worker goes on`, async () => {
    await start(0)
    const far = await join('far')
    for (let times = 0; times <= comesBack; times++) {
      const ann = await join('deep'), before = await deaths('exit')
      while (ann.status !== 'closed') expect(['poisoned', 'room-poisoned']).toContain(await codeOf(ann.ask('exit', {})))
      // The wall clock's minute may have turned in between.
      const died = await deaths('exit') - before
      expect([died >= 30, died < 60]).toEqual([true, true])
    }
    await far.ask('dig', {})
    expect([far.globals.n, far.status, await server.metric('kasagi_workers{state="given-up"}')]).toEqual([1, 'live', 0])
  }, 60_000 + comesBack * 120_000)

  it('poison: a room whose opening ends the thread fails to open, and the engine stays up', async () => {
    await start(20)
    const far = await join('far')
    expect(await codeOf(join('deep', 'create'))).toBe('room-failed')
    await far.ask('dig', {})
    expect([far.status, await deaths('exit')]).toEqual(['live', 2])
  })

  it('poison: a join that ends the thread is refused, a leave that does so is done without its handler', async () => {
    await start(20)
    const ann = await join('deep', 'leave'), bob = await join('deep')
    expect(await codeOf(connect(server.url).join(mine, { name: 'deep', join: { how: 'exit' } }))).toBe('join-refused')
    await ann.leave()
    await until(async () => await deaths('exit') === 4, 'two deaths each')
    await bob.ask('dig', {})
    expect([bob.globals.left, bob.status]).toEqual([0, 'live'])
  })

  it('poison: a room that fills the heap is closed at its third time, and another of the same thread goes on', async () => {
    await start(20)
    const far = await join('far'), ann = await join('deep', 'leak')
    await until(() => ann.status === 'closed', 'the leaking room is closed', 60_000)
    await far.ask('dig', {})
    expect([far.globals.n, far.status, await deaths('heap')]).toEqual([1, 'live', 3])
  }, 90_000)

  it('poison: neighbours on another worker miss no tick', async () => {
    await start(20, '--workers', '2', '--stall-ms', '300')
    const rooms: Mine[] = []
    for (let n = 0; n < 8; n++) rooms.push(await join(`room ${n}`))
    for (let n = 0; n < 5; n++) expect(await codeOf(rooms[0].ask('exit', {}))).toBe('poisoned')
    expect([await server.metric('kasagi_ticks_missed_total'), await deaths('exit')]).toEqual([0, 10])
    expect(rooms.every(({ status }) => status === 'live')).toBe(true)
  })
})
