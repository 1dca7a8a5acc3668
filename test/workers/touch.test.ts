/** Tables that track touches: to clients they are what scanned ones are, as long as authors say what they write; and in development the engine says where they did not. */
import { describe, expect, it } from 'vitest'
import type { KasagiError } from '../../src/base/errors.js'
import { nextInt, seedPrng } from '../../src/base/prng.js'
import { keyWords } from '../../src/base/key-stream.js'
import { applySection, openSection } from '../../src/client/apply.js'
import { createReplica } from '../../src/client/table.js'
import { readValue } from '../../src/client/tables.js'
import { atOutputRing, atScratch, outputRingBytes } from '../../src/memory/arena-layout.js'
import { createArena, takeGeneration } from '../../src/memory/arena.js'
import { createRingReader, createRingWriter, read, release } from '../../src/memory/ring.js'
import { atReleasedSeq } from '../../src/memory/room-layout.js'
import { storeWide } from '../../src/memory/views.js'
import { defineRoom } from '../../src/room/define.js'
import type { Room, Row, Table } from '../../src/room/types.js'
import { bool, choice, defineSchema, f32, f64, list, optional, quantized, ref, table, text, u32, u8 } from '../../src/schema/index.js'
import { readSections } from '../../src/wire/record.js'
import { roomStream } from '../../src/wire/section.js'
import type { OpenContext } from '../../workers/assemble-room.js'
import { createEncoder } from '../../workers/encode.js'
import { flushRoom, type Flusher } from '../../workers/flush.js'
import { committedSeq, recordOf } from '../../workers/history.js'
import { attachRoom, openRoom } from '../../workers/open-room.js'
import type { Actor } from '../../workers/room-actor.js'
import { compareColumn, isMarkable } from '../../workers/plan.js'
import { createRoomType, type RoomType } from '../../workers/room-type.js'
import { isTouched } from '../../workers/touch.js'
import { createVerify, type Unmarked } from '../../workers/unmarked.js'
import { createLocalRoom } from '../support/local-room.js'

const seed = process.env.SEED === undefined ? 20_261_126 : Number(process.env.SEED)
const operations = process.env.OPERATIONS === undefined ? 20_000 : Number(process.env.OPERATIONS)
const capacity = 1500

const fields = {
  x: quantized(0, 100, 0.5), far: quantized(-1e4, 1e4, 0.25), tiny: quantized(0, 1, 0.01), y: f32, n: u8, big: f64, count: u32.to('server'),
  flag: bool, kind: choice('one', 'two', 'three'), name: text(12), tags: list(u8, 4), maybe: optional(u32), next: ref('things'),
}
/** Of the table that can hold one row. */
const soloFields = { x: quantized(0, 100, 0.5), n: u8, big: f64, flag: bool, name: text(12), tags: list(u8, 4) }
const schemaOf = (track: 'scan' | 'touch') => defineSchema('tracked', { player: 'things', tables: { things: table(fields, { capacity, ids: true, track }), solo: table(soloFields, { capacity: 1, track }) } })
type Things = Table<typeof fields, 'things'>
type Solo = Table<typeof soloFields, 'solo'>
interface Tables { readonly things: Things; readonly solo: Solo }
const roomOf = (track: 'scan' | 'touch') => defineRoom(schemaOf(track), {
  onCreate({ tables: { things, solo } }) { solo.spawn({}); for (let n = 0; n < 1100; n++) things.spawn({ x: n % 100, far: n, y: n, name: String(n) }) },
})

