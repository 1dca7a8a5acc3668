/** What programs that are no instances read in Redis: the keys of docs/redis.md, by a plain client and without a schema. */
import { Unpackr } from 'msgpackr'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connect, type ClientRoom } from 'kasagi-engine/client'
import { choice, defineSchema, f32, i64, json, list, optional, quantized, ref, table, text, u16, u32, u8 } from 'kasagi-engine/schema'
import { readPeer } from '../../src/wire/peer-messages.js'
import { until } from '../support/engine.js'
import { ownerOf, startCluster, type Cluster } from '../support/cluster.js'
import { count, enter, expectSame, project, type Player } from './rig.js'

const schemaText = `import { choice, defineSchema, f32, i64, json, list, optional, quantized, ref, table, text, u16, u32, u8 } from 'kasagi-engine/schema'
export const ledger = defineSchema('ledger', {
  player: 'players', globals: { turns: u32, last: ref('things'), secret: u32.to('server') },
  tables: {
    players: table({ who: text(20), purse: u32.to('owner') }, { capacity: 20 }),
    things: table({
      label: text(20), amount: i64, mood: choice('calm', 'wild'), pos: quantized(-5, 5, 0.01), speed: f32, target: ref('things'), tags: list(u8, 4),
      note: json(40), maybe: optional(u16), hidden: u32.to('server'),
    }, { capacity: 64, ids: true }),
  },
  inputs: { stir: { by: u32 } }, events: { stirred: { name: text(10), by: u32 }, whispered: { by: u32 } }, join: { who: text(20) },
})
`
const ledger = defineSchema('ledger', {
  player: 'players', globals: { turns: u32, last: ref('things'), secret: u32.to('server') },
  tables: {
    players: table({ who: text(20), purse: u32.to('owner') }, { capacity: 20 }),
    things: table({
      label: text(20), amount: i64, mood: choice('calm', 'wild'), pos: quantized(-5, 5, 0.01), speed: f32, target: ref('things'), tags: list(u8, 4),
      note: json<{ turn: number }>(40), maybe: optional(u16), hidden: u32.to('server'),
    }, { capacity: 64, ids: true }),
  },
  inputs: { stir: { by: u32 } }, events: { stirred: { name: text(10), by: u32 }, whispered: { by: u32 } }, join: { who: text(20) },
})
type Ledger = ClientRoom<typeof ledger>

/** Stored once in an hour: its log reaches back to the start. */
const ledgerProject: Record<string, string> = {
  'shared/ledger.ts': schemaText,
  'rooms/ledger.ts': `
import { defineRoom } from 'kasagi-engine'
import { ledger } from '../shared/ledger.js'
export default defineRoom(ledger, {
  tickHz: 20, snapshotEveryMs: 3_600_000, durability: 'ops',
  onJoin(room, session, { who }) { session.row = room.tables.players.spawn({ who, purse: 7 }, { owner: session }) },
  onLeave(room, { row }) { if (row !== undefined) room.tables.players.despawn(row) },
  onTick(room) { const { things } = room.tables; for (const row of things.rows()) things.pos[row] = (things.pos[row] + 0.013) % 5 },
  onInput: { stir(room, session, { by }) {
    const { things, players } = room.tables, turn = ++room.globals.turns
    room.globals.secret = turn
    players.purse[session.row] += by
    const old = room.globals.last
    const row = things.spawn({ label: 'thing ' + turn, amount: -(2n ** 60n) - BigInt(turn), mood: turn % 2 ? 'wild' : 'calm', pos: turn % 5, speed: turn / 3, target: old, tags: [turn % 256, 1], note: { turn }, maybe: turn % 3 ? turn : null, hidden: turn }, { id: turn % 2 ? 't' + turn : undefined })
    room.globals.last = things.ref(row)
    const rows = [...things.rows()]
    things.label.set(rows[0], 'first of ' + turn)
    things.amount[rows[0]] = BigInt(turn)
    if (rows.length > 8) things.despawn(rows[turn % 7])
    room.emit('stirred', { name: 'spoon', by })
    room.emit('whispered', { by }, session)
  } } })
`,
}

interface Row { row: number; [field: string]: unknown }
interface RecordMap {
  readonly epoch: number; readonly seq: number; readonly tick: number
  readonly despawned: Record<string, number[]>; readonly spawned: Record<string, Row[]>; readonly changed: Record<string, Row[]>
  readonly events: readonly { readonly name: string; readonly data: Record<string, unknown>; readonly to?: readonly number[] }[]
  readonly record: Uint8Array
}
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true })
const unpack = (bytes: Buffer): RecordMap => unpackr.unpack(bytes as unknown as Uint8Array) as RecordMap
/** Beats and other words of instances are on the channel, too. */
const isMap = (bytes: Buffer): boolean => (bytes[0] & 0xf0) === 0x80

