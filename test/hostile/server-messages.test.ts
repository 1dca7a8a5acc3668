/** A server that is hostile, or broken, against the SDK: no page hangs, throws or grows without end, and an honest snapshot mends what it has done. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { applySection, eventsOf, openSection } from '../../src/client/apply.js'
import { differingColumns } from '../../src/client/hashes.js'
import { createReplication, expectFrame, expectSnapshot, receiveSection } from '../../src/client/replication.js'
import { createReplica, type Replica } from '../../src/client/table.js'
import { defineSchema, table, text, u8 } from '../../src/schema/index.js'
import { fullTablesOf, publicTablesOf } from '../../src/schema/tables-of.js'
import { writeNotice, writeOwn, writePong, writeResynced } from '../../src/wire/server-messages.js'
import {
  addressedStream, bitmap, changed, despawned, epoch, field, joinFake, ownRow, ownStream, range, section, setCount, setHp, slots, snapshot, spawned, tables, texts, thing, things, welcome, type SectionSpec,
} from '../client/fake-room.js'
import { heapUsedBytes } from '../support/heap.js'
import { leastMs, timed } from '../support/time.js'
import { changes, everyField, mutate } from './mutations.js'

const seed = Number(process.env.SEED ?? Date.now() % 0x7fff_ffff)
const messageMsMax = 5

const own = { epoch, seq: 11, durableSeq: 10, lastInput: 0, wanted: 0, sections: 0 }
const everything: SectionSpec = {
  seq: 11, prevSeq: 10, missedEvents: 2, hashes: [[things, field.hp, 1], [things, field.id, 2]], events: [[0, new Uint8Array(Float32Array.of(2).buffer)]],
  sets: [
    { table: things, what: despawned, rows: [3, 90], form: bitmap }, thing(7, { id: 'seven', name: 'Seven', hp: 7 }), setHp(1, 9), setCount(3), { ...setHp(1, 4), form: range },
    { table: things, what: changed, rows: [1, 7], columns: [[field.name, texts('a', 'bc')], [field.tags, slots([1, 0, 5], [0, 0])]] },
  ],
}
const ownSection = section({ seq: 11, prevSeq: 10, stream: ownStream, events: [ownRow(1, 1)], sets: [{ table: things, what: changed, rows: [1], columns: [[field.purse, Uint32Array.of(9)]] }] })
const messages: Uint8Array[] = [
  welcome({ token: 'again' }), writeOwn(own), writeOwn({ ...own, sections: 2, wanted: 1, nacks: [{ number: 1, code: 'no', text: 'not now' }, { number: 2, code: 'no', text: '' }] }), writeNotice('room-closed', 'over'), writePong({ sent: 1, serverMs: 2, tickMs: 3 }),
  writeResynced({ kind: 0, epoch, seq: 10 }), writeResynced({ kind: 1, epoch, seq: 20 }), new Uint8Array(section(everything)), new Uint8Array(ownSection),
  new Uint8Array(section({ seq: 11, stream: addressedStream, events: [[0, new Uint8Array(4)]] })), ...snapshot(20, [thing(1)]).map((chunk) => new Uint8Array(chunk)),
].map((bytes) => bytes.slice())

describe('hostile: servers\' messages', () => {
  beforeAll(() => { vi.spyOn(console, 'warn').mockImplementation(() => {}) })
  afterAll(() => { vi.restoreAllMocks() })

  it('hostile: 50,000 broken messages of every kind to a client that is live: nothing throws, nothing takes long, and a snapshot mends what they did', async () => {
    let joined = await joinFake([thing(1), thing(3), thing(90)], { verify: true }), joins = 0, mended = 0, heldBytes = 0
    const slow: Uint8Array[] = []
    const fieldByField = messages.flatMap((bytes) => everyField(bytes.length).map((change) => mutate(bytes, [change])))
    const cases = fc.tuple(fc.constantFrom(...messages), changes).map(([bytes, list]) => mutate(bytes, list))
    const hear = (bytes: Uint8Array): void => {
      const { server, room } = joined
      // Sometimes in the middle of a frame, or of a snapshot.
      if (bytes.length % 3 === 0) server.say(writeOwn({ ...own, sections: 2 }))
      if (bytes.length % 5 === 0) server.say(writeResynced({ kind: 1, epoch, seq: 20 }))
      if (timed(() => server.say(bytes)) > messageMsMax) slow.push(bytes)
      if (room.status === 'closed') return
      server.say(writeResynced({ kind: 1, epoch, seq: 10 }), ...snapshot(10, [thing(1), thing(3), thing(90)], 77))
      expect([room.globals.count, [...room.tables.things.rows()], room.status, room.position]).toEqual([77, [1, 3, 90], 'live', { epoch, seq: 10 }])
      expect(server.said.length).toBeLessThan(20)
      server.said.length = 0
      mended++
    }
    let run = 0
    await fc.assert(fc.asyncProperty(cases, async (bytes) => {
      if (joined.room.status === 'closed') { joined = await joinFake([thing(1), thing(3), thing(90)], { verify: true }); joins++ }
      hear(bytes)
      if (++run === 30_000) heldBytes = heapUsedBytes()
    }), { numRuns: 50_000, examples: fieldByField.map((bytes) => [bytes]), seed })
    for (const bytes of slow) expect(leastMs(() => joined.server.say(bytes)), Buffer.from(bytes).toString('hex')).toBeLessThan(messageMsMax)
    expect([fieldByField.length > 20_000, mended > 40_000, joins > 10], `${fieldByField.length} fields, ${mended} mended, ${joins} joined anew`).toEqual([true, true, true])
    expect(heapUsedBytes() - heldBytes, 'bytes that 20,000 messages have left').toBeLessThan(3e6)
  }, 300_000)

  // Few bytes that mean much work: 65,536 rows again and again, or the same bytes as ever more values.
  const rows = 2 ** 16
  const large = publicTablesOf(fullTablesOf(defineSchema('large', { globals: {}, tables: { dots: table({ flag: u8 }, { capacity: rows }) }, events: { said: { line: text(4000) } } }), []))
  const filled = (): Replica[] => {
    const replicas = large.tables.map(createReplica)
    applySection(openSection(section({ seq: 1, sets: [{ table: 1, what: spawned, rows: [rows - 1], columns: [[0, Uint8Array.of(1)]] }] }))!, replicas, { nowMs: 0, intervalMs: 1 })
    return replicas
  }
  const many = 5000, one = { table: 1, rows: [0], form: range }
  /** Makes each of `count` structs say what the first one is changed to. */
  const patched = (spec: SectionSpec, vector: number, structWords: number, words: readonly (number | undefined)[]): ArrayBuffer => {
    const message = section(spec), { u32, vectors } = openSection(message)!, from = vectors[vector] >> 2
    for (let n = 0; n < u32[from - 1]; n++) words.forEach((word, at) => { if (word !== undefined) u32[from + n * structWords + at] = word })
    return message
  }
  const repeated = <T>(item: T): T[] => new Array<T>(many).fill(item)
  const costly: Record<string, () => ArrayBuffer> = {
    'rows that are spawned': () => patched({ seq: 2, sets: repeated({ ...one, what: spawned }) }, 2, 5, [undefined, undefined, rows]),
    'rows that are despawned': () => patched({ seq: 2, sets: repeated({ ...one, what: despawned }) }, 2, 5, [undefined, undefined, rows]),
    'rows that are cleared': () => section({ seq: 2, ranges: repeated([1, 0, 0, rows] as const) }),
    'values that lie over each other': () => {
      const columns = [[0, new Uint8Array(rows)], ...repeated([0, new Uint8Array(1)])] as [number, Uint8Array][]
      const message = patched({ seq: 2, sets: [{ ...one, what: changed, columns }] }, 3, 3, [0, 0, rows])
      const { u32, vectors } = openSection(message)!
      u32[(vectors[2] >> 2) + 2] = rows
      return message
    },
    hashes: () => section({ seq: 2, hashes: repeated([1, 0, 1] as const) }),
    'events that lie over each other': () => patched({ seq: 2, events: [[0, new Uint8Array(4002)], ...repeated([0, new Uint8Array(1)] as const)] }, 4, 3, [0, 0, 4002]),
  }
  for (const [what, make] of Object.entries(costly)) {
    it(`hostile: more ${what} than a section has bytes for are refused`, () => {
      const opened = openSection(make())!, replicas = filled()
      const take = (): void => { differingColumns(opened, replicas); applySection(opened, replicas, { nowMs: 0, intervalMs: 1 }); eventsOf(opened) }
      expect(take).toThrow(/its parts are larger than the section|there are more hashes than columns/)
      expect(leastMs(() => expect(take).toThrow())).toBeLessThan(100)
    })
  }

  it('hostile: a frame or a snapshot that never ends is let go of once it is larger than the room', () => {
    const replication = createReplication(tables, 20, false, { flushed: () => {}, event: () => {}, missed: () => {}, resync: () => {}, complete: () => {}, differs: () => {}, nowMs: () => 0 })
    const chunk = section({ seq: 10, ranges: [[things, 0, 0, 256]], sets: [{ ...thing(1), columns: [[field.name, texts('x'.repeat(60_000))]] }] })
    expectSnapshot(replication, epoch, 10)
    expect(() => { for (let n = 0; n < 1000; n++) receiveSection(replication, chunk) }).toThrow('more is on its way than the room can hold')
    expectSnapshot(replication, epoch, 10)
    for (const message of snapshot(10)) receiveSection(replication, message)
    const part = section({ seq: 11, prevSeq: 10, events: [[0, new Uint8Array(60_000)]] })
    expectFrame(replication, 0xffff_ffff)
    expect(() => { for (let n = 0; n < 1000; n++) receiveSection(replication, part) }).toThrow('more is on its way than the room can hold')
  })

  it('hostile: an own row that is cut short, ids without end and streams without number leave nothing behind', async () => {
    const { server, room } = await joinFake([thing(1)])
    for (const bytes of [0, 7, 9]) {
      server.say(section({ seq: 11, prevSeq: 10, stream: ownStream, events: [[65535, new Uint8Array(bytes)]] }), writeResynced({ kind: 1, epoch, seq: 10 }), ...snapshot(10, [thing(1)]))
      expect(room.status).toBe('live')
    }
    const replica = createReplica(tables.tables[things])
    const named = (id: string): void => applySection(openSection(section({ seq: 11, sets: [thing(5, { id })] }))!, [createReplica(tables.tables[0]), replica], { nowMs: 0, intervalMs: 1 })
    for (let n = 0; n < 1000; n++) named(`name ${n}`)
    expect([...replica.byId]).toEqual([['name 999', 5]])
    const message = section({ seq: 10, prevSeq: 10, sets: [] }), { u32 } = openSection(message)!, stream = u32[0] / 4 + 8
    const heldBytes = heapUsedBytes()
    for (let n = 0; n < 100_000; n++) { u32[stream] = n; server.say(message) }
    expect(heapUsedBytes() - heldBytes).toBeLessThan(1e6)
  })
})
