/** A room's data behind a change of its schema: written by code of the version before, read by the next; with `migrate`, and without. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import * as fieldTypes from 'kasagi-engine/schema'
import { connect, type ClientRoom } from 'kasagi-engine/client'
import { until } from '../support/engine.js'
import { createServeProcess, type ServeProcess } from '../support/process.js'

/** A project as text: what stands in its schema, and in its room. */
interface Version { readonly schema: string; readonly room: string }
type Change = readonly [from: string, to: string]

const first: Version = {
  schema: `
  globals: { total: u32, migrations: u32, report: text(200) },
  tables: {
    things: table({ hp: u8, name: text(8), x: quantized(0, 100, 0.5), f: f32, mood: choice('calm', 'loud'), next: ref('things'), secret: text(8).to('server') }, { capacity: 20, ids: true }),
    deck: table({ card: u8 }, { capacity: 12, to: 'server' }),
    lines: table({ line: text(8) }, { capacity: 8, whenFull: 'drop-oldest' }),
  },
  inputs: { add: { by: u8 }, tell: {} }, events: { rang: {} },`,
  room: `tickHz: 0,
  onCreate({ tables: { things, deck, lines } }) {
    for (let n = 0; n < 10; n++) {
      things.spawn({ hp: 20 * n, name: 'thing ' + n, x: n * 1.5, f: n / 3, mood: n % 2 === 1 ? 'loud' : 'calm', next: n === 0 ? null : things.ref(n - 1), secret: 's' + n }, { id: 't' + n })
      deck.spawn({ card: n * 3 })
      lines.spawn({ line: 'line ' + n })
    }
    things.despawn(3)
  },
  onInput: {
    add(room, _, { by }) { room.globals.total += by },
    tell(room) { room.globals.report = [...room.tables.deck.rows()].map((row) => room.tables.deck.card[row]).join() },
  },`,
}

const changed = (text: string, changes: readonly Change[]): string => changes.reduce((before, [from, to]) => {
  expect(before, 'a change finds what it changes').toContain(from)
  return before.replace(from, to)
}, text)

/** The next version; `more` is added to the room. */
const next = (version: Version, changes: readonly Change[], more = ''): Version => ({ schema: changed(version.schema, changes), room: version.room + more })

const fileTexts = ({ schema, room }: Version): Record<string, string> => ({
  'shared/vault.ts': `import { ${Object.keys(fieldTypes).join(', ')} } from 'kasagi-engine/schema'\nexport const vault = defineSchema('vault', {${schema}\n})\n`,
  'rooms/vault.ts': `import { defineRoom } from 'kasagi-engine'\nimport { vault } from '../shared/vault.js'\nexport default defineRoom(vault, { ${room}\n})\n`,
})

/** The same schema for a client in this process. */
const schemaOf = ({ schema }: Version): fieldTypes.Schema =>
  (new Function(...Object.keys(fieldTypes), `return defineSchema('vault', {${schema}})`) as (...types: unknown[]) => fieldTypes.Schema)(...Object.values(fieldTypes))

/** Members as the tests read them: the schemas are made of text. */
interface Rows { readonly size: number; rows(): Iterable<number>; at(row: number): Record<string, unknown> }
interface Vault { readonly globals: Record<string, unknown>; readonly tables: Record<string, Rows>; readonly room: ClientRoom<fieldTypes.Schema>; ask(input: string, data: object): Promise<void> }

const rowsOf = ({ tables, room }: Vault, name: string, fields: readonly string[]): unknown[] => [...tables[name].rows()].map((row) => {
  const view = tables[name].at(row)
  return Object.fromEntries(['row', 'id', ...fields].map((field) => [field, field === 'next' ? (room.tables as unknown as { things: { row(ref: unknown): number | undefined } }).things.row(view[field]) : view[field]]))
})
const things = (vault: Vault, ...fields: string[]): unknown[] => rowsOf(vault, 'things', fields)
const allFields = ['hp', 'name', 'x', 'f', 'mood', 'next']

