/** Lists, json, optionals and bigints wherever a room has fields; tables that drop their oldest row, through crashes too. */
import { describe, expect, it } from 'vitest'
import { atOutputRing, outputRingBytes } from '../../src/memory/arena-layout.js'
import { takeGeneration } from '../../src/memory/arena.js'
import { createRingWriter } from '../../src/memory/ring.js'
import { readValue } from '../../src/client/tables.js'
import { defineRoom } from '../../src/room/define.js'
import type { Room } from '../../src/room/types.js'
import { defineSchema, i64, json, list, optional, table, text, u16, u64, u8 } from '../../src/schema/index.js'
import { createEncoder } from '../../workers/encode.js'
import { flushRoom, type Flusher } from '../../workers/flush.js'
import { attachRoom } from '../../workers/open-room.js'
import type { Actor } from '../../workers/room-actor.js'
import { createLocalRoom, type LocalClient, type LocalRoom } from '../support/local-room.js'

const every = { big: u64.default(7n), low: i64, tags: list(text(8), 3).default(['new']), doc: json<unknown>(60).default({ a: [1] }), maybe: optional(u16).default(3), deep: optional(list(u8, 3)) }
const schema = defineSchema('values', {
  globals: every,
  tables: { things: table(every, { capacity: 20 }), chat: table({ n: u8 }, { capacity: 3, whenFull: 'drop-oldest', ids: true }) },
  inputs: { put: every }, events: { put: every }, options: every, join: every,
})
type ValuesRoom = Room<typeof schema, { later: typeof every }>

const fresh = { big: 7n, low: 0n, tags: ['new'], doc: { a: [1] }, maybe: 3, deep: null }
const values = { big: 2n ** 64n - 1n, low: -(2n ** 63n), tags: ['', '日本'], doc: [{ deep: null }, 'x'], maybe: null, deep: [1, 2, 255] }

const namesOf = Object.keys(every)
const valuesOf = (from: object): Record<string, unknown> => Object.fromEntries(namesOf.map((name) => [name, (from as Record<string, unknown>)[name]]))
const nowhere = { nowMs: () => 0, intervalMs: () => 1, mine: () => undefined, replica: () => undefined }

function seen(client: LocalClient, table: number, row: number): Record<string, unknown> {
  const { columns } = client.replication.replicas[table]
  return Object.fromEntries(columns.filter(({ field }) => namesOf.includes(field.name)).map((column) => [column.field.name, readValue(column, row, nowhere)]))
}

interface Heard { joins: unknown[]; inputs: unknown[]; timers: unknown[] }

function open(options: Record<string, unknown> = {}): { local: LocalRoom; heard: Heard; act(does: (room: ValuesRoom) => void): void } {
  const heard: Heard = { joins: [], inputs: [], timers: [] }
  let next: ((room: ValuesRoom) => void) | undefined
  const local = createLocalRoom(defineRoom(schema, {
    timers: { later: every },
    onJoin(_room, _session, join) { heard.joins.push(join) },
    onInput: { put(_room, _session, input) { heard.inputs.push(input) } },
    onTimer: { later(_room, arg) { heard.timers.push(arg) } },
    onTick(room) { next?.(room as unknown as ValuesRoom); next = undefined },
  }), undefined, options)
  return { local, heard, act: (does) => { next = does; local.turn() } }
}

