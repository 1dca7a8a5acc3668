/** A page of before a deploy, against a server of behind it: sections, inputs and events by the newer numbers, on the objects that the page already has. */
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { ConnectOptions } from '../../src/client/client-room.js'
import { bool, choice, defineSchema, f32, i8, list, quantized, ref, table, text, u16, u32, u64, u8, type Shape } from '../../src/schema/index.js'
import { fullTablesOf, publicTablesOf, schemaHash } from '../../src/schema/tables-of.js'
import { writeNotice, writeOwn, writeResynced } from '../../src/wire/server-messages.js'
import {
  beginJoin, bitmap, changed, despawned, epoch, gaps, ownRow, ownStream, range, section, snapshot, spawned, tables as olderTables, texts, thing as olderThing, welcome as olderWelcome, type SectionSpec, type SetSpec,
} from './fake-room.js'

/** The schema of fake-room.ts with something new in the middle of everything. */
const shape = {
  player: 'things', globals: { era: u8, count: u32 },
  tables: {
    walls: table({ name: text(8), height: u16, tags: list(u8, 4) }, { capacity: 1000, ids: true }),
    things: table({
      shade: u8, x: quantized(-100, 100, 0.5), hp: u16, level: text(8), name: text(16), kind: choice('one', 'two'), on: bool, next: ref('things'),
      purse: u32.to('owner'), tags: list(u8, 4), big: u64, kept: list(u8, 4).to('owner'), last: u64,
    }, { capacity: 300, ids: true }),
    spells: table({ power: u8 }, { capacity: 8, to: 'owner' }),
    cards: table({ suit: u8 }, { capacity: 32, to: 'owner' }),
  },
  inputs: { leap: {}, add: { by: i8 } }, events: { sang: { line: text(8) }, boom: { x: f32 } }, join: { name: text(8) },
} satisfies Shape
const tablesOf = (changed: Shape) => publicTablesOf(fullTablesOf(defineSchema('fake', changed), []))
const tables = tablesOf(shape)
const globals = 0, walls = 1, things = 2, spells = 3, cards = 4
const field = { shade: 0, x: 1, hp: 2, level: 3, name: 4, purse: 8, last: 12, id: 65534, generation: 65535 } as const
const welcome = (changes: Parameters<typeof olderWelcome>[0] = {}, given: object = tables) => olderWelcome({ schemaHash: schemaHash(tables), schema: JSON.stringify(given), ...changes })
const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'resolved', (error: { code: string }) => error.code)

const setHp = (row: number, hp: number): SetSpec => ({ table: things, what: changed, rows: [row], columns: [[field.shade, Uint8Array.of(9)], [field.hp, Uint16Array.of(hp)], [field.level, texts('high')]] })
const thing = (row: number, hp: number, id = ''): SetSpec => ({ ...setHp(row, hp), what: spawned, columns: [[field.generation, Uint16Array.of(1)], [field.id, texts(id)], ...setHp(row, hp).columns!, [field.name, texts(`thing ${row}`)]] })
const setCount = (count: number): SetSpec => ({ table: globals, what: changed, rows: [0], columns: [[0, Uint8Array.of(7)], [1, Uint32Array.of(count)]] })
const wall = (rows: readonly number[], form: number): SetSpec => ({
  table: walls, what: spawned, rows, form,
  columns: [[field.generation, new Uint16Array(rows.length)], [field.id, texts(...rows.map((row) => `wall ${row}`))], [0, texts(...rows.map(() => 'w'))], [1, new Uint16Array(rows.length)]],
})
/** Chunks of both streams; the last ranges are of tables that the page does not know. */
const newSnapshot = (seq: number, sets: readonly SetSpec[] = [], more: Partial<SectionSpec> = {}): ArrayBuffer[] => [
  section({ seq, ranges: [[globals, 0, 0, 64], [walls, 0, 0, 64], [things, 0, 0, 320]], sets: [{ ...setCount(50), what: spawned }, wall([1, 2, 3], range), ...sets], ...more }),
  section({ seq, ranges: [[walls, 1, 64, 1024]], sets: [wall([70, 900], gaps)], ...more }),
  section({ seq, stream: ownStream, ranges: [[cards, 0, 0, 64], [spells, 1, 0, 64]], sets: [{ table: spells, what: spawned, rows: [5], columns: [[0, Uint8Array.of(1)]] }], ...more }),
]

