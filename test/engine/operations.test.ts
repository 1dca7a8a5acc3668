/** What an operator has at three in the morning: log lines and numbers that name the cause, and nothing that a stranger can fill them with. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { SignJWT } from 'jose'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { connect, type ClientRoom } from 'kasagi-engine/client'
import { defineSchema, quantized, table, text, u32 } from 'kasagi-engine/schema'
import { metricOf, startTestEngine, until, type LogLine, type TestEngine } from '../support/engine.js'
import { createServeProcess, type ServeProcess } from '../support/process.js'

const schemaText = `
import { defineSchema, quantized, table, text, u32 } from 'kasagi-engine/schema'
export const plant = defineSchema('plant', { globals: { n: u32, slowMs: u32 }, tables: { cogs: table({ x: quantized(0, 10, 0.1) }, { capacity: 8 }) },
  inputs: { dig: {}, slow: { ms: u32 }, boom: {}, exit: {}, loop: {}, clamp: {}, noise: { times: u32 } }, events: { bang: {} }, options: { fail: text(10) } })
`
const plant = defineSchema('plant', {
  globals: { n: u32, slowMs: u32 },
  tables: { cogs: table({ x: quantized(0, 10, 0.1) }, { capacity: 8 }) },
  inputs: { dig: {}, slow: { ms: u32 }, boom: {}, exit: {}, loop: {}, clamp: {}, noise: { times: u32 } },
  events: { bang: {} },
  options: { fail: text(10) },
})
/** While the file `die` is in `folder`, a thread ends as soon as it has loaded the module. */
const roomText = (folder: string): string => `
import { existsSync } from 'node:fs'
import { defineRoom } from 'kasagi-engine'
import { plant } from '../shared/plant.js'
if (existsSync('${folder}/die')) process.exit(9)
export default defineRoom(plant, { tickHz: 20, snapshotEveryMs: 60_000,
  onCreate(room) { if (room.options.fail === 'create') throw new Error('no plan'); room.tables.cogs.spawn({ x: 5 }) },
  onTick(room) { for (const end = performance.now() + room.globals.slowMs; performance.now() < end;) {} },
  onInput: {
    dig(room) { room.globals.n++ },
    slow(room, _, { ms }) { room.globals.slowMs = ms },
    boom() { throw new Error('on purpose') },
    exit() { process.exit(3) },
    loop() { for (;;) {} },
    clamp(room) { room.tables.cogs.x[0] = 1e6 },
    noise(room, _, { times }) { for (let n = 0; n < times; n++) room.emit('bang', {}) },
  },
})
`
const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'ok', (error: { code: string }) => error.code)

