/** Field tables that a hostile server sends in its Welcome: nothing throws, nothing takes long, and no number that it makes up leads anywhere. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { tablesTextMax, unknownBytesMax } from '../../src/base/limits.js'
import { createReplication, expectSnapshot, receiveSection, renumber } from '../../src/client/replication.js'
import { readNumbering } from '../../src/client/numbering.js'
import { writeResynced } from '../../src/wire/server-messages.js'
import { bitmap, changed, despawned, epoch, field, joinFake, ownStream, range, section, setCount, setHp, snapshot, spawned, tables, texts, thing, things, welcome } from '../client/fake-room.js'
import { heapUsedBytes } from '../support/heap.js'
import { leastMs, timed } from '../support/time.js'

const seed = Number(process.env.SEED ?? Date.now() % 0x7fff_ffff)
const honest = JSON.stringify(tables)
const told = (schema: string): Uint8Array => welcome({ schemaHash: 5, schema, token: 'again' })

/** A part of the tables that is something else, or gone, or there twice. */
const other = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom<unknown>(null, undefined, 0, -1, 256, 1e9, 2 ** 20, 2 ** 20 + 1, 1e308, 0.5, '', '0', [], {}, [null], [[]], 'things', '__proto__', 'constructor', true))
const steps = fc.array(fc.nat(40), { minLength: 1, maxLength: 7 })
function altered(path: readonly number[], value: unknown, isDoubled: boolean): string {
  const root = JSON.parse(honest) as Record<string, unknown>
  let at: Record<string, unknown> = root
  for (const [depth, step] of path.entries()) {
    const keys = Object.keys(at), key = keys[step % keys.length], next = at[key]
    if (depth < path.length - 1 && typeof next === 'object' && next !== null && Object.keys(next).length > 0) { at = next as Record<string, unknown>; continue }
    if (isDoubled && Array.isArray(at)) at.splice(step % (at.length + 1), 0, next)
    else at[key] = value
    break
  }
  return JSON.stringify(root) ?? ''
}
/** Everything at another place, beside what nobody knows, in tables of other sizes. */
const turned = fc.tuple(fc.infiniteStream(fc.nat(99)), fc.constantFrom(1, 64, 256, 300, 5000)).map(([numbers, capacity]) => {
  const mix = <T>(list: readonly T[]): unknown[] => list.reduce<unknown[]>((mixed, entry, at) => {
    mixed.splice(numbers.next().value % (mixed.length + 1), 0, entry)
    if (numbers.next().value % 3 === 0) mixed.splice(numbers.next().value % (mixed.length + 1), 0, { name: `new${at}` })
    return mixed
  }, [])
  const mixed = tables.tables.map((entry) => ({ ...entry, capacity, fields: mix(entry.fields) }))
  return JSON.stringify({ ...tables, tables: mix(mixed), inputs: mix(tables.inputs), events: mix(tables.events), join: mix(tables.join) })
})
const cut = fc.tuple(fc.nat(honest.length), fc.nat(honest.length), fc.string()).map(([from, to, text]) => honest.slice(0, from) + text + honest.slice(to))
const schemas = fc.oneof(
  { weight: 3, arbitrary: turned }, { weight: 6, arbitrary: fc.tuple(steps, other, fc.boolean()).map(([path, value, isDoubled]) => altered(path, value, isDoubled)) },
  { weight: 1, arbitrary: cut }, { weight: 1, arbitrary: fc.json() }, { weight: 1, arbitrary: fc.string() },
)

