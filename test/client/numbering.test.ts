/** A client's field tables beside those of a server of another version: what may differ, and what each number stands for. */
import { describe, expect, it } from 'vitest'
import { readNumbering } from '../../src/client/numbering.js'
import type { PublicTables } from '../../src/schema/field-tables.js'
import { choice, defineSchema, f32, i8, json, list, optional, quantized, ref, table, text, u16, u32, u8, type Shape } from '../../src/schema/index.js'
import { fullTablesOf, publicTablesOf, schemaHash } from '../../src/schema/tables-of.js'

const things = { x: quantized(0, 10, 0.5), hp: u16, name: text(16), mood: choice('calm', 'loud'), next: ref('things'), purse: u32.to('owner'), tags: list(u8, 4), kept: optional(u8), plan: json<number>(64) }
const shape = {
  player: 'things', globals: { count: u32, total: u32 },
  tables: { things: table(things, { capacity: 64, ids: true }), cards: table({ suit: u8 }, { capacity: 8, to: 'owner' }), lines: table({ line: text(8) }, { capacity: 4, whenFull: 'drop-oldest' }) },
  inputs: { add: { by: i8, why: text(4) }, stop: {} }, events: { boom: { x: f32 }, fell: {} }, join: { name: text(8), team: u8 },
} satisfies Shape
const tablesOf = (changed: Shape): PublicTables => publicTablesOf(fullTablesOf(defineSchema('fake', changed), []))
const own = tablesOf(shape)
const read = (given: PublicTables, isResumed = true) => readNumbering(own, { schemaHash: schemaHash(given), schema: JSON.stringify(given) }, isResumed)
const withThings = (fields: NonNullable<Shape['tables']>[string]['fields'], options = {}): Shape => ({ ...shape, tables: { ...shape.tables, things: table(fields, { capacity: 64, ids: true, ...options }) } })
const { hp: _, ...thingsWithoutHp } = things, { cards: __, ...tablesWithoutCards } = shape.tables

