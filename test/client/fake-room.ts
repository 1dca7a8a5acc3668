/** A room made by hand: sections built with the generated code, and a transport that keeps what the client says. */
import { Builder } from 'flatbuffers'
import { ColumnHash } from '../../schema/generated/kasagi/wire/column-hash.js'
import { ColumnValues } from '../../schema/generated/kasagi/wire/column-values.js'
import { EventData } from '../../schema/generated/kasagi/wire/event-data.js'
import { RowRange } from '../../schema/generated/kasagi/wire/row-range.js'
import { RowSet } from '../../schema/generated/kasagi/wire/row-set.js'
import { SectionHead } from '../../schema/generated/kasagi/wire/section-head.js'
import { Section } from '../../schema/generated/kasagi/wire/section.js'
import type { ConnectOptions, Where } from '../../src/client/client-room.js'
import { connectWith } from '../../src/client/connect.js'
import type { OpenTransport, TransportHandlers } from '../../src/client/web-socket.js'
import { bool, choice, defineSchema, f32, i8, list, quantized, ref, table, text, u16, u32, u64, u8 } from '../../src/schema/index.js'
import { fullTablesOf, publicTablesOf, schemaHash } from '../../src/schema/tables-of.js'
import { readClientMessage, type ClientMessage } from '../../src/wire/client-messages.js'
import { writeWelcome, type WelcomeMessage } from '../../src/wire/server-messages.js'

export const schema = defineSchema('fake', {
  player: 'things',
  globals: { count: u32 },
  tables: {
    things: table({
      x: quantized(-100, 100, 0.5), hp: u16, name: text(16), kind: choice('one', 'two'), on: bool, next: ref('things'),
      purse: u32.to('owner'), tags: list(u8, 4), big: u64, kept: list(u8, 4).to('owner'),
    }, { capacity: 256, ids: true }),
    cards: table({ suit: u8 }, { capacity: 64, to: 'owner' }),
  },
  inputs: { add: { by: i8 } }, events: { boom: { x: f32 } }, join: { name: text(8) },
})
export const tables = publicTablesOf(fullTablesOf(schema, []))

export const globals = 0, things = 1, cards = 2
export const field = { x: 0, hp: 1, name: 2, kind: 3, on: 4, next: 5, purse: 6, tags: 7, big: 8, kept: 9, id: 65534, generation: 65535 } as const
export const changed = 0, spawned = 1, despawned = 2
export const range = 0, bitmap = 1, gaps = 2
export const epoch = 2 ** 41 + 7
export const slot = 3, ownStream = 2 << 24 | slot, addressedStream = 5 << 24

export interface SetSpec {
  table: number
  what: number
  rows: readonly number[]
  form?: number
  columns?: readonly (readonly [field: number, values: ArrayBufferView])[]
}
export interface SectionSpec {
  seq: number
  prevSeq?: number
  epoch?: number
  tick?: number
  stream?: number
  ranges?: readonly (readonly [table: number, last: number, first: number, end: number])[]
  sets?: readonly SetSpec[]
  events?: readonly (readonly [event: number, bytes: Uint8Array])[]
  hashes?: readonly (readonly [table: number, field: number, hash: number])[]
  missedEvents?: number
}

const bytesOf = (values: ArrayBufferView): Uint8Array => new Uint8Array(values.buffer, values.byteOffset, values.byteLength)

/** Texts as a column has them: u16 lengths, then the bytes. */
export function texts(...values: readonly string[]): Uint8Array {
  const encoded = values.map((value) => new TextEncoder().encode(value))
  const lengths = Uint16Array.from(encoded, ({ length }) => length)
  return Uint8Array.from([...bytesOf(lengths), ...encoded.flatMap((bytes) => [...bytes])])
}

/** Packed values of slots as a column has them. */
export function slots(...values: readonly (readonly number[])[]): Uint8Array {
  return Uint8Array.from([...bytesOf(Uint16Array.from(values, ({ length }) => length)), ...values.flat()])
}

/** The rows of a set in one of the three forms. */
export function rowBytes(rows: readonly number[], form: number): Uint8Array {
  if (form === range) return new Uint8Array(0)
  const first = rows[0] & ~63
  if (form === bitmap) {
    const bits = new Uint8Array(((rows[rows.length - 1] - first >> 6) + 1) * 8)
    for (const row of rows) bits[row - first >> 3] |= 1 << (row & 7)
    return bits
  }
  const bytes: number[] = []
  let next = first
  for (const row of rows) {
    let gap = row - next
    for (; gap >= 128; gap = Math.floor(gap / 128)) bytes.push(gap & 127 | 128)
    bytes.push(gap)
    next = row + 1
  }
  return Uint8Array.from(bytes)
}

const wide = (value: number): [number, number] => [value >>> 0, Math.floor(value / 2 ** 32)]