describe('schema changes', () => {
  let server: ServeProcess
  afterEach(() => server.end())

  const enter = async (version: Version, options = {}): Promise<Vault> => {
    const room = await connect(server.url, { verify: true }).join(schemaOf(version), { name: 'main', ...options })
    return { room, globals: room.globals, tables: room.tables, ask: (input: string, data: object) => (room as unknown as Vault).ask(input, data) } as unknown as Vault
  }
  /** Stops what runs, and starts this version over what it has stored. */
  const run = async (version: Version): Promise<void> => {
    if (server.child.exitCode === null && server.child.signalCode === null) await server.kill('SIGTERM')
    for (const [path, text] of Object.entries(fileTexts(version))) {
      mkdirSync(join(server.folder, 'project', 'rooms'), { recursive: true })
      writeFileSync(join(server.folder, 'project', path), text)
    }
    await server.start()
  }
  /** What the first version has left: its things, as its own clients see them. */
  const begin = async (): Promise<unknown[]> => {
    server = await createServeProcess(fileTexts(first))
    await server.start()
    const vault = await enter(first)
    await vault.ask('add', { by: 7 })
    const left = things(vault, ...allFields)
    expect([left.length, vault.globals.total]).toEqual([9, 7])
    await vault.room.leave()
    return left
  }
  const isRefused = async (version: Version, line: string): Promise<void> => {
    server.output = ''
    await run(version)
    await expect(enter(version)).rejects.toMatchObject({ code: 'room-failed' })
    expect(server.output).toContain(line)
  }
  /** The first version finds everything as it was. */
  const isUntouched = async (left: readonly unknown[]): Promise<void> => {
    await run(first)
    const vault = await enter(first)
    await vault.ask('tell', {})
    expect([things(vault, ...allFields), vault.globals.total, vault.globals.report, vault.tables.lines.size]).toEqual([left, 7, '0,3,6,9,12,15,18,21,24,27', 8])
  }
  const without = (rows: readonly unknown[], ...fields: string[]): unknown[] =>
    rows.map((row) => Object.fromEntries(Object.entries(row as object).filter(([name]) => !fields.includes(name))))

  it('schema changes: an added column takes its default, and a removed one is dropped', async () => {
    const left = await begin(), second = next(first, [['hp: u8', 'hp: u8, armour: u16.default(7)'], ['f: f32, ', '']])
    await run(second)
    const vault = await enter(second)
    expect(things(vault, 'hp', 'armour', 'name', 'x', 'mood', 'next')).toEqual(without(left, 'f').map((row) => ({ ...row as object, armour: 7 })))
    expect(vault.globals.total).toBe(7)
  })

  it('schema changes: a widened column keeps its values: numbers, text, choices, quantized ones', async () => {
    const left = await begin(), second = next(first, [
      ['hp: u8', 'hp: u16'], ['f: f32', 'f: f64'], ['name: text(8)', 'name: text(20)'], ["choice('calm', 'loud')", "choice('shy', 'loud', 'calm')"], ['x: quantized(0, 100, 0.5)', 'x: f32'], ['card: u8', 'card: i32'],
    ])
    await run(second)
    const vault = await enter(second)
    expect(things(vault, ...allFields)).toEqual(left)
    await vault.ask('tell', {})
    expect(vault.globals.report).toBe('0,3,6,9,12,15,18,21,24,27')
  })

  it('schema changes: a retyped column without migrate: the room does not open, the line names it, and the old code finds everything', async () => {
    const left = await begin()
    await isRefused(next(first, [['hp: u8', 'hp: text(6)']]), 'vault:main: cannot be restored, and stays as it is stored: things.hp: what is stored as u8 does not fit text(6): needs migrate')
    await isUntouched(left)
  })

  it('schema changes: migrate brings over a retyped column, once, before derive, from rows as they were', async () => {
    const left = await begin(), second = next(first, [['hp: u8', 'hp: text(6)'], ['total: u32', 'total: text(6)']], `
      version: 2, derive: ({ tables: { things } }) => things.hp.get(9),
      migrate(room, old) {
        const { things } = room.tables
        const isLeft = [...things.rows()].every((row) => things.hp.get(row) === '' && things.name.get(row) === 'thing ' + row)
        for (const { row, hp } of old.rows('things')) things.hp.set(row, hp + ' hp')
        const [one] = [...old.rows('things')].slice(1), hidden = [...old.rows('$sessions'), ...old.rows('$room'), ...old.rows('nowhere')]
        room.globals.total = String(old.globals.total)
        room.globals.migrations++
        room.globals.report = JSON.stringify([isLeft, old.version, hidden.length, Object.keys(one).sort().join(), one.id, one.secret, one.next === things.ref(0)])
      },`)
    const live = { ...second, room: second.room.replace('room.globals.total += by', 'room.globals.total = room.derived') }
    for (const round of [1, 2]) {
      await run(live)
      const vault = await enter(live)
      expect(things(vault, ...allFields), `round ${round}`).toEqual(left.map((row) => ({ ...row as { hp: number }, hp: `${(row as { hp: number }).hp} hp` })))
      expect([vault.globals.migrations, vault.globals.report]).toEqual([1, JSON.stringify([true, 1, 0, 'f,hp,id,mood,name,next,row,secret,x', 't1', 's1', true])])
      expect(vault.globals.total).toBe(round === 1 ? '7' : '180 hp')
      await vault.ask('add', { by: 1 })
      expect(vault.globals.total).toBe('180 hp')
      await vault.room.leave()
    }
    await isRefused(first, 'version-older')
  })

  it('schema changes: what migrate writes comes to who was in the room as a change like any other', async () => {
    await begin()
    const quick = next(first, [], ' snapshotEveryMs: 100,'), second = next(quick, [['secret: text(8)', 'secret: u16']], `
      migrate({ tables: { things } }, old) { for (const { row, secret } of old.rows('things')) { things.secret[row] = Number(secret.slice(1)); things.hp[row] += 1 + things.secret[row] } },`)
    await run(quick)
    const vault = await enter(quick)
    await vault.ask('add', { by: 1 })
    // Nothing happens behind what is stored: the client stands where the next version begins.
    await new Promise((resolve) => { setTimeout(resolve, 500) })
    await server.kill('SIGKILL')
    const before = things(vault, 'hp') as { row: number; hp: number }[]
    await run(second)
    await until(() => vault.room.status === 'live', 'the client is back')
    expect(things(vault, 'hp')).toEqual(before.map((row) => ({ ...row, hp: row.hp + 1 + row.row })))
    for (let n = 0; n < 110; n++) await vault.ask('add', { by: 1 })
    expect(vault.room.stats.hashMismatches).toBe(0)
  })

  it('schema changes: a table that was removed is gone, or moves into an added one by migrate', async () => {
    await begin()
    const changes: Change[] = [["    deck: table({ card: u8 }, { capacity: 12, to: 'server' }),", '    pile: table({ card: u8 }, { capacity: 12 }),']]
    const moved = next(first, changes, "migrate({ tables: { pile } }, old) { for (const { card } of old.rows('deck')) pile.spawn({ card }) },")
    await run(moved)
    const vault = await enter(moved)
    expect(rowsOf(vault, 'pile', ['card'])).toEqual(Array.from({ length: 10 }, (_, row) => ({ row, card: row * 3 })))
    await vault.room.leave()
    const bare = next(first, [["    deck: table({ card: u8 }, { capacity: 12, to: 'server' }),", '    other: table({ n: u8 }, { capacity: 4 }),']])
    await run(bare)
    const emptied = await enter(bare)
    expect([emptied.tables.other.size, emptied.tables.things.size]).toEqual([0, 9])
  })

  it('schema changes: a capacity that is too small now: the room does not open; with migrate rows that fit are there, and the old ones all to be read', async () => {
    const left = await begin(), changes: Change[] = [['capacity: 20', 'capacity: 4']]
    await isRefused(next(first, changes), 'things: row 4 is stored, but its capacity is 4: needs migrate')
    await isRefused(next(first, [['capacity: 8, when', 'capacity: 5, when']]), 'lines: 8 rows are stored, but its capacity is 5: needs migrate')
    await isUntouched(left)
    const second = next(first, [...changes, ['capacity: 8, when', 'capacity: 5, when']], `
      migrate({ globals, tables: { things } }, old) {
        const rows = [...old.rows('things')], lost = rows.filter(({ row }) => !things.has(row))
        globals.report = [rows.length, lost.map(({ id }) => id), [...old.rows('lines')].length].join()
        things.spawn({ name: lost[0].name }, { id: lost[0].id })
      },`)
    await run(second)
    const vault = await enter(second)
    expect(things(vault, 'name')).toEqual([0, 1, 2, 3].map((row) => ({ row, id: row === 3 ? 't4' : `t${row}`, name: row === 3 ? 'thing 4' : `thing ${row}` })))
    expect(vault.globals.report).toBe('9,t4,t5,t6,t7,t8,t9,8')
    expect(rowsOf(vault, 'lines', ['line']).map((row) => (row as { line: string }).line).sort()).toEqual(['line 5', 'line 6', 'line 7', 'line 8', 'line 9'])
  })

  it('schema changes: inputs and events have no data: everything is there, and migrate does not run; nor does it for another version', async () => {
    const left = await begin(), second = next(first, [['add: { by: u8 }', 'add: { by: u16, twice: bool }'], ['rang: {}', 'rang: { by: u8 }, fell: {}']], 'version: 3, migrate({ globals }) { globals.migrations++ },')
    await run(second)
    const vault = await enter(second)
    await vault.ask('add', { by: 1000, twice: true })
    expect([things(vault, ...allFields), vault.globals.total, vault.globals.migrations]).toEqual([left, 1007, 0])
  })

  it('schema changes: a migrate that throws, returns a promise or ends its thread: the room does not open, and its data are as they were', async () => {
    const left = await begin(), changes: Change[] = [['hp: u8', 'hp: text(6)']]
    const cases: Readonly<Record<string, string>> = {
      "migrate({ tables: { things } }) { things.hp.set(0, 'gone'); things.despawn(1); throw new Error('half way') },": 'vault:main: migrate threw: half way',
      'migrate() { return Promise.resolve() },': 'migrate returned a promise',
      'migrate() { process.exit(1) },': 'vault:main does not open: ',
      "migrate({ tables: { things } }) { things.despawn(1) }, derive() { process.exit(1) },": 'vault:main does not open',
    }
    for (const [code, line] of Object.entries(cases)) await isRefused(next(first, changes, code), line)
    await isUntouched(left)
  }, 60_000)
})