/** Joined at seq 10, its server's tables asked for. */
async function joinNewer(sets: readonly SetSpec[] = [], options: ConnectOptions = {}, token = '') {
  const { server, joined } = await beginJoin(options, { join: { name: 'Ann' } })
  server.say(writeNotice('schema-mismatch', ''))
  server.close(4406)
  await vi.waitFor(() => expect(server.said).toHaveLength(2))
  const asked = [...server.said]
  server.say(welcome({ token }), ...newSnapshot(10, sets))
  const room = await joined
  server.said.length = 0
  return { server, room, asked }
}
/** Joined to a server of its own version, at seq 10, and then to the newer one with hash 0. */
async function joinOlder() {
  const { server, joined } = await beginJoin({ verify: true })
  server.say(olderWelcome({ token: 'first' }), ...snapshot(10, [olderThing(1, { hp: 4, id: 'one' }), olderThing(2, { hp: 5 })], 7))
  const room = await joined
  const comeBack = async (): Promise<void> => {
    server.close(1006)
    server.said.length = 0
    await vi.waitFor(() => expect(server.said).toHaveLength(1))
    const timers = vi.spyOn(globalThis, 'setTimeout')
    server.say(writeNotice('schema-mismatch', ''))
    server.close(4406)
    // It has its answer, and does not come back at random.
    expect(timers.mock.lastCall?.[1]).toBe(0)
    await vi.waitFor(() => expect(server.said).toHaveLength(2))
  }
  return { server, room, comeBack }
}

