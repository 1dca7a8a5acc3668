import { describe, expect, expectTypeOf, it } from 'vitest'
import { defineRoom } from '../../src/room/define.js'
import { bool, choice, defineSchema, f32, i64, json, list, optional, quantized, ref, table, text, u16, u64, u8, type Column, type Values } from '../../src/schema/index.js'
import { fieldsOf, fullTablesOf, publicTablesOf, schemaHash } from '../../src/schema/tables-of.js'
import { defaultOf } from '../../src/schema/values.js'

const shape = { tables: { hero: table({ hp: u8, plan: f32.to('server'), gold: u8.to('owner') }, { capacity: 4 }), deck: table({ card: u8 }, { capacity: 4, to: 'server' as const }) } }

describe('schema', () => {
  it('schema: each mistake is one error that names schema and place', () => {
    const of = (wrong: object) => () => defineSchema('game', wrong)
    expect(of({ globals: { Big: u8 } })).toThrow('schema game: globals: "Big" is no name')
    expect(of({ tables: { t: table({ size: u8 }, { capacity: 1 }) } })).toThrow('schema game: t.size: every table has a member of this name')
    expect(of({ globals: { a: u8.default(256) } })).toThrow('globals.a: its default 256 is no value of it')
    expect(of({ globals: { a: ref('nobody') } })).toThrow('globals.a: refers to the table "nobody"')
    expect(of({ player: 'nobody' })).toThrow('player: names the table "nobody"')
    expect(of({ globals: { a: u8.to('owner') } })).toThrow("globals.a: to('owner') has no meaning here")
    expect(of({ listing: { a: u8.to('server') } })).toThrow("listing.a: to('server') has no meaning here")
    expect(of({ tables: { t: table({ x: text(3), y: f32 }, { capacity: 1, grid: { x: 'x', y: 'y', cell: 5 } }) } })).toThrow('t: grid.x names no numeric field')
    expect(() => quantized(1, 1, 0.1)).toThrow('needs min < max')
    expect(() => table({}, { capacity: 0 })).toThrow('capacity 0')
    expect(() => choice('a', 'a')).toThrow('none twice')
  })

  it('schema: what a list, a json, an optional or a bigint cannot be is refused by name', () => {
    const of = (field: object) => () => defineSchema('game', { globals: { a: field as never }, tables: { t: table({ v: u8 }, { capacity: 1 }) } })
    expect(of(list(ref('t'), 3))).toThrow('schema game: globals.a: a ref cannot stand in a list; make it a table of rows with a ref')
    expect(of(list(optional(ref('t')), 3))).toThrow('globals.a: a ref can be null by itself, without optional')
    expect(of(optional(list(ref('t'), 3)))).toThrow('globals.a: a ref cannot stand in a list')
    expect(of(optional(optional(u8)))).toThrow('globals.a: optional of optional: null would have two meanings')
    expect(of(optional(json(9)))).toThrow('globals.a: optional of json: null would have two meanings')
    expect(of(list(u8.to('server'), 3))).toThrow("globals.a: to('server') belongs behind the list, not inside it")
    expect(of(list(u8, 2).default([1, 2, 3]))).toThrow('globals.a: its default [1,2,3] is no value of it')
    expect(of(list(u8, 2).default([1, 256]))).toThrow('globals.a: its default [1,256] is no value of it')
    expect(of(optional(u8).default(-1))).toThrow('globals.a: its default -1 is no value of it')
    expect(of(u64.default(-1n))).toThrow('globals.a: its default "-1" is no value of it')
    expect(of(i64.default(2n ** 63n))).toThrow('is no value of it')
    expect(of(i64.default(5 as never))).toThrow('its default 5 is no value of it')
    expect(of(json(8).default({ long: true }))).toThrow('globals.a: its default {"long":true} is no value of it')
    const circle: Record<string, unknown> = {}
    circle.circle = circle
    expect(of(json(80).default(circle))).toThrow('globals.a: its default object is no value of it')
    expect(() => list(u8, 0)).toThrow('list(u8, 0): 1 to')
    expect(() => list(u64, 5000)).toThrow('list(u64, 5000): takes up to 40004 bytes a row, and 32768 are the most')
    expect(() => optional(list(u8, 32_764))).toThrow('optional(list): takes up to 32770 bytes')
    expect(() => json(40_000)).toThrow('json(40000): 4 to 32766 bytes')
    expect(() => defineSchema('game', { tables: { t: table({ v: u8 }, { capacity: 2 ** 19 + 1, whenFull: 'drop-oldest' }) } })).toThrow('t: whenFull')
    expect(() => defineRoom(defineSchema('game', {}), { timers: { later: { at: list(ref('t'), 2) } } })).toThrow('room game: timers.later.at: a ref cannot stand in a list')
  })

  it('schema: defaults of every kind stand in the field tables as JSON, and come back as they were given', () => {
    const given = [5n, 2n ** 64n - 1n], shared = [1, 2]
    const fields = fieldsOf({
      a: u64, b: i64.default(-(2n ** 63n)), c: list(u64, 3).default(given), d: optional(i64).default(-7n), e: json<{ a: number[] }>(40).default({ a: shared }),
      f: optional(list(text(4), 2)).default(['x', 'yy']), g: list(optional(u8), 3).default([1, null]), h: json(9), i: optional(u8), j: list(u8, 2), k: optional(u64),
    })
    const sent = JSON.parse(JSON.stringify(fields)) as typeof fields
    expect(sent).toEqual(fields)
    given.length = shared.length = 0
    expect(sent.map(defaultOf)).toEqual([0n, -(2n ** 63n), [5n, 2n ** 64n - 1n], -7n, { a: [1, 2] }, ['x', 'yy'], [1, null], null, null, [], null])
    expect(fields.map(defaultOf)).toEqual(sent.map(defaultOf))
  })

  it('schema: a table that drops its oldest row has twice the rows, and says how many it keeps', () => {
    const { tables } = fullTablesOf(defineSchema('game', { tables: { chat: table({ v: u8 }, { capacity: 50, whenFull: 'drop-oldest' }), plain: table({ v: u8 }, { capacity: 50, whenFull: 'throw' }) } }), [])
    expect(tables.slice(1).map(({ capacity, keep }) => [capacity, keep])).toEqual([[101, 50], [50, undefined]])
  })

  it('schema: TypeScript infers values and columns', () => {
    const fields = { a: u64, b: i64, c: list(choice('x', 'y'), 3), d: optional(text(4)), e: json<{ n: number }>(40), f: optional(list(u16, 2)), g: list(optional(bool), 2) }
    expectTypeOf<Values<typeof fields>>().toEqualTypeOf<{
      a: bigint; b: bigint; c: readonly ('x' | 'y')[]; d: string | null; e: { n: number }; f: readonly number[] | null; g: readonly (boolean | null)[]
    }>()
    expectTypeOf<(typeof fields)['a']['$']['column']>().toEqualTypeOf<BigUint64Array>()
    expectTypeOf<(typeof fields)['b']['$']['column']>().toEqualTypeOf<BigInt64Array>()
    expectTypeOf<(typeof fields)['c']['$']['column']>().toEqualTypeOf<Column<readonly ('x' | 'y')[]>>()
  })

  it('schema: server fields and tables are not public, and change no client\'s hash', () => {
    const tables = publicTablesOf(fullTablesOf(defineSchema('game', shape), []))
    expect(tables.tables.map(({ name, fields }) => [name, fields.map((field) => field.name)])).toEqual([['$globals', []], ['hero', ['hp', 'gold']]])
    const more = defineSchema('game', { tables: { hero: table({ hp: u8, plan: f32.to('server'), gold: u8.to('owner'), secret: u8.to('server') }, { capacity: 4 }) } })
    expect(schemaHash(publicTablesOf(fullTablesOf(more, [])))).toBe(schemaHash(tables))
    const other = defineSchema('game', { tables: { hero: table({ hp: u8, gold: u8 }, { capacity: 4 }) } })
    expect(schemaHash(publicTablesOf(fullTablesOf(other, [])))).not.toBe(schemaHash(tables))
  })

  it('room: handlers are checked by name when the module loads', () => {
    const schema = defineSchema('game', { inputs: { go: {} } })
    expect(() => defineRoom(schema, { async onTick() {} } as never)).toThrow('room game: onTick is async; handlers are synchronous')
    expect(() => defineRoom(schema, { onInput: { stop() {} } } as never)).toThrow('onInput.stop: the schema declares go')
    expect(() => defineRoom(schema, { onTik() {} } as never)).toThrow('onTik is not supported')
    expect(() => defineRoom(schema, { tickHz: 10, flushHz: 20 })).toThrow('flushHz: 20 is above 0 and at most tickHz (10)')
    expect(() => defineRoom(schema, { tickHz: 1000 })).toThrow('tickHz: 1000 is not within 0 to 240')
  })
})