describe('values', () => {
  it('values: rows, globals, inputs, events, join data, options and timers carry every kind, with its defaults', () => {
    const { local, heard, act } = open({ tags: ['option'], big: 1n })
    const client = local.join(values)
    local.join()
    local.turn()
    expect(heard.joins).toEqual([values, fresh])
    act((room) => {
      expect(valuesOf(room.options)).toEqual({ ...fresh, tags: ['option'], big: 1n })
      expect(valuesOf(room.globals)).toEqual(fresh)
      Object.assign(room.globals, values)
      room.tables.things.spawn()
      room.tables.things.spawn(values)
      room.emit('put', values)
      room.after(0, 'later', values)
      room.after(0, 'later', {}, 'other')
    })
    expect([seen(client, 0, 0), seen(client, 1, 0), seen(client, 1, 1)]).toEqual([values, fresh, values])
    expect(client.events).toEqual([{ name: 'put', data: values }])
    local.input(client, 'put', values)
    local.input(client, 'put', {})
    local.input(client, 'put', new Uint8Array(40).fill(255))
    local.turn()
    expect([heard.inputs, local.refused, heard.timers]).toEqual([[values, fresh], ['bad-input'], [values, fresh]])
  })

  it('values: a change of any kind reaches clients, and writing the same again does not', () => {
    const { local, act } = open(), client = local.join()
    act((room) => { room.tables.things.spawn() })
    const steps = { big: 8n, low: -1n, tags: ['new', 'er'], doc: { a: [2] }, maybe: null, deep: [] }
    for (const [name, value] of Object.entries(steps)) {
      act((room) => { (room.tables.things.at(0) as unknown as Record<string, unknown>)[name] = value })
      expect(seen(client, 1, 0)[name], name).toEqual(value)
    }
    expect(seen(client, 1, 0)).toEqual(steps)
    client.received = []
    act((room) => { Object.assign(room.tables.things.at(0), steps) })
    expect(client.received).toEqual([])
  })

  it('values: what is no value is refused by name and changes nothing', () => {
    const { act } = open()
    act((room) => {
      const { things } = room.tables, row = things.spawn(values), view = things.at(row) as unknown as Record<string, unknown>
      for (const [name, wrong, why] of [
        ['tags', ['nine bytes'], 'bad-value: tags: ["nine bytes"] is no list of text'], ['tags', ['a', 'b', 'c', 'd'], 'tags: 4 items, at most 3'], ['tags', null, 'tags: null is no list'],
        ['doc', 'x'.repeat(60), 'doc: 62 bytes of JSON, at most 60'], ['doc', undefined, 'doc: undefined is no json'], ['maybe', 65536, 'maybe: 65536 is no optional of u16'],
        ['deep', [256], 'deep: [256] is no optional of list of u8'], ['big', -1n, 'things.big: -1n is no u64'], ['big', 5, 'things.big: 5 is no u64'], ['low', 2n ** 63n, 'is no i64'],
      ] as const) expect(() => { view[name] = wrong }, `${name} ${why}`).toThrow(why)
      expect(valuesOf(view)).toEqual(values)
      expect(() => things.spawn({ big: 5 as never })).toThrow('bad-value: big: 5 is no u64')
      expect(() => things.spawn({ tags: ['nine bytes'] })).toThrow('bad-value: tags')
      expect(things.size).toBe(1)
    })
  })

  it('values: what is read is frozen, is one object until it is set again, and is not what was given', () => {
    const { local, act } = open(), client = local.join(), given = ['a'], document = { list: [1] }
    act((room) => {
      const { things } = room.tables, row = things.spawn({ tags: given, doc: document })
      given.push('b')
      document.list.push(2)
      const tags = things.tags.get(row), doc = things.doc.get(row) as typeof document
      expect([tags, doc]).toEqual([['a'], { list: [1] }])
      expect(things.tags.get(row)).toBe(tags)
      expect(() => { (tags as string[]).push('c') }).toThrow(TypeError)
      expect(() => { doc.list.push(3) }).toThrow(TypeError)
      things.tags.set(row, ['z'])
      expect([things.tags.get(row), tags]).toEqual([['z'], ['a']])
    })
    const mine = seen(client, 1, 0)
    expect([Object.isFrozen(mine.tags), Object.isFrozen(mine.doc), seen(client, 1, 0).doc === mine.doc]).toEqual([true, true, true])
  })

  it('values: a new row does not show what the row before it in its place held', () => {
    const { local, act } = open(), client = local.join()
    act((room) => { room.tables.things.spawn(values); room.tables.things.at(0) })
    expect(seen(client, 1, 0)).toEqual(values)
    act((room) => { room.tables.things.despawn(0) })
    act((room) => { expect(valuesOf(room.tables.things.at(room.tables.things.spawn()))).toEqual(fresh) })
    expect(seen(client, 1, 0)).toEqual(fresh)
  })
})

describe('slots', () => {
  it('slots: the largest reach clients whole, by record and by snapshot', () => {
    const large = defineSchema('large', { tables: { rows: table({ doc: json<unknown>(32_766), bytes: list(u8, 32_764) }, { capacity: 70 }) } })
    const doc = (n: number): string => String.fromCharCode(97 + n % 26).repeat(32_764), bytes = Array.from({ length: 32_764 }, (_, n) => n & 255)
    let isDue = false
    const local = createLocalRoom(defineRoom(large, {
      onTick(room) {
        for (let n = 0; isDue && n < 70; n++) room.tables.rows.spawn({ doc: doc(n), bytes })
      },
    }))
    const early = local.join()
    local.turn()
    isDue = true
    local.turn()
    isDue = false
    const late = local.join()
    local.turn()
    for (const client of [early, late]) {
      const [, { size, columns }] = client.replication.replicas
      expect(size).toBe(70)
      for (let row = 0; row < 70; row++) expect(readValue(columns[0], row, nowhere) === doc(row)).toBe(true)
      expect(readValue(columns[1], 69, nowhere)).toEqual(bytes)
    }
  })
})