describe('newer server', () => {
  afterEach(() => { vi.restoreAllMocks() })

  it('newer server: schema-mismatch is answered with a join that asks for the field tables, once, and nothing of it is told', async () => {
    const { asked, room, server } = await joinNewer()
    const [first, second] = asked.map((said) => said as { schemaHash: number; join: Uint8Array })
    expect([first.schemaHash, second]).toEqual([schemaHash(olderTables), { ...first, schemaHash: 0 }])
    expect([room.status, room.globals.count, Object.keys(room.tables)]).toEqual(['live', 50, ['things', 'cards']])
    server.say(writeNotice('schema-mismatch', ''))
    server.close(4406)
    expect(room.status).toBe('closed')
  })

  it('newer server: row sets of all forms are applied to what is known, and skipped in what is not', async () => {
    const { server, room } = await joinNewer([thing(1, 4, 'one'), thing(2, 5)])
    const { things: rows, cards: hand } = room.tables, told: string[] = []
    rows.onChanged((row, fields) => told.push(`changed ${row} ${[...fields].join()}`))
    rows.onSpawned((row) => told.push(`spawned ${row}`))
    rows.onDespawned((row) => told.push(`despawned ${row}`))
    expect([rows.hp[1], rows.get('one')?.name, rows.at(2).name, hand.size]).toEqual([4, 'thing 1', 'thing 2', 0])
    const many = [64, 65, 66, 67, 70]
    for (const [n, form] of [bitmap, gaps].entries()) {
      const hp = Uint16Array.from(many, (row) => row * 10 + n)
      server.say(section({ seq: 11 + n, prevSeq: 10 + n, sets: [
        wall([10 + n, 20, 30], form), { table: walls, what: despawned, rows: [20], form }, { table: things, what: n === 0 ? spawned : changed, rows: many, form, columns: [[field.shade, new Uint8Array(5)], [field.hp, hp], [field.last, new BigUint64Array(5)]] },
        { table: walls, what: changed, rows: [1, 2], form, columns: [[1, Uint16Array.of(1, 2)], [2, new Uint8Array(4)]] }, setCount(90 + n),
      ] }))
      expect([many.map((row) => rows.hp[row]), room.globals.count, rows.size], `form ${form}`).toEqual([[...hp], 90 + n, 7])
    }
    expect(told).toEqual([...many.map((row) => `spawned ${row}`), ...many.map((row) => `changed ${row} hp`)])
    told.length = 0
    server.say(section({ seq: 13, prevSeq: 12, sets: [{ table: walls, what: spawned, rows: [5, 6], form: range }, { table: things, what: changed, rows: [66], columns: [[field.level, texts('deep')]] }, { table: things, what: despawned, rows: [64, 65], form: range }] }))
    server.say(section({ seq: 13, prevSeq: 10, stream: ownStream, sets: [{ table: spells, what: despawned, rows: [5] }, { table: cards, what: spawned, rows: [3], columns: [[field.generation, Uint16Array.of(1)], [0, Uint8Array.of(2)]] }] }))
    expect([told, hand.suit[3], [...hand.rows()], room.stats.resyncs]).toEqual([['despawned 64', 'despawned 65'], 2, [3], 0])
  })

  it('newer server: what fits none of its field tables is refused as ever', async () => {
    const { server, room } = await joinNewer([thing(1, 4)])
    vi.spyOn(console, 'warn').mockImplementation(() => {})
    const broken: SectionSpec['sets'][] = [[{ table: 5, what: spawned, rows: [1] }], [{ ...setHp(1, 1), columns: [[13, Uint8Array.of(1)]] }], [{ ...setHp(1, 1), rows: [512] }]]
    for (const sets of broken) {
      server.said.length = 0
      server.say(section({ seq: 11, prevSeq: 10, sets }))
      expect(server.said).toEqual([{ kind: 'resync', epoch: 0, seq: 0 }])
      server.say(writeResynced({ kind: 1, epoch, seq: 10 }), ...newSnapshot(10, [thing(1, 4)]))
      expect(room.status).toBe('live')
    }
  })

  it('newer server: hashes are compared where a column is known, and name what differs', async () => {
    const { server, room } = await joinNewer([thing(3, 500)], { verify: true })
    const told = vi.spyOn(console, 'warn').mockImplementation(() => {})
    // As in apply.test.ts; the others are of what is not known, more of them than this page has columns.
    const unknown = Array.from({ length: 40 }, (_, n) => [n % 2 === 0 ? walls : spells, n % 3 === 0 ? field.id : 0, 1] as const)
    server.say(section({ seq: 11, prevSeq: 10, sets: [setCount(1)], hashes: [...unknown, [things, field.shade, 1], [things, field.level, 1], [things, field.hp, 0x723ceb8c], [things, field.last, 1]] }))
    expect([room.globals.count, room.stats.hashMismatches]).toEqual([1, 0])
    server.say(section({ seq: 12, prevSeq: 11, sets: [], hashes: [[things, field.hp, 1]] }))
    expect([room.stats.hashMismatches, told.mock.calls]).toEqual([1, [["kasagi: state differs from the room's in things.hp"]]])
  })

  it('newer server: events that are known are told, others are not; the own row is where it was', async () => {
    const { server, room } = await joinNewer([thing(4, 1)])
    const told: unknown[] = []
    room.on('boom', ({ x }) => told.push(x))
    server.say(section({ seq: 11, prevSeq: 10, stream: ownStream, sets: [], events: [[0, texts('la')], [1, new Uint8Array(Float32Array.of(2).buffer)], [2, new Uint8Array(4)], [65534, new Uint8Array(0)], ownRow(4, 1)] }))
    expect([told, room.tables.things.mine, room.tables.cards.mine]).toEqual([[2], 4, undefined])
  })

  it('newer server: whoever comes back to it goes on, from where it was, with the objects that it had; what it holds is sent by the new numbers', async () => {
    const { server, room, comeBack } = await joinOlder()
    const { things: rows } = room.tables, { hp } = rows, one = rows.at(1), { globals: shown } = room, statuses: unknown[] = []
    room.onStatus((...told) => statuses.push(told))
    const asked = [1, 2].map((by) => room.ask('add', { by }))
    expect(server.said.filter(({ kind }) => kind === 'input')).toMatchObject([{ input: 0 }, { input: 0 }])
    await comeBack()
    expect(server.said).toMatchObject([{ schemaHash: schemaHash(olderTables), resume: { token: 'first', epoch, seq: 10 } }, { schemaHash: 0, resume: { token: 'first', epoch, seq: 10, firstHeld: 1, lastSent: 2 } }])
    server.said.length = 0
    server.say(welcome({ token: 'second', lastInput: 1, seq: 12, generation: 2 }), writeResynced({ kind: 0, epoch, seq: 12 }))
    room.send('add', { by: 3 })
    expect(server.said).toMatchObject([{ kind: 'ready', generation: 2 }, { kind: 'input', number: 2, input: 1, data: Uint8Array.of(2) }, { kind: 'input', number: 3, input: 1 }])
    server.say(section({ seq: 11, prevSeq: 10, sets: [setHp(1, 44), thing(200, 8)] }), writeOwn({ epoch, seq: 12, durableSeq: 0, lastInput: 2, wanted: 3, sections: 1 }), section({ seq: 12, prevSeq: 11, sets: [setCount(8)] }))
    expect([room.tables.things === rows, rows.at(1) === one, one.hp, hp[1], hp[200], shown.count, room.position.seq]).toEqual([true, true, 44, 44, 8, 8, 12])
    expect(server.said.at(-1)).toMatchObject({ kind: 'input', number: 3, input: 1 })
    await Promise.all(asked.map((answer) => answer.catch(() => {})))
    expect(statuses).toEqual([['resuming', 'connection-lost'], ['live', undefined]])
    // A server of the old version again: joined with hash 0, and its own numbers again.
    server.close(1006)
    server.said.length = 0
    await vi.waitFor(() => expect(server.said).toMatchObject([{ schemaHash: 0, resume: { token: 'second' } }]))
    server.say(olderWelcome({ token: 'third', lastInput: 2, schema: JSON.stringify(olderTables) }), writeResynced({ kind: 1, epoch, seq: 20 }), ...snapshot(20, [olderThing(1, { hp: 6 })], 9))
    expect([room.status, rows.size, hp[1], shown.count, server.said.at(-1)]).toMatchObject(['live', 1, 6, 9, { kind: 'input', number: 3, input: 0 }])
  })

  it('newer server: a table that is larger there has room; a column that was captured before shows the rows it has room for', async () => {
    const { server, room, comeBack } = await joinOlder()
    const { things: rows } = room.tables, { hp, x, kind, purse } = rows
    rows.smooth(1, 'hp')
    await comeBack()
    server.say(welcome({ token: 'second', seq: 20 }), writeResynced({ kind: 1, epoch, seq: 20 }), ...newSnapshot(20, [thing(1, 11), thing(299, 29, 'far')]))
    server.say(section({ seq: 21, prevSeq: 20, sets: [{ table: things, what: changed, rows: [1, 299], columns: [[field.x, Uint16Array.of(202, 204)], [5, Uint8Array.of(1, 1)]] }] }))
    expect([[...rows.rows()], rows.hp[299], rows.get('far')?.x, rows.smooth(299, 'hp'), rows.x[1]]).toEqual([[1, 299], 29, 2, 29, 1])
    expect([rows.hp.length, hp.length, hp[1], x[1], kind.get(1), kind.get(299)]).toEqual([512, 256, 11, 1, 'two', 'two'])
    // Owner fields of a row that begins are as if they had never been, in what was captured too.
    server.say(section({ seq: 22, prevSeq: 20, stream: ownStream, sets: [{ table: things, what: changed, rows: [1], columns: [[field.purse, Uint32Array.of(5)]] }] }))
    expect([purse[1], rows.purse[1], purse === rows.purse]).toEqual([5, 5, false])
    server.say(section({ seq: 23, prevSeq: 21, sets: [{ table: things, what: despawned, rows: [1] }, thing(1, 12)] }))
    expect([purse[1], rows.purse[1], hp[1]]).toEqual([0, 0, 12])
    // And smaller: rows that cannot be there are gone.
    server.close(1006)
    server.said.length = 0
    await vi.waitFor(() => expect(server.said).toHaveLength(1))
    const small = { ...tables, tables: tables.tables.map((entry) => entry.name === 'things' ? { ...entry, capacity: 64 } : entry) }
    server.say(welcome({ token: 'third', seq: 30, schemaHash: 5 }, small), writeResynced({ kind: 1, epoch, seq: 30 }), ...newSnapshot(30, [], { ranges: [[things, 1, 0, 64]] }))
    expect([[...rows.rows()], rows.get('far')]).toEqual([[], undefined])
  })

  it('newer server: where something that the page knows has changed the stay ends with update-required, and the session with it', async () => {
    const { events: _, ...silent } = shape
    for (const changed of [{ ...shape, player: undefined }, silent, { ...shape, join: { team: u8, name: text(8) } }]) {
      const { server, joined } = await beginJoin()
      server.say(writeNotice('schema-mismatch', ''))
      server.close(4406)
      await vi.waitFor(() => expect(server.said).toHaveLength(2))
      server.say(welcome({ schemaHash: 5 }, tablesOf(changed)))
      expect([await codeOf(joined), server.said.at(-1)?.kind]).toEqual(['update-required', 'leave'])
    }
    const { server, room, comeBack } = await joinOlder()
    const asked = codeOf(room.ask('add', { by: 1 })), told: unknown[] = []
    room.onStatus((...status) => told.push(status))
    await comeBack()
    server.say(welcome({ schemaHash: 5 }, tablesOf(silent)), ...newSnapshot(10))
    expect([room.status, told.at(-1), await asked, room.globals.count, server.said.at(-1)?.kind]).toEqual(['closed', ['closed', 'update-required'], 'update-required', 7, 'leave'])
  })

  it('newer server: join data that it cannot read are an update-required too, but only if they were sent unseen', async () => {
    const { server, joined } = await beginJoin()
    server.say(writeNotice('bad-join', ''))
    server.close(4412)
    expect(await codeOf(joined)).toBe('bad-join')
    const again = await beginJoin()
    again.server.close(4406)
    await vi.waitFor(() => expect(again.server.said).toHaveLength(2))
    again.server.close(4412)
    expect(await codeOf(again.joined)).toBe('update-required')
    const { server: third, room, comeBack } = await joinOlder()
    await comeBack()
    third.close(4412)
    expect(room.status).toBe('closed')
    expect(() => room.send('add', { by: 1 })).toThrow('update-required')
  })
})