describe('numbering', () => {
  it('numbering: of a server of the same hash it is the client\'s own, and no field tables are needed', () => {
    const same = readNumbering(own, { schemaHash: schemaHash(own), schema: '' }, false)
    expect(same).toEqual({ tables: [0, 1, 2, 3], fields: [[0, 1], [0, 1, 2, 3, 4, 5, 6, 7, 8], [0], [0]], capacities: [1, 64, 8, 9], inputs: [0, 1], events: [0, 1] })
    expect(same).toEqual(read(own))
  })

  it('numbering: what was added in the middle is not known, and what stands behind it is found there', () => {
    const newer = tablesOf({
      ...shape, globals: { count: u32, era: u8, total: u32 },
      tables: { walls: table({ hp: u16 }, { capacity: 3 }), cards: shape.tables.cards, things: table({ shade: u8, ...things, level: text(4), secret: u8.to('server') }, { capacity: 100, ids: true }), hidden: table({ a: u8 }, { capacity: 9, to: 'server' }), lines: shape.tables.lines },
      inputs: { leap: {}, stop: {}, add: shape.inputs.add }, events: { sang: {}, ...shape.events },
    })
    expect(read(newer, false)).toEqual({
      tables: [0, -1, 2, 1, 3], fields: [[0, -1, 1], [], [0], [-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, -1], [0]], capacities: [1, 0, 8, 100, 9], inputs: [-1, 1, 0], events: [-1, 0, 1],
    })
  })

  const forbidden: Readonly<Record<string, readonly [what: string, changed: Shape]>> = {
    'another player': ['player', { ...shape, player: undefined }],
    'a table that is gone': ['cards', { ...shape, tables: tablesWithoutCards }],
    'a table that is the server\'s now': ['cards', { ...shape, tables: { ...shape.tables, cards: table({ suit: u8 }, { capacity: 8, to: 'server' }) } }],
    'a table\'s audience': ['cards', { ...shape, tables: { ...shape.tables, cards: table({ suit: u8 }, { capacity: 8 }) } }],
    'a table without ids': ['things', withThings(things, { ids: false })],
    'rows that are kept': ['lines', { ...shape, tables: { ...shape.tables, lines: table({ line: text(8) }, { capacity: 5, whenFull: 'drop-oldest' }) } }],
    'a field that is gone': ['things.hp', withThings(thingsWithoutHp)],
    'a field that is the server\'s now': ['things.hp', withThings({ ...things, hp: u16.to('server') })],
    'a field\'s audience': ['things.hp', withThings({ ...things, hp: u16.to('owner') })],
    'a field\'s kind': ['things.hp', withThings({ ...things, hp: u32 })],
    'a quantized field\'s step': ['things.x', withThings({ ...things, x: quantized(0, 10, 0.25) })],
    'a text\'s length': ['things.name', withThings({ ...things, name: text(20) })],
    'a choice more': ['things.mood', withThings({ ...things, mood: choice('calm', 'loud', 'shy') })],
    'a ref\'s table': ['things.next', withThings({ ...things, next: ref('cards') })],
    'a list\'s items': ['things.tags', withThings({ ...things, tags: list(u16, 4) })],
    'a list\'s length': ['things.tags', withThings({ ...things, tags: list(u8, 5) })],
    'a global': ['$globals.total', { ...shape, globals: { count: u32, total: u16 } }],
    'an input that is gone': ['inputs.stop', { ...shape, inputs: { add: shape.inputs.add } }],
    'an input\'s field': ['inputs.add', { ...shape, inputs: { ...shape.inputs, add: { by: u8, why: text(4) } } }],
    'an input\'s field more': ['inputs.stop', { ...shape, inputs: { ...shape.inputs, stop: { at: u8 } } }],
    'the order of an input\'s fields': ['inputs.add', { ...shape, inputs: { ...shape.inputs, add: { why: text(4), by: i8 } } }],
    'an event that is gone': ['events.fell', { ...shape, events: { boom: { x: f32 } } }],
    'an event\'s field': ['events.boom', { ...shape, events: { ...shape.events, boom: { x: u32 } } }],
    'a join field': ['join.team', { ...shape, join: { name: text(8), team: u16 } }],
    'a join field that is gone': ['join.name', { ...shape, join: { team: u8 } }],
  }
  for (const [change, [what, changed]] of Object.entries(forbidden)) {
    it(`numbering: ${change} is an update-required that names it`, () => {
      expect(() => read(tablesOf(changed))).toThrow(`update-required: ${what} has changed`)
    })
  }

  it('numbering: defaults and capacities may differ', () => {
    const newer = tablesOf({ ...withThings({ ...things, hp: u16.default(3), tags: list(u8.default(4), 4).default([1]) }, { capacity: 20 }), inputs: { ...shape.inputs, add: { by: i8.default(2), why: text(4) } }, join: { name: text(8).default('x'), team: u8 } })
    expect(read(newer, false)).toEqual({ ...read(own), capacities: [1, 20, 8, 9] })
  })

  it('numbering: join data of a new session are read by the server\'s fields, so those must be the same; a session that is resumed needs none', () => {
    const more = tablesOf({ ...shape, join: { level: u8, ...shape.join } }), turned = tablesOf({ ...shape, join: { team: u8, name: text(8) } })
    for (const given of [more, turned]) {
      expect(read(given, true)).toEqual(read(own))
      expect(() => read(given, false)).toThrow('update-required: join has changed')
    }
  })

  it('numbering: a name that comes twice is known once, whatever it says the second time', () => {
    const twice = { ...own, tables: [...own.tables, { ...own.tables[1], capacity: 1, fields: [...own.tables[1].fields] }], inputs: [...own.inputs, { name: 'add', fields: [] }] }
    expect([read(twice).tables, read(twice).inputs]).toEqual([[0, 1, 2, 3, -1], [0, 1, -1]])
  })
})