/** A new thread takes over what the old one had committed. */
function succeed({ arena, type, actor }: LocalRoom): { actor: Actor; room: ValuesRoom; flush(): void } {
  const flusher: Flusher = {
    encoder: createEncoder(arena, 0, () => {}), output: createRingWriter(arena, atOutputRing, outputRingBytes), generation: takeGeneration(arena), fault: () => {}, onSkipped: () => {},
  }
  const heir = attachRoom({ arena, flusher, report: () => {}, log: () => {}, count: () => {}, lost: () => {}, refuse: () => {}, want: () => {}, randomKey: () => new Uint32Array(8) }, actor.room.block, [type])!
  return { actor: heir, room: heir.room.author as unknown as ValuesRoom, flush: () => { flushRoom(flusher, heir.room) } }
}

const linesOf = ({ tables: { chat } }: ValuesRoom): number[] => [...chat.rows()].map((row) => chat.n[row]).sort((a, b) => a - b)

describe('drop-oldest', () => {
  it('drop-oldest: a spawn into a full table ends the row that was spawned first, whatever its number', () => {
    const { act } = open()
    act((room) => {
      const { chat } = room.tables
      expect(chat.capacity).toBe(3)
      const rows = [1, 2, 3].map((n) => chat.spawn({ n }, { id: `line-${n}` }))
      chat.despawn(rows[0])
      chat.spawn({ n: 4 })
      expect(linesOf(room)).toEqual([2, 3, 4])
      chat.spawn({ n: 5 })
      expect([linesOf(room), chat.size, chat.get('line-2'), chat.has(rows[1])]).toEqual([[3, 4, 5], 3, undefined, false])
    })
    act((room) => {
      const { chat } = room.tables, row = chat.spawn({ n: 6 })
      expect([linesOf(room), row < chat.rowOf('line-3')!]).toEqual([[4, 5, 6], false])
    })
    act((room) => { room.tables.chat.spawn({ n: 7 }) })
    act((room) => { room.tables.chat.spawn({ n: 8 }); expect(linesOf(room)).toEqual([6, 7, 8]) })
  })

  it('drop-oldest: a spawn that is refused ends nothing, and one flush takes any number of them', () => {
    const { act } = open()
    act((room) => {
      const { chat } = room.tables
      for (const n of [1, 2, 3]) chat.spawn({ n }, { id: `line-${n}` })
      expect(() => chat.spawn({ n: 4 }, { id: 'line-3' })).toThrow('id-taken')
      expect(linesOf(room)).toEqual([1, 2, 3])
      for (let n = 4; n <= 100; n++) chat.spawn({ n })
      expect(linesOf(room)).toEqual([98, 99, 100])
    })
    act((room) => { room.tables.chat.spawn({ n: 101 }); expect(linesOf(room)).toEqual([99, 100, 101]) })
  })

  it('drop-oldest: a successor, and its own, go on with the order of what was committed', () => {
    const { local, act } = open()
    act((room) => { for (const n of [1, 2, 3]) room.tables.chat.spawn({ n }) })
    act((room) => { for (const n of [4, 5]) room.tables.chat.spawn({ n }) })
    act((room) => { room.tables.chat.spawn({ n: 6 }) })
    // Row 0 is the youngest now. What the dying thread does last is not committed.
    const dying = local.actor.room.author as unknown as ValuesRoom
    expect(dying.tables.chat.n[0]).toBe(6)
    dying.tables.chat.spawn({ n: 99 })
    const first = succeed(local)
    expect(linesOf(first.room)).toEqual([4, 5, 6])
    first.room.tables.chat.spawn({ n: 7 })
    expect(linesOf(first.room)).toEqual([5, 6, 7])
    first.flush()
    const second = succeed(local)
    for (const [n, left] of [[8, [6, 7, 8]], [9, [7, 8, 9]], [10, [8, 9, 10]]] as const) {
      second.room.tables.chat.spawn({ n })
      second.flush()
      expect(linesOf(second.room)).toEqual(left)
    }
  })
})
