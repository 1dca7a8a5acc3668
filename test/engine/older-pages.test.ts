/** Pages that were loaded before a deploy: two versions of a project over one data folder, on one port, and clients of the first that stay. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { connect, type ClientRoom } from 'kasagi-engine/client'
import * as fieldTypes from 'kasagi-engine/schema'
import { defineSchema, table, text, u16, u32, type Schema } from 'kasagi-engine/schema'
import { until } from '../support/engine.js'
import { createServeProcess, type ServeProcess } from '../support/process.js'

const tally = defineSchema('tally', {
  player: 'players', globals: { total: u32 },
  tables: { players: table({ counted: u32, name: text(12), secret: u32.to('owner') }, { capacity: 16, ids: true }), marks: table({ value: u16 }, { capacity: 40 }) },
  inputs: { count: { by: u32 }, mark: { value: u16 } }, events: { rang: { by: u32 } }, join: { name: text(12) },
})
const firstSchema = `player: 'players', globals: { total: u32 },
  tables: { players: table({ counted: u32, name: text(12), secret: u32.to('owner') }, { capacity: 16, ids: true }), marks: table({ value: u16 }, { capacity: 40 }) },
  inputs: { count: { by: u32 }, mark: { value: u16 } }, events: { rang: { by: u32 } }, join: { name: text(12) },`
const firstRoom = `tickHz: 0, graceMs: 20_000,
  onJoin(room, session, { name }) { session.row = room.tables.players.spawn({ name, secret: 7 }, { id: name, owner: session }) },
  onLeave({ tables: { players } }, session) { if (session.row !== undefined) players.despawn(session.row) },
  onInput: {
    count(room, session, { by }) { room.globals.total += by; room.tables.players.counted[session.row] += by; room.tables.players.secret[session.row]++; room.emit('rang', { by }) },
    mark(room, _, { value }) { room.tables.marks.spawn({ value }) },
  },`

type Change = readonly [from: string, to: string]
const changed = (text: string, changes: readonly Change[]): string => changes.reduce((before, [from, to]) => {
  expect(before, 'a change finds what it changes').toContain(from)
  return before.replace(from, to)
}, text)

/** Something new in the middle of everything, and a table that is larger. */
const added: readonly Change[] = [
  ['globals: { total', 'globals: { season: u16, total'], ['tables: { players: table({ counted: u32, name', "tables: { walls: table({ height: u16, label: text(8) }, { capacity: 200, ids: true }), players: table({ armour: u16.default(3), counted: u32, hidden: u32.to('server'), level: text(6), name"],
  ['capacity: 40', 'capacity: 300'], ['inputs: { count: { by: u32 }', 'inputs: { jump: {}, count: { by: u32 }, build: { height: u16 }'], ['events: { rang', 'events: { fell: { deep: u32 }, rang'],
]
const secondSchema = changed(firstSchema, added)
const secondRoom = changed(firstRoom, [
  ['room.globals.total += by;', "room.globals.total += by; room.globals.season++; room.tables.players.armour[session.row]++; room.tables.players.level.set(session.row, 'n' + by); room.emit('fell', { deep: by });"],
  ['onInput: {', "onInput: { jump() {}, build(room, _, { height }) { room.tables.walls.spawn({ height, label: 'wall' }) },"],
])
const filesOf = (schema: string, room: string): Record<string, string> => ({
  'shared/tally.ts': `import { ${Object.keys(fieldTypes).join(', ')} } from 'kasagi-engine/schema'\nexport const tally = defineSchema('tally', {${schema}\n})\n`,
  'rooms/tally.ts': `import { defineRoom } from 'kasagi-engine'\nimport { tally } from '../shared/tally.js'\nexport default defineRoom(tally, { ${room}\n})\n`,
})
/** The same schema for a client in this process. */
const schemaOf = (schema: string): Schema => (new Function(...Object.keys(fieldTypes), `return defineSchema('tally', {${schema}})`) as (...types: unknown[]) => Schema)(...Object.values(fieldTypes))

type Tally = ClientRoom<typeof tally>
interface NewTally extends Tally { ask(input: 'count' | 'mark' | 'build' | 'jump', data: object): Promise<void> }