type State = Map<string, Map<number, Row>>

/** What a consumer without a schema makes of a record. */
function take(state: State, { despawned, spawned, changed }: RecordMap): void {
  const rowsOf = (name: string): Map<number, Row> => state.get(name) ?? state.set(name, new Map()).get(name)!
  for (const [name, rows] of Object.entries(despawned)) for (const row of rows) expect(rowsOf(name).delete(row)).toBe(true)
  for (const [name, rows] of Object.entries(spawned)) for (const row of rows) { expect(rowsOf(name).has(row.row)).toBe(false); rowsOf(name).set(row.row, { ...row }) }
  for (const [name, rows] of Object.entries(changed)) for (const row of rows) Object.assign(rowsOf(name).get(row.row)!, row)
}

/** A ref whose row is gone is null, as clients see it. */
function resolved(state: State, ref: unknown): number | null {
  const { row, generation } = (ref ?? {}) as { row?: number; generation?: number }
  return row !== undefined && state.get('things')?.get(row)?.$generation === generation ? row : null
}

const thingFields = ['label', 'amount', 'mood', 'pos', 'speed', 'tags', 'note', 'maybe'] as const

function seenByConsumer(state: State): unknown {
  const globals = state.get('$globals')!.get(0)!
  return {
    turns: globals.turns, last: resolved(state, globals.last), who: [...state.get('players')!.values()].map(({ row, who }) => [row, who]).sort(),
    things: [...state.get('things')!.values()].sort((a, b) => a.row - b.row).map((thing) => [thing.row, thing.id, resolved(state, thing.target), ...thingFields.map((field) => thing[field])]),
  }
}

function seenByClient({ globals, tables: { players, things } }: Ledger): unknown {
  const rowOf = (ref: Parameters<typeof things.row>[0] | null): number | null => ref === null ? null : things.row(ref) ?? null
  return {
    turns: globals.turns, last: rowOf(globals.last), who: [...players.rows()].map((row) => [row, players.who.get(row)]).sort(),
    things: [...things.rows()].map((row) => {
      const thing = things.at(row)
      return [row, (thing as { id?: string }).id, rowOf(thing.target), ...thingFields.map((field) => thing[field])]
    }),
  }
}