describe('hostile: field tables', () => {
  beforeAll(() => { vi.spyOn(console, 'warn').mockImplementation(() => {}) })
  afterAll(() => { vi.restoreAllMocks() })

  it('hostile: 3,000 field tables that are none, or not quite: the stay goes on by them or ends, and whatever sections follow are applied or refused', async () => {
    let joined = await joinFake([thing(1)], { verify: true }), wentOn = 0
    const codes = new Map<string, number>(), slow: string[] = []
    const numbers = fc.record({ table: fc.constantFrom(0, 1, 2, 3, 4, 255, 65535), column: fc.constantFrom(0, 1, 2, 6, 7, 9, 10, 11, 65534, 65535), row: fc.constantFrom(0, 1, 63, 64, 255, 256, 300), input: fc.nat(1) })
    await fc.assert(fc.asyncProperty(schemas, numbers, async (schema, { table, column, row, input }) => {
      const { server, room } = joined
      const took = timed(() => server.say(told(schema)))
      if (took > 20) slow.push(schema)
      server.say(writeResynced({ kind: 0, epoch, seq: 10 }), section({ seq: 11, prevSeq: 10, sets: [{ table, what: spawned, rows: [row] }] }), writeResynced({ kind: 0, epoch, seq: 10 }))
      const columns = [[column, texts('abcdef')], [column, new Uint8Array(8)], [column, new Uint8Array(2)]] as const
      for (const values of columns) {
        server.say(section({ seq: 11, prevSeq: 10, sets: [{ table, what: changed, rows: [row], form: bitmap, columns: [values] }, { table, what: despawned, rows: [row], form: range }], hashes: [[table, column, 1]], events: [[column, new Uint8Array(4)]] }))
        server.say(writeResynced({ kind: 0, epoch, seq: 10 }))
      }
      if (room.status !== 'closed') {
        wentOn++
        room.send('add', { by: input })
        expect(server.said.some((said) => said.kind === 'input' && said.input !== 65535)).toBe(true)
        server.said.length = 0
        // An honest server's Welcome puts everything right.
        server.say(welcome({ token: 'again' }), writeResynced({ kind: 1, epoch, seq: 10 }), ...snapshot(10, [thing(1), thing(90)], 77))
        expect([room.globals.count, [...room.tables.things.rows()], room.status]).toEqual([77, [1, 90], 'live'])
        return
      }
      let code = ''
      try { room.send('add', { by: 1 }) } catch (error) { code = (error as { code: string }).code }
      codes.set(code, (codes.get(code) ?? 0) + 1)
      joined = await joinFake([thing(1)], { verify: true })
    }), { numRuns: 3000, seed, examples: [['', { table: 0, column: 0, row: 0, input: 0 }], ['null', { table: 0, column: 0, row: 0, input: 0 }], ['{}', { table: 0, column: 0, row: 0, input: 0 }]] })
    for (const schema of slow) expect(leastMs(() => joined.server.say(told(schema))), schema).toBeLessThan(20)
    expect([...codes.keys()].sort(), `SEED=${seed}`).toEqual(['bad-message', 'update-required'])
    expect(wentOn, [...codes].join('; ')).toBeGreaterThan(600)
  }, 120_000)

  it('hostile: field tables without end, or nested without end, are no field tables', async () => {
    const endless = ['['.repeat(1e6), `${'['.repeat(1e6)}${']'.repeat(1e6)}`, `${honest}${' '.repeat(tablesTextMax)}`, honest.replace('"hp"', '"hp","default":'.padEnd(1e5, '[')), honest.replace('"steps":400', `"steps":${'['.repeat(1e6)}${']'.repeat(1e6)}`)]
    for (const schema of endless) {
      const { server, room } = await joinFake()
      expect(timed(() => server.say(told(schema)))).toBeLessThan(5000)
      expect(room.status).toBe('closed')
      expect(() => room.send('add', { by: 1 })).toThrow('bad-message')
    }
  })

  it('hostile: names without number are read in time, and rows without end are given no room', async () => {
    const names = Array.from({ length: 300_000 }, (_, n) => ({ name: `a${n}` }))
    const { server, room } = await joinFake(), many = told(JSON.stringify({ ...tables, tables: [...names, ...tables.tables] }))
    expect(leastMs(() => server.say(many))).toBeLessThan(1000)
    expect(room.status).toBe('live')
    for (const capacity of [2 ** 20 + 1, 1e12, 0, -1, 0.5, '64', null]) {
      const again = await joinFake()
      again.server.say(told(JSON.stringify({ ...tables, tables: tables.tables.map((entry) => ({ ...entry, capacity })) })))
      expect(() => again.room.send('add', { by: 1 }), String(capacity)).toThrow('bad-message')
    }
  })

  it('hostile: a table that grows with every Welcome leaves few arrays behind, and is as large as it may be at most', () => {
    const replication = createReplication(tables, 20, false, { flushed: () => {}, event: () => {}, missed: () => {}, resync: () => {}, complete: () => {}, differs: () => {}, nowMs: () => 0 })
    const numbering = readNumbering(tables, { schemaHash: 5, schema: honest }, true)
    for (const rows of [...Array.from({ length: 1000 }, (_, n) => 257 + n), 2 ** 20]) renumber(replication, { ...numbering, capacities: [1, rows, 64] })
    const { capacity, columns } = replication.replicas[things], [x] = columns
    expect([capacity, x.values.length, x.captured.map(({ length }) => length)]).toEqual([2 ** 20, 2 ** 20, [256, 512, 1024, 2048]])
  })

  it('hostile: what comes for unknown tables and never ends is let go of', () => {
    const replication = createReplication(tables, 20, false, { flushed: () => {}, event: () => {}, missed: () => {}, resync: () => {}, complete: () => {}, differs: () => {}, nowMs: () => 0 })
    renumber(replication, readNumbering(tables, { schemaHash: 5, schema: JSON.stringify({ ...tables, tables: [...tables.tables, { name: 'more' }] }) }, true))
    const chunk = section({ seq: 10, ranges: [[3, 0, 0, 64]], sets: [{ table: 3, what: spawned, rows: [1], columns: [[0, new Uint8Array(60_000)]] }] })
    const heldBytes = heapUsedBytes()
    expectSnapshot(replication, epoch, 10)
    let taken = 0
    expect(() => { for (; taken < 5000; taken++) receiveSection(replication, chunk) }).toThrow('more is on its way than the room can hold')
    expect(taken * chunk.byteLength).toBeLessThan(unknownBytesMax * 1.1)
    expectSnapshot(replication, epoch, 10)
    expect(heapUsedBytes() - heldBytes).toBeLessThan(1e6)
    for (const message of [...snapshot(10), section({ seq: 11, prevSeq: 10, stream: ownStream }), section({ seq: 12, prevSeq: 10, sets: [setCount(1), setHp(1, field.hp), { ...thing(2), table: things }] })]) receiveSection(replication, message)
    expect(replication.position.seq).toBe(12)
  })
})