describe('older pages', () => {
  let server: ServeProcess
  afterEach(() => server.end())

  const begin = async (): Promise<void> => {
    server = await createServeProcess(filesOf(firstSchema, firstRoom))
    await server.start()
  }
  const stop = (): Promise<void> => server.kill('SIGTERM')
  const run = async (schema: string, room: string): Promise<void> => {
    for (const [path, content] of Object.entries(filesOf(schema, room))) {
      mkdirSync(join(server.folder, 'project', 'rooms'), { recursive: true })
      writeFileSync(join(server.folder, 'project', path), content)
    }
    await server.start()
  }
  const enter = (name: string, verify = true): Promise<Tally> => connect(server.url, { verify }).join(tally, { name: 'main', join: { name } })
  const enterNew = (name: string, schema = secondSchema): Promise<NewTally> => connect(server.url, { verify: true }).join(schemaOf(schema), { name: 'main', join: { name } }) as unknown as Promise<NewTally>
  const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'resolved', (error: { code: string }) => error.code)
  const isBack = (room: Tally): Promise<void> => until(() => room.status === 'live', () => `the page is back: ${room.status}`, 15_000)

  it('older pages: one that was loaded before a deploy plays on behind it, beside one that was loaded after; and on behind a way back', async () => {
    await begin()
    const ann = await enter('ann'), { sessionId } = ann, { players, marks } = ann.tables, { counted } = players, mine = players.mine!, rang: number[] = [], told: unknown[] = []
    ann.on('rang', ({ by }) => rang.push(by))
    ann.onStatus((...status) => told.push(status))
    await ann.ask('count', { by: 1 })
    await ann.ask('mark', { value: 11 })
    await stop()
    // While nobody runs the room, and by the old numbers: they are sent by the new ones.
    for (let n = 0; n < 5; n++) ann.send('count', { by: 10 })
    await run(secondSchema, secondRoom)
    await isBack(ann)
    await until(() => counted[mine] === 51, () => `held inputs count: ${counted[mine]}`)
    expect([ann.sessionId, ann.tables.players === players, players.mine, players.get('ann')!.name, ann.globals.total, players.secret[mine], [...marks.rows()].map((row) => marks.value[row])]).toEqual([sessionId, true, mine, 'ann', 51, 13, [11]])
    const bob = await enterNew('bob'), bobs = bob.tables.players.mine!
    await bob.ask('jump', {})
    for (let n = 0; n < 6; n++) await bob.ask('build', { height: n })
    await bob.ask('count', { by: 100 })
    for (let n = 0; n < 120; n++) await bob.ask('mark', { value: n })
    await ann.ask('count', { by: 1000 })
    await ann.ask('mark', { value: 999 })
    await until(() => marks.size === 122 && ann.globals.total === 1151, () => `ann sees what bob does: ${marks.size} marks, ${ann.globals.total}`)
    expect([players.get('bob')?.counted, counted[bobs], counted[mine], bob.tables.players.counted[mine], marks.value[121], Object.keys(ann.tables)]).toEqual([100, 100, 1051, 1051, 999, ['players', 'marks']])
    expect([(bob.globals as unknown as { season: number }).season, (bob.tables as unknown as { walls: { size: number } }).walls.size]).toEqual([7, 6])
    expect(rang).toEqual([1, ...new Array<number>(5).fill(10), 100, 1000])
    // One that had been loaded before, and joins only now.
    const old = await enter('old')
    await old.ask('count', { by: 10_000 })
    await until(() => ann.globals.total === 11_151, 'all count')
    expect([old.tables.players.size, old.tables.marks.size, old.tables.players.get('bob')?.counted, old.tables.players.get('old')?.secret]).toEqual([3, 122, 100, 8])
    for (let n = 0; n < 120; n++) await bob.ask('count', { by: 0 })
    expect([ann, bob, old].map(({ stats: { hashMismatches, resyncs } }) => [hashMismatches, resyncs])).toEqual([[0, 0], [0, 0], [0, 0]])
    await Promise.all([old.leave(), bob.leave()])
    // Back to the old code, with room for what was stored: its own numbers again.
    await stop()
    await run(firstSchema.replace('capacity: 40', 'capacity: 300'), firstRoom)
    await isBack(ann)
    await ann.ask('count', { by: 5 })
    expect([ann.globals.total, counted[mine], marks.size, ann.stats.hashMismatches, ann.stats.reconnects]).toEqual([11_156, 1056, 122, 0, 2])
    expect(told.map((status) => (status as string[])[0])).toEqual(['resuming', 'live', 'resuming', 'live'])
    await ann.leave()
  }, 60_000)

  it('older pages: where something that they know has changed they are told update-required, whether they come back or join', async () => {
    await begin()
    const ann = await enter('ann'), told: unknown[] = []
    ann.onStatus((...status) => told.push(status))
    await ann.ask('count', { by: 1 })
    await stop()
    await run(changed(firstSchema, [['name: text(12), secret', 'name: text(20), secret']]), firstRoom)
    await until(() => ann.status === 'closed', 'the stay has ended', 15_000)
    expect(told.at(-1)).toEqual(['closed', 'update-required'])
    expect(() => ann.send('count', { by: 1 })).toThrow('update-required: players.name has changed')
    expect(await codeOf(enter('old'))).toBe('update-required')
    const bob = await enterNew('bob', changed(firstSchema, [['name: text(12), secret', 'name: text(20), secret']]))
    // Nobody waits for sessions whose pages are loaded anew.
    await until(() => bob.tables.players.size === 1, () => `ann has left: ${bob.tables.players.size}`)
    expect([bob.globals.total, await server.metric('kasagi_handler_errors_total')]).toEqual([1, 0])
    await bob.leave()
  }, 60_000)

  it('older pages: other join data are an update-required to who joins; who comes back has said his', async () => {
    await begin()
    const ann = await enter('ann')
    await stop()
    await run(changed(firstSchema, [['join: { name', 'join: { team: u32, name']]), firstRoom)
    await isBack(ann)
    await ann.ask('count', { by: 1 })
    expect([ann.globals.total, await codeOf(enter('old'))]).toEqual([1, 'update-required'])
    await ann.leave()
  }, 60_000)
})
