/**
 * Tables against a naive model: 200,000 random operations, among them joins, leaves, cuts and resyncs. After each flush what every client
 * has decoded equals the model, and none of its bytes holds a secret of another audience.
 */
import { inspect, isDeepStrictEqual } from 'node:util'
import { describe, expect, it } from 'vitest'
import { nextFloat, nextInt, seedPrng } from '../../src/base/prng.js'
import { historyRecordsMax } from '../../src/memory/room-layout.js'
import { generationOfRef, rowOfRef } from '../../src/memory/rows.js'
import { defineRoom } from '../../src/room/define.js'
import type { Room } from '../../src/room/types.js'
import { bool, choice, defineSchema, f32, f64, i16, i32, i64, json, list, optional, quantized, ref, table, text, u16, u32, u64, u8 } from '../../src/schema/index.js'
import { quantize } from '../../src/schema/quantize.js'
import { isChunk, openSection } from '../../src/client/apply.js'
import type { NumberArray, Replica, ReplicaColumn } from '../../src/client/table.js'
import { readValue } from '../../src/client/tables.js'
import { createLocalRoom, type LocalClient } from '../support/local-room.js'

const operations = process.env.OPERATIONS === undefined ? 200_000 : Number(process.env.OPERATIONS)
const seed = process.env.SEED === undefined ? 20_261_124 : Number(process.env.SEED)

const chatCapacity = 12
const schema = defineSchema('model', {
  player: 'things',
  globals: { count: u32, mood: choice('calm', 'wild'), total: u64, rules: json<unknown>(60), banner: optional(text(12)) },
  tables: {
    things: table({
      x: quantized(-500, 500, 0.25), z: quantized(0, 1, 0.01), far: quantized(0, 1e6, 1), a: f32, b: f64, hp: u16, low: i16, tiny: u8, wide: i32, flag: bool, kind: choice('one', 'two', 'three'),
      name: text(20), next: ref('things'), purse: u32.to('owner'), note: text(24).to('owner'), plan: text(24).to('server'), goal: f32.to('server'),
      large: u64, debt: i64, tags: list(text(6), 4), path: list(f32, 5), slots: list(optional(u8), 4), grid: list(list(u8, 3), 3), data: json<unknown>(80), maybe: optional(i16),
      ways: optional(list(u16, 3)), stash: list(text(10), 2).to('owner'), worth: i64.to('owner'), mind: json<unknown>(40).to('server'), aim: optional(u64).to('server'),
    }, { capacity: 200, ids: true }),
    cards: table({ of: ref('things'), mark: text(16), suit: u8 }, { capacity: 150, to: 'owner' }),
    deck: table({ mark: text(16) }, { capacity: 100, to: 'server' }),
    plain: table({ v: u32 }, { capacity: 70 }),
    chat: table({ line: text(12), reply: optional(u32), by: u64, aside: u32.to('owner') }, { capacity: chatCapacity, whenFull: 'drop-oldest', ids: true }),
  },
})

type ModelRoom = Room<typeof schema>
interface Thing { row: number; id: string; owner: number; values: Record<string, unknown> }
/** `chat` is in order of birth. */
interface Model { things: Map<number, Thing>; cards: Map<number, Thing>; deck: Map<number, Thing>; plain: Map<number, Thing>; chat: Map<number, Thing> }

const state = new Uint32Array(4)
const int = (below: number): number => nextInt(state, below)
const pick = <T>(values: readonly T[]): T => values[int(values.length)]
const number = (span: number): number => (nextFloat(state) - 0.5) * span
const word = (): string => pick(['', 'ann', 'Bürger', '日本', 'twenty bytes exactly', 'x'.repeat(int(20))])
let marks = 0
/** Text that occurs nowhere else. */
const secret = (): string => `#${(marks++).toString(36).padStart(7, '0')}!`

const wide = (): bigint => BigInt(int(2 ** 32)) << 32n | BigInt(int(2 ** 32))
const several = <T>(most: number, item: () => T): T[] => Array.from({ length: int(most + 1) }, item)
/** Values of the fields that are set as a whole, and of bigints. */
const whole: Record<string, () => unknown> = {
  large: wide, debt: () => wide() - 2n ** 63n, worth: () => wide() - 2n ** 63n, aim: () => int(2) === 0 ? null : wide(),
  tags: () => several(4, () => pick(['', 'ann', '日本', 'x'.repeat(int(7))])), path: () => several(5, () => Math.fround(number(1e6))), slots: () => several(4, () => int(3) === 0 ? null : int(256)),
  grid: () => several(3, () => several(3, () => int(256))), data: () => pick([null, int(1e6), { at: [int(9), { deep: word() }] }, [], 'text "quoted"', { n: number(9) }]),
  maybe: () => int(2) === 0 ? null : int(65536) - 32768, ways: () => int(3) === 0 ? null : several(3, () => int(65536)),
  stash: () => several(2, secret), mind: () => ({ goal: secret() }),
}