/** A room whose flushes, skipped ones and successors are asked for one by one, and what a client has decoded of it. */
function createRig(track: 'scan' | 'touch', isDevelopment = true) {
  const arena = createArena(64 * 1024 ** 2, 0), type = createRoomType(roomOf(track), 0)
  const output = createRingWriter(arena, atOutputRing, outputRingBytes), published = createRingReader(arena, atOutputRing, outputRingBytes)
  const unmarked: Unmarked[] = []
  const flusher: Flusher = {
    encoder: createEncoder(arena, 0, () => {}), output, generation: takeGeneration(arena), fault: () => {}, onSkipped: () => {}, ...isDevelopment ? { verify: createVerify((_, found) => { unmarked.push(found) }) } : {},
  }
  const context: OpenContext = {
    arena, flusher, report: (_, __, error) => { throw error }, log: () => {}, count: () => {}, lost: () => {}, refuse: () => {}, want: () => {}, randomKey: () => new Uint32Array(keyWords),
  }
  const none = new Uint8Array(0)
  let actor = openRoom(context, { key: 1, type, id: 'tracked:test', epoch: 1024, parentEpoch: 0, forkSeq: 0, seq: 0, follows: false, stored: undefined, stays: false, match: none, options: none }) as Actor
  const replicas = type.tables.tables.map(createReplica)
  const deliver = (seq: number): void => {
    while (read(published) !== 0) release(published)
    const { layout } = actor.room
    storeWide(arena, layout.base + atReleasedSeq, seq)
    const section = readSections(arena, recordOf(arena, layout, seq)!.address).find(({ stream }) => stream === roomStream)
    if (section !== undefined) applySection(openSection(arena.u8.slice(section.address, section.address + section.bytes).buffer as ArrayBuffer)!, replicas, { nowMs: 0, intervalMs: 50 })
  }
  deliver(1)
  return {
    unmarked, replicas,
    room: () => actor.room,
    things: () => actor.room.tables[1].face as Things,
    solo: () => actor.room.tables[2].face as Solo,
    /** `isFull`: nothing takes its record. */
    flush: (isFull = false) => {
      const before = committedSeq(arena, actor.room.layout), seq = flushRoom(isFull ? { ...flusher, output: { ...output, capacity: 8 } } : flusher, actor.room)
      if (seq !== before) deliver(seq)
      return seq
    },
    isTouched: () => isTouched(arena, actor.room.layout.tables[1]),
    /** The thread is gone, and with it what was not committed. */
    die: () => { actor = attachRoom(context, actor.room.block, [type])! },
  }
}
type Rig = ReturnType<typeof createRig>

const seen = ({ replicas: [, things, solo] }: Rig): unknown[] => [...rowsOf(things), ...rowsOf(solo)]

function rowsOf(replica: Rig['replicas'][number]): unknown[] {
  const context = { nowMs: () => 0, intervalMs: () => 1, mine: () => undefined, replica: () => replica }
  return Array.from({ length: replica.end }, (_, row) => replica.alive[row] === 0 ? undefined : [replica.ids[row], replica.generation[row], ...replica.columns.map((column) => readValue(column, row, context))])
}

const state = new Uint32Array(4)
const int = (below: number): number => nextInt(state, below)

/** One operation as data, so that both rooms do the same. */
function drawOperation(): (tables: Tables) => void {
  const row = int(capacity), value = int(200), kind = int(14), id = `id${int(400)}`
  const onLiving = (write: (things: Things) => void) => ({ things }: Tables): void => { if (things.has(row)) write(things) }
  const onView = (write: (view: Row<typeof fields>) => void) => onLiving((things) => write(things.at(row)))
  const onSolo = (write: (view: Row<typeof soloFields>, solo: Solo) => void) => ({ solo }: Tables): void => { if (solo.size > 0) write(solo.at(0), solo) }
  switch (kind) {
    case 0: return ({ things }) => { if (things.size < 1300 && things.rowOf(id) === undefined) things.spawn({ x: value / 2, y: value, name: id }, { id }) }
    case 1: return onLiving((things) => things.despawn(row))
    // Less than its step a time.
    case 2: return onLiving((things) => { things.x[row] += 0.11; things.tiny[row] += 0.003; things.touch(row) })
    case 3: return onLiving((things) => { things.y[row] = value; things.big[row] = value; things.n[row] = value; things.touch(row) })
    case 4: return onView((view) => { view.far -= 0.1; view.count = value })
    case 5: return onView((view) => { view.n = value; view.flag = value > 100 })
    case 6: return onLiving((things) => { things.name.set(row, `t${value}`); things.kind.set(row, value > 100 ? 'two' : 'three') })
    case 7: return onLiving((things) => { things.tags.set(row, [value]); things.maybe.set(row, value > 100 ? value : null) })
    // Its row is given out again only behind the flush that says that it is gone.
    case 8: return ({ solo }) => { if (solo.size > 0) solo.despawn(0); else try { solo.spawn({ n: value, name: id }) } catch (error) { if ((error as KasagiError).code !== 'table-full') throw error } }
    case 9: return onSolo((view) => { view.x = value / 2 })
    case 10: return onSolo((view) => { view.n = value; view.flag = value > 100 })
    case 11: return onSolo((view, solo) => { view.name = id; solo.tags.set(0, [value]) })
    case 12: return onSolo((_, solo) => { solo.big[0] = value; solo.x[0] = value / 3; solo.touch(0) })
    default: return onLiving((things) => things.next.set(row, things.has(value) ? things.ref(value) : null))
  }
}