/** A section message, as a WebSocket would hand it over. */
export function section(spec: SectionSpec): ArrayBuffer {
  const data: number[] = []
  const put = (bytes: Uint8Array): [offset: number, bytes: number] => {
    while (data.length % 8 !== 0) data.push(0)
    const offset = data.length
    data.push(...bytes)
    return [offset, bytes.length]
  }
  const sets = (spec.sets ?? []).map(({ table, what, rows, form = gaps, columns = [] }) => ({
    table, what, form, first: form === range ? rows[0] : rows[0] & ~63, count: rows.length, at: put(rowBytes(rows, form)),
    columns: columns.map(([number, values]) => ({ number, at: put(bytesOf(values)) })),
  }))
  const events = (spec.events ?? []).map(([event, bytes]) => ({ event, at: put(bytes) }))
  const builder = new Builder(1024)
  const vector = <T>(items: readonly T[], start: (builder: Builder, count: number) => void, create: (item: T) => void): number => {
    start(builder, items.length)
    for (const item of items.toReversed()) create(item)
    return builder.endVector()
  }
  const dataAt = vector(data, (_, count) => builder.startVector(1, count, 8), (byte) => builder.addInt8(byte))
  const ranges = vector(spec.ranges ?? [], Section.startRangesVector, (entry) => RowRange.createRowRange(builder, ...entry))
  const rowSets = vector(sets, Section.startRowSetsVector, (set) => {
    RowSet.createRowSet(builder, set.table, set.what, set.form, set.first, set.count, ...set.at)
  })
  const values = sets.flatMap(({ columns }, set) => columns.map((column) => ({ set, ...column })))
  const columns = vector(values, Section.startColumnsVector, ({ set, number, at }) => {
    ColumnValues.createColumnValues(builder, set, number, ...at)
  })
  const eventsAt = vector(events, Section.startEventsVector, ({ event, at }) => EventData.createEventData(builder, event, 0, ...at))
  const hashes = vector(spec.hashes ?? [], Section.startHashesVector, (entry) => ColumnHash.createColumnHash(builder, ...entry))
  Section.startSection(builder)
  Section.addHead(builder, SectionHead.createSectionHead(
    builder, ...wide(spec.epoch ?? epoch), ...wide(spec.seq), ...wide(spec.prevSeq ?? 0), spec.tick ?? spec.seq, spec.stream ?? 0,
  ))
  Section.addData(builder, dataAt)
  Section.addRanges(builder, ranges)
  Section.addRowSets(builder, rowSets)
  Section.addColumns(builder, columns)
  Section.addEvents(builder, eventsAt)
  Section.addHashes(builder, hashes)
  Section.addMissedEvents(builder, spec.missedEvents ?? 0)
  Section.finishSectionBuffer(builder, Section.endSection(builder))
  return builder.asUint8Array().slice().buffer
}

/** A thing with every field of the room's stream. */
export const thing = (row: number, { id = '', hp = 0, x = 0, name = '', generation = 1 } = {}): SetSpec => ({
  table: things, what: spawned, rows: [row],
  columns: [
    [field.generation, Uint16Array.of(generation)], [field.id, texts(id)], [field.x, Uint16Array.of(x)], [field.hp, Uint16Array.of(hp)],
    [field.name, texts(name)], [field.kind, Uint8Array.of(0)], [field.on, Uint8Array.of(0)], [field.next, new Uint32Array(2)],
  ],
})

export const setHp = (row: number, hp: number): SetSpec =>
  ({ table: things, what: changed, rows: [row], columns: [[field.hp, Uint16Array.of(hp)]] })
export const setCount = (count: number): SetSpec => ({ table: globals, what: changed, rows: [0], columns: [[0, Uint32Array.of(count)]] })

/** The server's word on which row is the session's own. */
export function ownRow(row: number, generation: number, present = 1): readonly [number, Uint8Array] {
  const bytes = new DataView(new ArrayBuffer(8))
  bytes.setUint32(0, row, true)
  bytes.setUint16(4, generation, true)
  bytes.setUint16(6, present, true)
  return [65535, bytesOf(bytes)]
}

/** Both streams of a snapshot, one chunk each: the globals, and these things. */
export const snapshot = (seq: number, sets: readonly SetSpec[] = [], count = 0): [room: ArrayBuffer, own: ArrayBuffer] => [
  section({
    seq, ranges: [[globals, 0, 0, 64], [things, 1, 0, 256]],
    sets: [
      { table: globals, what: spawned, rows: [0], columns: [[field.generation, Uint16Array.of(0)], [0, Uint32Array.of(count)]] }, ...sets,
    ],
  }),
  section({ seq, stream: ownStream, ranges: [[0, 1, 0, 0]] }),
]

export const welcome = (changes: Partial<WelcomeMessage> = {}): Uint8Array => writeWelcome({
  epoch, seq: 10, parentEpoch: 0, forkSeq: 0, tick: 10, tickHz: 20, flushHz: 20, roomId: 'fake:main', sessionId: 'ann', slot, lastInput: 0,
  schemaHash: schemaHash(tables), schema: '', token: '', generation: 1, ...changes,
})

export interface FakeServer {
  readonly open: OpenTransport
  /** What the client has said so far. */
  readonly said: ClientMessage[]
  /** Sends messages, one after the other. */
  say(...messages: readonly (ArrayBuffer | Uint8Array)[]): void
  close(code: number): void
}

export function createFakeServer(): FakeServer {
  const said: ClientMessage[] = []
  let client: TransportHandlers | undefined
  return {
    said,
    open: async (_url, handlers) => {
      client = handlers
      setImmediate(() => handlers.open())
      return { send: (bytes) => { said.push(readClientMessage(bytes.slice())!) }, close: () => handlers.closed(1000) }
    },
    say: (...messages) => {
      for (const message of messages) client!.message(new Uint8Array(message).slice().buffer)
    },
    close: (code) => client!.closed(code),
  }
}

const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

/** Begins a join, and returns once the server has heard it. */
export async function beginJoin(options: ConnectOptions = {}, where: Where<typeof schema> = {}) {
  const server = createFakeServer()
  const joined = connectWith(server.open, 'ws://fake', options).join(schema, where)
  joined.catch(() => {})
  while (server.said.length === 0) await turn()
  return { server, joined }
}

/** A room joined at seq 10 with these things in it. */
export async function joinFake(sets: readonly SetSpec[] = [], options: ConnectOptions = {}) {
  const { server, joined } = await beginJoin(options)
  server.say(welcome(), ...snapshot(10, sets))
  const room = await joined
  server.said.length = 0
  return { server, room }
}