const numeric: Record<string, () => number> = {
  x: () => number(1200), z: () => number(3), far: () => number(3e6), a: () => Math.fround(number(1e6)), b: () => number(1e9), hp: () => int(65536),
  low: () => int(65536) - 32768, tiny: () => int(256), wide: () => int(2 ** 32) - 2 ** 31, goal: () => Math.fround(number(10)), purse: () => int(2 ** 32),
}

function change(room: ModelRoom, model: Model): void {
  const { things } = room.tables, thing = pick([...model.things.values()])
  const field = pick([...Object.keys(numeric), ...Object.keys(whole), 'flag', 'kind', 'name', 'next', 'note', 'plan'])
  const { row, values } = thing
  if (field in numeric) (things as unknown as Record<string, NumberArray>)[field][row] = (values[field] = numeric[field]()) as number
  else if (field in whole) (things.at(row) as Record<string, unknown>)[field] = values[field] = whole[field]()
  else if (field === 'flag') things.flag.set(row, (values.flag = int(2) === 1) as boolean)
  else if (field === 'kind') things.kind.set(row, (values.kind = pick(['one', 'two', 'three'] as const)) as 'one')
  else if (field === 'name') things.at(row).name = (values.name = word()) as string
  else if (field === 'next') things.next.set(row, (values.next = int(3) === 0 ? null : things.ref(pick([...model.things.keys()]))) as never)
  else if (field === 'note') things.note.set(row, (values.note = secret()) as string)
  else things.plan.set(row, (values.plan = secret()) as string)
}

function spawnThing(room: ModelRoom, model: Model): void {
  // Rows despawned in this turn are not yet free again, so tables are never driven to their last row.
  if (model.things.size >= 140) return
  const sessions = [...room.sessions.values()], owner = int(2) === 0 || sessions.length === 0 ? undefined : pick(sessions)
  const id = int(2) === 0 ? `thing-${marks++}` : ''
  const values: Record<string, unknown> = { note: secret(), plan: secret(), name: word(), next: null, flag: false, kind: 'one' }
  for (const [field, value] of Object.entries({ ...numeric, ...whole })) values[field] = value()
  const row = room.tables.things.spawn(values, { ...(id === '' ? {} : { id }), ...(owner === undefined ? {} : { owner }) })
  check(!model.things.has(row), `SEED=${seed}`, () => `row ${row} was given out twice`)
  model.things.set(row, { row, id, owner: owner === undefined ? -1 : slotOf(owner), values })
}

const slotOf = (session: unknown): number => (session as { slot: number }).slot

function spawnCard(room: ModelRoom, model: Model): void {
  const sessions = [...room.sessions.values()]
  if (sessions.length === 0 || model.cards.size >= 100 || model.things.size === 0) return
  const owner = pick(sessions), values = { mark: secret(), suit: int(256), of: room.tables.things.ref(pick([...model.things.keys()])) }
  model.cards.set(room.tables.cards.spawn(values, { owner }), { row: 0, id: '', owner: slotOf(owner), values })
}

function despawn(from: Map<number, Thing>, table: { despawn(row: number): void }): void {
  if (from.size === 0) return
  const row = pick([...from.keys()])
  table.despawn(row)
  from.delete(row)
}

/** Spawns lines; each beyond the capacity ends the oldest, however many come within one flush. */
function chatter(room: ModelRoom, { chat }: Model): void {
  for (let n = int(8) === 0 ? 1 + int(60) : 1; n > 0; n--) {
    const values = { line: word().slice(0, 3), reply: int(2) === 0 ? null : int(2 ** 32), by: wide(), aside: int(2 ** 32) }, owner = pick([...room.sessions.values()]), id = int(2) === 0 ? `line-${marks++}` : ''
    const row = room.tables.chat.spawn(values, { owner, ...(id === '' ? {} : { id }) })
    check(!chat.has(row), `SEED=${seed}`, () => `chat: row ${row} was given out twice`)
    chat.set(row, { row, id, owner: slotOf(owner), values })
    if (chat.size > chatCapacity) chat.delete(chat.keys().next().value!)
    check(room.tables.chat.size === chat.size, `SEED=${seed}`, () => `chat holds ${room.tables.chat.size} rows`)
  }
}

function setGlobal(room: ModelRoom): void {
  const { globals } = room
  const kind = int(4)
  if (kind === 0) globals.count++
  else if (kind === 1) globals.total = wide()
  else if (kind === 2) globals.rules = whole.data()
  else globals.banner = int(2) === 0 ? null : word().slice(0, 4)
}