describe('operations: one engine', () => {
  let server: TestEngine, folder: string
  const files = (): Record<string, string> => ({ 'shared/plant.ts': schemaText, 'rooms/plant.ts': roomText(folder) })
  const start = async (...flags: string[]): Promise<void> => { server = await startTestEngine(files(), flags) }
  const join = (name: string, fail = ''): Promise<ClientRoom<typeof plant>> => connect(server.url).join(plant, { name, options: { fail } })
  const line = (part: string): LogLine | undefined => server.lines.find(({ text }) => text.includes(part))
  const page = async (path: string): Promise<string> => { const answer = await fetch(server.http + path); return `${answer.status} ${(await answer.text()).trim()}` }
  beforeEach(() => { folder = mkdtempSync(joinPath(tmpdir(), 'kasagi-operations-')) })
  afterEach(async () => { await server.stop(); rmSync(folder, { recursive: true, force: true }) })

  it('operations: the room that makes its worker miss ticks is named, and its neighbours are not blamed', async () => {
    await start()
    const hog = await join('hog')
    await Promise.all(['a', 'b', 'c'].map((name) => join(name)))
    await hog.ask('slow', { ms: 120 })
    await until(() => line('cannot keep up') !== undefined, 'the log says so')
    const { level, text, fields } = line('cannot keep up')!
    expect([level, fields.worker, fields.room]).toEqual(['warn', 0, 'plant:hog'])
    expect(text).toContain('most of the time went to plant:hog')
    await until(async () => await server.metric('kasagi_ticks_missed_total{type="plant"}') > 0, 'it is counted')
    expect(await server.metric('kasagi_worker_busy_seconds_total{worker="0"}')).toBeGreaterThan(0)
  })

  it('operations: gauges by type and worker are what is there, and histograms add up', async () => {
    await start('--workers', '2')
    const rooms = await Promise.all(['a', 'b', 'c'].map((name) => join(name)))
    await rooms[0].ask('clamp', {})
    await rooms[0].ask('noise', { times: 300 })
    await rooms[0].ask('boom', {}).catch(() => {})
    expect(await codeOf(join('d', 'create'))).toBe('room-failed')
    await until(async () => await server.metric('kasagi_sessions{type="plant"') === 3 && await server.metric('kasagi_events_missed_total') > 0, 'workers have told')
    const all = await (await fetch(`${server.http}/metrics`)).text(), metric = (name: string): number => metricOf(all, name)
    expect([metric('kasagi_rooms{type="plant"}'), metric('kasagi_rooms_opened_total{type="plant",how="new"}'), metric('kasagi_rooms_closed_total{type="plant",why="not-opened"}')]).toEqual([3, 3, 1])
    expect([metric('kasagi_clients{state="live"}'), metric('kasagi_joins_total{result="ok"}'), metric('kasagi_joins_total{result="room-failed"}')]).toEqual([3, 3, 1])
    expect([metric('kasagi_events_missed_total{type="plant"}'), metric('kasagi_quantized_clamped_total{type="plant",table="cogs"}'), metric('kasagi_handler_errors_total{type="plant",handler="onInput.boom"}')]).toEqual([44, 1, 1])
    // Whoever watches for an increase sees the first one too.
    for (const [name, count] of [['kasagi_worker_deaths_total', 4], ['kasagi_poisoned_total', 3], ['kasagi_ticks_missed_total', 1], ['kasagi_handler_errors_total', 9]] as const) expect([name, all.match(new RegExp(`^${name}\\{`, 'gm'))?.length]).toEqual([name, count])
    expect([metric('kasagi_workers{state="running"}'), metric('kasagi_workers{state="given-up"}'), metric('kasagi_build_info')]).toEqual([2, 0, 1])
    expect(metric('kasagi_arena_bytes') - metric('kasagi_arena_free_bytes')).toBeGreaterThanOrEqual(3 * metric('kasagi_room_bytes{type="plant"}'))
    const buckets = [...all.matchAll(/^kasagi_turn_seconds_bucket\{le="([^"]+)",type="plant"\} (\d+)$/gm)].map(([, le, count]) => [Number(le.replace('+Inf', 'Infinity')), Number(count)])
    expect(buckets.length).toBeGreaterThan(10)
    for (let n = 1; n < buckets.length; n++) expect([buckets[n][0] > buckets[n - 1][0], buckets[n][1] >= buckets[n - 1][1]]).toEqual([true, true])
    expect([buckets.at(-1)![0], buckets.at(-1)![1]]).toEqual([Infinity, metric('kasagi_turn_seconds_count{type="plant"}')])
    for (const name of all.matchAll(/^(kasagi_\w+)\{(.*)\} /gm)) expect(name[2], name[0]).not.toMatch(/127\.0\.0\.1|plant:/)
  })

  it('operations: whoever connects again and again writes a line a second, and every time counts', async () => {
    await start('--connections-per-address', '1')
    await join('a')
    for (let n = 0; n < 40; n++) {
      const socket = new WebSocket(server.url)
      await new Promise((resolve) => { socket.on('close', resolve) })
    }
    const lines = server.lines.filter(({ fields }) => fields.code === 'too-many-connections')
    expect(lines.length).toBeLessThanOrEqual(3)
    expect(lines[0].fields).toMatchObject({ address: '127.0.0.1' })
    expect(await server.metric('kasagi_connections_ended_total{code="too-many-connections"}')).toBe(40)
    expect(await server.metric('kasagi_log_lines_left_out_total')).toBe(40 - lines.length)
  })

  it('operations: a thread that dies before it ran anything is not blamed on the room before; the fifth gives the worker up, and readyz says so', async () => {
    await start()
    const ann = await join('deep')
    expect(await page('/readyz')).toBe('200 ready')
    writeFileSync(joinPath(folder, 'die'), '')
    ann.send('exit', {})
    await until(() => line('died too often') !== undefined, 'the worker is given up')
    const deaths = server.lines.filter(({ text }) => text.startsWith('worker 0 died ('))
    expect(deaths.map(({ fields }) => fields.handler)).toEqual(['onInput.exit', undefined, undefined, undefined, undefined, undefined])
    expect(deaths[1].text).toContain('before it ran any room')
    expect(line('died too often')!.text).toContain('no worker is left')
    expect([await page('/readyz'), await page('/healthz'), server.engine.ready()]).toEqual(['503 not ready: no worker is left', '200 ok', false])
    expect([await server.metric('kasagi_workers{state="given-up"}'), await server.metric('kasagi_rooms_closed_total{type="plant",why="worker-lost"}')]).toEqual([1, 1])
    expect(await codeOf(connect(server.url, { reconnectMs: 0 }).join(plant, { name: 'new' }))).toBe('no-space')
  })

  it('operations: a start whose workers die with their modules is one line, not a wait for ever', async () => {
    await start()
    writeFileSync(joinPath(folder, 'die'), '')
    await expect(startTestEngine(files())).rejects.toThrow(/^bad-room-module: a worker thread ends before it has loaded its rooms; the log says how$/)
  })
})

describe('operations: a process', () => {
  let server: ServeProcess, folder: string
  const start = async (...flags: string[]): Promise<void> => server.start(...flags)
  beforeEach(async () => {
    folder = mkdtempSync(joinPath(tmpdir(), 'kasagi-operations-'))
    server = await createServeProcess({ 'shared/plant.ts': schemaText, 'rooms/plant.ts': roomText(folder) })
  })
  afterEach(async () => { await server.end(); rmSync(folder, { recursive: true, force: true }) })

  it('operations: with --log-json every line on stdout is JSON with level, time and msg, through deaths, errors, refusals, a kill and a stop; none holds a secret', async () => {
    const secret = 'a shared secret of many letters', key = new TextEncoder().encode(secret)
    const jwt = (signedWith = key): Promise<string> => new SignJWT({}).setProtectedHeader({ alg: 'HS256' }).setSubject('ann').setExpirationTime('1h').sign(signedWith)
    const flags = ['--log-json', '--log-level', 'debug', '--auth-secret', secret], good = await jwt(), forged = await jwt(new TextEncoder().encode('another secret, also long'))
    await start(...flags)
    const ann = await connect(server.url, { token: good }).join(plant, { name: 'deep' }), { sessionId } = ann
    for (const input of ['boom', 'exit'] as const) expect(await codeOf(ann.ask(input, {}))).not.toBe('ok')
    expect(await codeOf(connect(server.url, { token: forged }).join(plant, { name: 'deep' }))).toBe('auth-invalid')
    await server.kill('SIGKILL')
    await start(...flags)
    await until(() => ann.status === 'live', 'ann is back')
    await server.kill('SIGTERM')
    const lines = server.output.trim().split('\n').map((text) => JSON.parse(text) as Record<string, unknown>)
    for (const entry of lines) expect([['debug', 'info', 'warn', 'error'].includes(entry.level as string), Number.isNaN(Date.parse(entry.time as string)), typeof entry.msg], JSON.stringify(entry)).toEqual([true, false, 'string'])
    const found = (part: string): Record<string, unknown> => lines.find(({ msg }) => (msg as string).includes(part))!
    expect(found('listening on port')).toMatchObject({ level: 'info', workers: 1 })
    expect(found('onInput.boom threw')).toMatchObject({ level: 'error', room: 'plant:deep', handler: 'onInput.boom' })
    expect(found('worker 0 died')).toMatchObject({ level: 'error', worker: 0, reason: 'exit', room: 'plant:deep', handler: 'onInput.exit', user: 'ann', session: sessionId, address: '127.0.0.1' })
    expect(found('has ended the thread twice')).toMatchObject({ level: 'error', room: 'plant:deep' })
    expect(found('auth-invalid (signature verification failed)')).toMatchObject({ level: 'warn', code: 'auth-invalid', address: '127.0.0.1' })
    expect(found('did not let go')).toMatchObject({ level: 'warn' })
    expect(found('stopping')).toMatchObject({ level: 'info', rooms: 1, clients: 1 })
    expect(lines.at(-1)!.msg).toMatch(/^stopped after \d+ ms$/)
    for (const hidden of [secret, good, good.split('.')[2], forged.split('.')[2], readFileSync(joinPath(server.folder, 'data/secret'), 'utf8')]) expect(server.output.includes(hidden), hidden).toBe(false)
  })

  it('operations: for people a line is short, and a stranger cannot speak to their terminal', async () => {
    await start()
    const socket = new WebSocket(server.url, { headers: { Origin: 'https://evil.example/\u0085\u009b31m' } })
    await new Promise((resolve) => { socket.on('error', resolve) })
    await until(() => server.output.includes('evil.example'), 'the origin is named')
    expect(server.output).toMatch(/^\d\d:\d\d:\d\d warn {2}a page of https:\/\/evil\.example.* may not connect: see --origin.*$/m)
    expect(server.output.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u)
  })

  it('operations: a stop while a handler hangs ends it, and stores what was applied', async () => {
    await start('--stall-ms', '300')
    const ann = await connect(server.url).join(plant, { name: 'deep' })
    for (let n = 0; n < 5; n++) await ann.ask('dig', {})
    ann.send('loop', {})
    ann.send('dig', {})
    await until(async () => await server.metric('kasagi_inputs_total{result="accepted"}') === 7, 'both are on their way')
    await server.kill('SIGTERM')
    expect(server.output).toMatch(/worker 0 died \(stalled: .*\) in onInput\.loop of plant:deep/)
    expect(server.output).toMatch(/stopped after \d+ ms/)
    await start()
    await until(() => ann.status === 'live', 'ann is back')
    expect(ann.globals.n).toBe(6)
    expect(existsSync(joinPath(server.folder, 'data/lock'))).toBe(true)
  })
})
