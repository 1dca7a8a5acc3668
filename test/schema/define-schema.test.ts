import { describe, expect, it } from 'vitest'
import { defineRoom } from '../../src/room/define.js'
import { choice, defineSchema, f32, json, list, optional, quantized, ref, table, text, u64, u8 } from '../../src/schema/index.js'
import { fullTablesOf, publicTablesOf, schemaHash } from '../../src/schema/tables-of.js'

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
    expect(of({ tables: { t: table({ x: text(3), y: f32 }, { capacity: 1, grid: { x: 'x', y: 'y', cell: 5 } }) } })).toThrow('t: grid.x names no numeric field')
    for (const [kind, field] of [['list', list(u8, 3)], ['json', json(9)], ['optional', optional(u8)], ['u64', u64]] as const) {
      expect(of({ globals: { a: field } })).toThrow(`globals.a: ${kind} is not supported by this version`)
    }
    expect(() => quantized(1, 1, 0.1)).toThrow('needs min < max')
    expect(() => table({}, { capacity: 0 })).toThrow('capacity 0')
    expect(() => choice('a', 'a')).toThrow('none twice')
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