describe('touch', () => {
  it('touch: clients see the same of a table that tracks touches and of one that is scanned, through skipped flushes, deaths and drift below a step', () => {
    seedPrng(state, seed)
    // Development looks at every table, production at none that is not marked.
    const rigs = [createRig('scan'), createRig('touch'), createRig('touch', false)]
    let flushes = 0
    for (let n = 0; n < operations;) {
      const batch = Array.from({ length: int(20) }, drawOperation), end = int(12)
      n += batch.length + 1
      for (const operation of batch) for (const rig of rigs) operation({ things: rig.things(), solo: rig.solo() })
      if (end === 0) for (const rig of rigs) rig.die()
      const [scanned, ...touched] = rigs.map((rig) => rig.flush(end < 4))
      expect(touched, `operation ${n}, SEED=${seed}`).toEqual([scanned, scanned])
      if (flushes++ % 20 === 0) for (const rig of rigs.slice(1)) expect(seen(rig), `operation ${n}, SEED=${seed}`).toEqual(seen(rigs[0]))
    }
    for (const rig of rigs) rig.flush()
    for (const rig of rigs.slice(1)) expect(seen(rig), `SEED=${seed}`).toEqual(seen(rigs[0]))
    // Nor does development find anything that was left unmarked.
    expect(rigs[1].unmarked).toEqual([])
  })

  it('touch: what was written without it is not sent until its block is marked, and development names table, column and row, once', () => {
    const rig = createRig('touch'), things = rig.things(), seenY = (row: number): unknown => (seen(rig)[row] as unknown[])[5]
    things.y[700] = -1
    things.y[705] = -1
    const seq = rig.flush()
    expect(rig.unmarked).toEqual([{ table: 'things', field: 'y', row: 700, rows: 2 }])
    expect(seenY(700)).toBe(700)
    for (let n = 0; n < 3; n++) { things.at(20).n = n; rig.flush() }
    expect(rig.unmarked).toHaveLength(1)
    expect(rig.flush()).toBe(seq + 2)
    // A neighbour's mark is the block's.
    things.touch(696)
    rig.flush()
    expect([seenY(700), seenY(705)]).toEqual([-1, 705])
    things.touch(705)
    rig.flush()
    expect(seenY(705)).toBe(-1)
    expect(rig.unmarked).toHaveLength(1)
    // Right in between, so it is news.
    things.y[700] = 3
    rig.flush()
    expect(rig.unmarked.slice(1)).toEqual([{ table: 'things', field: 'y', row: 700, rows: 1 }])
  })

  it('touch: of a table with one row, a column is compared if it is marked itself', () => {
    const rig = createRig('touch'), soloSeen = (): unknown => (rowsOf(rig.replicas[2])[0] as unknown[]).slice(2, 5), seq = rig.flush()
    const solo = rig.solo()
    solo.big[0] = 7
    solo.at(0).n = 3
    expect(rig.flush()).toBe(seq + 1)
    expect(soloSeen()).toEqual([0, 3, 0])
    expect(rig.unmarked).toEqual([{ table: 'solo', field: 'big', row: 0, rows: 1 }])
    solo.touch(0)
    rig.flush()
    expect(soloSeen()).toEqual([0, 3, 7])
  })

  it('touch: a row that does not live is refused by name, whether the table tracks or not', () => {
    for (const track of ['scan', 'touch'] as const) {
      const rig = createRig(track), things = rig.things()
      things.despawn(9)
      for (const row of [9, -1, capacity, 1400, NaN]) expect(() => things.touch(row)).toThrow(new RangeError(`things: no row ${row} to touch`))
      expect(() => things.touch(10)).not.toThrow()
    }
  })

  it('touch: a block that was marked in vain is forgotten, and one whose flush found no space is not', () => {
    const rig = createRig('touch'), things = rig.things(), seq = rig.flush()
    things.touch(100)
    expect(rig.flush()).toBe(seq)
    things.y[100] = 5
    expect(rig.flush()).toBe(seq)
    expect(rig.unmarked).toHaveLength(1)
    things.y[300] = 5
    things.touch(300)
    expect(rig.flush(true)).toBe(seq)
    expect(rig.flush()).toBe(seq + 1)
    expect((seen(rig)[300] as unknown[])[5]).toBe(5)
  })

  it('touch: a successor begins without marks, since what it begins with is committed', () => {
    const rig = createRig('touch')
    rig.things().touch(500)
    expect(rig.isTouched()).toBe(true)
    rig.die()
    expect(rig.isTouched()).toBe(false)
  })

  it('touch: the engine marks whatever it writes of sessions, clock and random numbers', () => {
    seedPrng(state, seed)
    const rig = createRig('scan')
    let connections = 0, seq = 1
    for (let n = 0; n < 2000; n++) {
      const { book, arena, plans } = rig.room(), slots = [...book.byId.values()].map(({ slot }) => slot), slot = slots[int(slots.length)]
      const writes: (() => unknown)[] = [
        () => book.enter(++connections, `session${connections}`, '{"id":"somebody"}', n), () => { book.clock.locked = int(2) }, () => book.random.int(6), () => { book.clock.order++ }, () => book.seed(new Uint32Array(keyWords).fill(n)), () => book.lostRows(),
        ...(slot === undefined ? [] : [
          () => book.drop(slot, n + int(100)), () => book.attach(slot, ++connections), () => book.raiseGeneration(slot, n), () => book.setAppliedThrough(slot, n), () => book.takeChangedSeq(slot, n),
          () => { const row = int(1100); if (rig.things().has(row)) book.at(slot).row = row }, () => { book.at(slot).row = undefined }, () => { rig.things().despawn(book.at(slot).row ?? int(1100)) }, () => { if (int(4) === 0) book.leave(slot) },
        ]),
      ]
      writes[int(writes.length)]()
      if (int(2) === 0) book.clock.tick++
      const before = seq
      seq = rig.flush(int(10) === 0)
      if (rig.room().flushSkipped) continue
      for (const { layout, words } of plans) {
        // The clock alone makes no record.
        if (!layout.table.name.startsWith('$') || (layout.table.name === '$room' && seq === before)) continue
        const wrong = layout.columns.filter((column) => isMarkable(column) && compareColumn(arena, layout, column, atScratch, words, false) > 0).map(({ field }) => field.name)
        expect(wrong, `SEED=${seed} step ${n}: ${layout.table.name} is not committed as it lives`).toEqual([])
      }
      if (int(50) === 0) rig.die()
    }
  })

  it('touch: a row of numbers alone arrives as it was spawned', () => {
    const schema = defineSchema('numbers', { tables: { dots: table({ x: quantized(0, 100, 0.5) }, { capacity: 100, track: 'touch' }) } })
    const local = createLocalRoom(defineRoom(schema, { onTick({ tables: { dots } }: Room<typeof schema>) { dots.spawn({ x: 12.5 }) } })), client = local.join()
    for (let n = 0; n < 3; n++) local.turn()
    expect([...client.replication.replicas[1].columns[0].values as Float32Array].slice(0, 3)).toEqual([12.5, 12.5, 12.5])
  })

  it('touch: it changes no field table: neither clients nor other instances can tell', () => {
    const [scanned, touched] = (['scan', 'touch'] as const).map((track) => createRoomType(roomOf(track), 0))
    expect(touched.full).toEqual(scanned.full)
    expect([touched.hash, touched.fullHash]).toEqual([scanned.hash, scanned.fullHash])
    const authors = ({ touchTables }: RoomType): string[] => [...touchTables].filter((name) => !name.startsWith('$'))
    expect([authors(scanned), authors(touched)]).toEqual([[], ['things', 'solo']])
  })

  it('touch: rows lose their owner with its session, though nobody marks them', () => {
    const schema = defineSchema('owned', { tables: { pieces: table({ n: u8, hint: u8.to('owner') }, { capacity: 100, track: 'touch' }) } })
    const local = createLocalRoom(defineRoom(schema, {
      graceMs: 0,
      onJoin({ tables: { pieces } }: Room<typeof schema>, session) { pieces.spawn({ n: 1, hint: 2 }, { owner: session }) },
    }))
    const client = local.join(), { layout } = local.actor.room.plans[1], owner = layout.columns[layout.columns.length - 1].committed >>> 2
    local.turn()
    expect(local.arena.u32[owner]).toBe(client.slot + 1)
    local.leave(client)
    local.turn()
    expect(local.arena.u32[owner]).toBe(0)
  })
})