function operate(room: ModelRoom, model: Model): void {
  const { things, cards, deck, plain, chat } = room.tables
  const kind = int(100)
  if (kind < 55 && model.things.size > 0) change(room, model)
  else if (kind < 68) spawnThing(room, model)
  else if (kind < 78) despawn(model.things, things)
  else if (kind < 84) spawnCard(room, model)
  else if (kind < 88) despawn(model.cards, cards)
  else if (kind < 90 && model.deck.size < 60) { const mark = secret(); model.deck.set(deck.spawn({ mark }), { row: 0, id: '', owner: -1, values: { mark } }) }
  else if (kind < 92) despawn(model.deck, deck)
  else if (kind < 94 && model.plain.size < 40) { const v = int(1000); model.plain.set(plain.spawn({ v }), { row: 0, id: '', owner: -1, values: { v } }) }
  else if (kind < 95) despawn(model.plain, plain)
  else if (kind < 97 && room.sessions.size > 0) chatter(room, model)
  else if (kind < 98) { if (int(3) === 0) despawn(model.chat, chat) }
  else if (kind < 99) setGlobal(room)
  else room.globals.mood = pick(['calm', 'wild'] as const)
}

const where = (operation: number): string => `SEED=${seed}, operation ${operation}`

function rowsOf(replica: Replica): number[] {
  const rows: number[] = []
  for (let row = 0; row < replica.end; row++) if (replica.alive[row] === 1) rows.push(row)
  return rows
}

const nowhere = { nowMs: () => 0, intervalMs: () => 1, mine: () => undefined, replica: () => undefined }

const valueOf = (replica: Replica, name: string, row: number): unknown => valueIn(replica.columns.find(({ field }) => field.name === name)!, row)

function valueIn(column: ReplicaColumn, row: number): unknown {
  const { field } = column
  if (field.maxBytes !== undefined || field.kind === 'u64' || field.kind === 'i64') return readValue(column, row, nowhere)
  const wire = column.wire as NumberArray
  if (field.kind === 'bool') return wire[row] === 1
  if (field.kind === 'choice') return field.choices![wire[row]]
  if (field.kind === 'ref') return wire[row * 2 + 1] >>> 16 === 0 ? null : (wire[row * 2 + 1] & 0xffff) * 2 ** 32 + wire[row * 2]
  return wire[row]
}

/** A check that costs nothing while it holds: there are some ten million of them. */
function check(holds: boolean, place: string, what: () => string): void {
  if (!holds) throw new Error(`${place}: ${what()}`)
}

/** What was compared once: both sides are replaced as a whole, and what clients read is frozen. */
const compared = new WeakMap<object, unknown>()

function isSame(seen: unknown, wanted: unknown): boolean {
  if (Object.is(seen, wanted)) return true
  if (typeof seen !== 'object' || seen === null) return false
  if (compared.get(seen) === wanted) return true
  compared.set(seen, wanted)
  return isDeepStrictEqual(seen, wanted)
}

function checkThing(room: ModelRoom, client: LocalClient, replica: Replica, thing: Thing, place: string): void {
  for (const column of replica.columns) {
    const { field } = column
    if (field.audience === 'owner' && thing.owner !== client.slot) continue
    const seen = valueIn(column, thing.row), meant = thing.values[field.name]
    const wanted = field.kind === 'quantized' ? quantize(field, meant as number) : meant
    check(isSame(seen, wanted), place, () => `things.${field.name} of row ${thing.row} is ${inspect(seen)} instead of ${inspect(wanted)}`)
    if (field.kind !== 'ref' || meant === null || room.tables.things.row(meant as never) === undefined) continue
    check(replica.generation[rowOfRef(meant as number)] === generationOfRef(meant as number), place, () => `generation of row ${rowOfRef(meant as number)}`)
  }
  check(replica.ids[thing.row] === thing.id, place, () => `id of row ${thing.row}`)
}

function checkRows(replica: Replica, meant: Iterable<number>, place: string): void {
  const seen = rowsOf(replica).join(), wanted = [...meant].sort((a, b) => a - b).join()
  check(seen === wanted, place, () => `rows of ${replica.table.name} are ${seen} instead of ${wanted}`)
}