describe('consumers', () => {
  let cluster: Cluster
  // The second one publishes records as they are: instances read either form.
  beforeAll(async () => { cluster = await startCluster({ ...ledgerProject, ...project("durability: 'ops',") }, 2, {}, (n) => n === 0 ? ['--delta-format', 'msgpack'] : []) })
  afterAll(() => cluster?.end())

  it('consumers: MessagePack records on channel and log, alone, rebuild what a client sees; secrets of the server are in none', async () => {
    const { redis, instances } = cluster, subscriber = redis.client.duplicate(), heard: Buffer[] = []
    await subscriber.subscribe('room:{ledger:one}:channel')
    subscriber.on('messageBuffer', (_, bytes: Buffer) => heard.push(bytes))
    const room = await connect(instances[0].url).join(ledger, { name: 'one', join: { who: 'ann' } })
    const guest = await connect(instances[1].url).join(ledger, { name: 'one', join: { who: 'bob' } })
    for (let n = 1; n <= 30; n++) await room.ask('stir', { by: n })
    await guest.leave()
    const seen = new Map<number, unknown>()
    room.onFlush(() => seen.set(room.position.seq, seenByClient(room)))
    await until(() => seen.size > 5, 'some flushes have come')
    const last = Math.max(...seen.keys())
    let compared = 0
    const entries = await redis.client.xrangeBuffer('room:{ledger:one}:ops', '-', '+'), state: State = new Map(), logged: RecordMap[] = []
    for (const [id, [name, data]] of entries) {
      const map = unpack(data)
      expect([name.toString(), `${map.epoch}-${map.seq}`]).toEqual(['data', id.toString()])
      expect([...map.record.subarray(4, 8)]).toEqual([...Buffer.from('KREC')])
      take(state, map)
      logged.push(map)
      if (!seen.has(map.seq)) continue
      expect(seenByConsumer(state), `at ${map.seq}`).toEqual(seen.get(map.seq))
      compared++
    }
    expect(logged.map(({ seq }) => seq)).toEqual(logged.map((_, n) => n + 1))
    expect(logged.length).toBeGreaterThanOrEqual(last - 1)
    expect(compared).toBeGreaterThan(3)
    const events = logged.flatMap((map) => map.events)
    expect(events.filter(({ name }) => name === 'stirred')).toEqual(Array.from({ length: 30 }, (_, n) => ({ name: 'stirred', data: { name: 'spoon', by: n + 1 } })))
    expect(events.filter(({ name }) => name === 'whispered').map(({ to }) => to!.length)).toEqual(Array.from({ length: 30 }, () => 1))
    expect([...state.get('players')!.values()].map(({ purse }) => purse)).toEqual([room.tables.players.purse[room.tables.players.mine!]])
    expect(JSON.stringify(logged, (_, value: unknown) => typeof value === 'bigint' ? String(value) : value)).not.toMatch(/"(hidden|secret|\$sessions|\$room)"/)
    // All else on the channel is said by instances.
    const records = heard.filter(isMap).map(unpack)
    expect(records.slice(0, 20)).toEqual(logged.slice(0, 20))
    expect(heard.filter((bytes) => !isMap(bytes)).every((bytes) => readPeer(Uint8Array.from(bytes)) !== undefined)).toBe(true)
    subscriber.disconnect()
    await room.leave()
  }, 30_000)

  it('consumers: the keys of a room parse as the table says', async () => {
    const { redis: { client }, instances } = cluster, ann = await enter(instances[0].url, 'keys', 'ann')
    await count(ann)
    const key = (name: string): string => `room:{tally:keys}:${name}`
    await until(async () => await client.hexists(key('snapshot'), 'data') === 1, 'a snapshot is stored', 10_000)
    const { data, hash, lineage, ...numbers } = await client.hgetall(key('snapshot')), bytes = await client.hgetBuffer(key('snapshot'), 'data')
    for (const name of ['epoch', 'seq', 'by', 'tick', 'ts', 'version']) expect(numbers[name], name).toMatch(/^\d{1,16}$/)
    expect([Object.keys(numbers).length, data.length > 0, Number(hash) < 2 ** 32]).toEqual([6, true, true])
    expect((JSON.parse(lineage) as number[][]).at(-1)![0]).toBe(Number(numbers.epoch))
    // The first entry of the data: the field tables, as JSON.
    const tables = JSON.parse(bytes!.subarray(8, 8 + bytes!.readUInt32LE(0)).toString()) as { name: string }[]
    expect(tables.slice(0, 3).map(({ name }) => name)).toEqual(['$globals', 'players', 'movers'])
    const epoch = await client.hgetall(key('epoch')), owner = await client.hgetall(key('owner'))
    expect([owner.epoch, Number(owner.instance)]).toEqual([epoch.epoch, await ownerOf(cluster, 'tally:keys')])
    expect(await client.pttl(key('owner'))).toBeGreaterThan(0)
    // A snapshot has just cut it.
    await until(async () => (await client.xrange(key('ops'), '-', '+', 'COUNT', 1)).length === 1, 'records are logged')
    const [[id]] = await client.xrange(key('ops'), '-', '+', 'COUNT', 1)
    expect(id).toMatch(new RegExp(`^${epoch.epoch}-\\d+$`))
    await ann.room.leave()
  }, 30_000)

  it('consumers: of two instances one publishes MessagePack: players at both see the same, whichever runs the room', async () => {
    const players: Player[] = []
    for (const [n, owner] of cluster.instances.entries()) {
      const other = cluster.instances[1 - n], name = `mixed${n}`
      const mixed = [await enter(owner.url, name, 'ann'), await enter(other.url, name, 'bob')]
      for (let k = 0; k < 5; k++) for (const player of mixed) await count(player)
      await expectSame(mixed, name)
      players.push(...mixed)
    }
    // What one of them has logged and published the other goes on from.
    await cluster.instances[0].kill('SIGKILL')
    await until(() => players.every(({ room }, n) => n % 3 === 0 || room.status === 'live'), 'those elsewhere play on')
    await cluster.start(cluster.instances[0])
    await until(() => players.every(({ room }) => room.status === 'live'), 'all play on', 15_000)
    for (const player of players) await count(player)
    await expectSame(players.slice(0, 2), 'behind the kill')
    await expectSame(players.slice(2), 'behind the kill')
    await Promise.all(players.map(({ room }) => room.leave()))
  }, 60_000)
})