function checkEqual(room: ModelRoom, model: Model, client: LocalClient, place: string): void {
  const [globals, things, cards, plain, chat] = client.replication.replicas
  check(valueOf(globals, 'count', 0) === room.globals.count && valueOf(globals, 'mood', 0) === room.globals.mood, place, () => 'globals')
  for (const name of ['total', 'rules', 'banner'] as const) check(isDeepStrictEqual(valueOf(globals, name, 0), room.globals[name]), place, () => `globals.${name}`)
  checkRows(things, model.things.keys(), place)
  for (const thing of model.things.values()) checkThing(room, client, things, thing, place)
  const mine = [...model.cards].filter(([, { owner }]) => owner === client.slot)
  checkRows(cards, mine.map(([row]) => row), place)
  for (const [row, { values }] of mine) for (const name of ['mark', 'suit', 'of']) check(valueOf(cards, name, row) === values[name], place, () => `cards.${name} of row ${row}`)
  checkRows(plain, model.plain.keys(), place)
  for (const [row, { values }] of model.plain) check(valueOf(plain, 'v', row) === values.v, place, () => `plain.v of row ${row}`)
  checkRows(chat, model.chat.keys(), place)
  for (const [row, { id, owner, values }] of model.chat) {
    for (const [name, value] of Object.entries(values)) if (name !== 'aside' || owner === client.slot) check(valueOf(chat, name, row) === value, place, () => `chat.${name} of row ${row}`)
    check(chat.ids[row] === id, place, () => `id of row ${row} of chat`)
  }
  check(client.mismatches === 0, place, () => 'a state hash differs')
}

/** The marks in these bytes. */
function marksIn(received: readonly Uint8Array[]): Set<string> {
  const found = new Set<string>()
  for (const bytes of received) for (const [mark] of Buffer.from(bytes).toString('latin1').matchAll(/#[0-9a-z]{7}!/g)) found.add(mark)
  return found
}

function checkNoSecrets(owned: ReadonlyMap<string, number>, client: LocalClient, place: string): void {
  for (const mark of marksIn(client.received)) check(owned.get(mark) === client.slot, place, () => `${mark} reached connection ${client.connection}`)
  client.received = []
}

describe('tables', () => {
  it(`tables: what clients decode equals a naive model over ${operations} random operations, and no byte is for others`, { timeout: 120_000 }, () => {
    seedPrng(state, seed)
    const model: Model = { things: new Map(), cards: new Map(), deck: new Map(), plain: new Map(), chat: new Map() }
    /** Who a mark was ever meant for. */
    const owned = new Map<string, number>()
    let left = 0, done = 0
    const author = (room: ModelRoom): void => {
      for (; left > 0; left--, done++) operate(room, model)
      for (const { owner, values } of model.things.values()) for (const mark of [values.note as string, ...values.stash as string[]]) owned.set(mark, owner)
      for (const { owner, values } of model.cards.values()) owned.set(values.mark as string, owner)
    }
    let authorRoom: ModelRoom | undefined
    const local = createLocalRoom(defineRoom(schema, {
      tickHz: 20, maxSessions: 6,
      onTick(room) { authorRoom = room as unknown as ModelRoom; author(authorRoom) },
      onLeave(_room, session) { forget(model, slotOf(session)) },
    }))
    /** Turn at which a cut client comes back. */
    const backAt = new Map<LocalClient, number>()
    let turns = 0, blocks = 0
    for (let n = 0; n < 3; n++) local.join()
    local.turn()
    while (done < operations) {
      left = 1 + int(80)
      const event = int(60)
      if (event === 0 && local.clients.length < 6) local.join()
      const present = local.clients.filter((client) => client.slot >= 0 && !client.isCut)
      if (event === 1 && present.length > 1) local.leave(pick(present))
      // Some stay away for longer than history reaches.
      if (event === 2 && present.length > 1) { const client = pick(present); client.isCut = true; backAt.set(client, turns + (int(6) === 0 ? historyRecordsMax + int(50) : int(24))) }
      for (const client of local.clients) if ((client.isCut && client.slot >= 0 && turns >= backAt.get(client)!) || client.asksResync) { backAt.set(client, Infinity); local.resync(client) }
      turns++
      local.turn()
      for (const client of local.clients) {
        if (!client.isCut) checkEqual(authorRoom!, model, client, where(done))
        blocks += client.received.filter(isOfBlocks).length
        checkNoSecrets(owned, client, where(done))
      }
    }
    expect(done).toBeGreaterThanOrEqual(operations)
    expect(blocks, where(done)).toBeGreaterThan(5)
  })
})

/** A chunk that goes on from an older world. */
function isOfBlocks(bytes: Uint8Array): boolean {
  const section = openSection(bytes.slice().buffer)
  return section !== undefined && isChunk(section) && section.prevSeq > 0
}

/** Rows stay when their owner leaves, but are nobody's to see. */
function forget(model: Model, slot: number): void {
  for (const rows of [model.things, model.cards, model.chat]) for (const thing of rows.values()) if (thing.owner === slot) thing.owner = -2
}
