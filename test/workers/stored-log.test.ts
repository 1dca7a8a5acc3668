/** A stored room is a snapshot and the records behind it: what comes of both is what the owner had committed; what does not fit is refused. */
import { describe, expect, it } from 'vitest'
import type { Position } from '../../src/base/lineage.js'
import { allocateBlock, createArena, freeBlock } from '../../src/memory/arena.js'
import { atOutputRing, outputRingBytes } from '../../src/memory/arena-layout.js'
import { createRingWriter } from '../../src/memory/ring.js'
import { layoutRoom } from '../../src/memory/room-layout.js'
import { defineRoom, type RoomModule } from '../../src/room/define.js'
import { generationField, type EntityTable } from '../../src/schema/field-tables.js'
import { defineSchema, table, u16 } from '../../src/schema/index.js'
import { addSection, beginRecord, createRecordWriter, finishRecord, recordAudience } from '../../src/wire/record.js'
import { addColumn, addRowSet, beginSection, createSectionWriter, finishSection, form, roomStream, what } from '../../src/wire/section.js'
import { assembleRoom, writeHeader, type OpenContext } from '../../workers/assemble-room.js'
import { BadStore } from '../../workers/bad-store.js'
import { createEncoder } from '../../workers/encode.js'
import { committedSeq, recordOf } from '../../workers/history.js'
import { commitLive } from '../../workers/live-state.js'
import { fillFromStore } from '../../workers/restore-room.js'
import { createRoomType, layoutLimitsOf } from '../../workers/room-type.js'
import { readStoredRoom, type Stored } from '../../workers/stored-room.js'
import { busyRoom, busyTurn, committed, createBusyOwner, createInt, spoil, storedOf } from '../support/busy-room.js'
import { createLocalRoom, type LocalRoom } from '../support/local-room.js'
import { leastMs, timed } from '../support/time.js'

const seed = Number(process.env.SEED ?? Date.now() % 0x7fff_ffff), int = createInt(seed), module = busyRoom(int)

const positionOf = ({ arena, actor: { room } }: LocalRoom): Position => ({ epoch: room.epoch, seq: committedSeq(arena, room.layout) })

/** The records behind `from` up to the room's last. */
function recordsOf({ arena, actor: { room } }: LocalRoom, from: number): Uint8Array[] {
  return Array.from({ length: committedSeq(arena, room.layout) - from }, (_, n) => {
    const { address, bytes } = recordOf(arena, room.layout, from + 1 + n)!
    return arena.u8.slice(address, address + bytes)
  })
}

/** What a room that is restored from these begins with: committed, before anything follows from it. */
function restored({ type }: LocalRoom, { state, records }: Stored, end: Position): string[] {
  const { arena, context } = site, block = allocateBlock(arena, 5, layoutRoom(type.full, layoutLimitsOf(type), 0).bytes)!
  const layout = layoutRoom(type.full, layoutLimitsOf(type), block.address)
  writeHeader(arena, layout, { key: 5, type, id: 'followed:again', options: new Uint8Array(0), match: new Uint8Array(0), stays: false, follows: false, stored: undefined, epoch: end.epoch + 1024, parentEpoch: end.epoch, forkSeq: end.seq, seq: end.seq })
  try {
    const { room } = assembleRoom(context, block, layout, type)
    fillFromStore(room, readStoredRoom(state, records, type.full.tables, end))
    commitLive(room)
    return committed(arena, layout)
  } finally { freeBlock(arena, block) }
}

const site = (() => {
  const arena = createArena(64 * 1024 ** 2, 1)
  const context: OpenContext = {
    arena, flusher: { encoder: createEncoder(arena, 1, () => {}), output: createRingWriter(arena, atOutputRing, outputRingBytes), generation: 1, fault: () => {}, onSkipped: () => {} },
    report: (_, __, error) => { throw error }, log: () => {}, refuse: () => {}, want: () => {}, count: () => {}, lost: () => {}, randomKey: () => new Uint32Array(8),
  }
  return { arena, context }
})()

/** Tables that differ from those of the room that made it all. */
function differing(owner: LocalRoom, stored: Stored): string[] {
  const theirs = committed(owner.arena, owner.actor.room.layout), { actor: { room: { layout } } } = owner
  expect(theirs.length).toBe(layout.tables.length)
  return restored(owner, stored, positionOf(owner)).flatMap((table, index) => table === theirs[index] ? [] : [layout.tables[index].table.name])
}

/** Refs that name a row, and read null because it lives no more. */
function deadRefs({ arena, actor: { room: { tables, layout } } }: LocalRoom): number {
  const things = layout.tables[1], { committed: at } = things.columns.find(({ field }) => field.name === 'of')!
  return [...tables[1].rows()].filter((row) => arena.u16[(at + row * 8 + 6) >>> 1] === 1 && tables[1].at(row).of === null).length
}

describe('a stored log', () => {
  it('stored log: a snapshot and any number of records behind it, or all records since the beginning, are the state behind the last, byte for byte', { timeout: 120_000 }, () => {
    const owner = createLocalRoom(module), all = recordsOf(owner, 0), snapshots = [{ seq: positionOf(owner).seq, state: storedOf(owner) }]
    for (let n = 0; n < 3; n++) owner.join()
    let compared = 0
    for (let n = 0; n < 400; n++) {
      busyTurn(owner, int)
      all.push(...recordsOf(owner, all.length))
      if (int(40) === 0) snapshots.push({ seq: positionOf(owner).seq, state: storedOf(owner) })
      if (n % 7 !== 0) continue
      const { seq, state } = snapshots[int(snapshots.length)], where = `SEED=${seed} ${seq} to ${all.length}`
      expect(differing(owner, { state, records: all.slice(seq) }), where).toEqual([])
      expect(differing(owner, { state: undefined, records: all }), where).toEqual([])
      compared++
    }
    expect(compared).toBeGreaterThan(50)
  })

  it('stored log: it leads over a change of owner, and who restores it goes on from there', () => {
    const first = createBusyOwner(module), state = storedOf(first), records: Uint8Array[] = [], from = positionOf(first).seq
    for (let n = 0; n < 30 || deadRefs(first) === 0; n++) busyTurn(first, int)
    records.push(...recordsOf(first, from))
    const second = createLocalRoom(module, undefined, {}, { state, records, at: positionOf(first) })
    expect([second.actor.room.epoch, second.actor.room.parentEpoch, second.actor.room.forkSeq]).toEqual([2048, 1024, positionOf(first).seq])
    expect(deadRefs(second), `SEED=${seed}: what was null stays so, whoever comes to live there`).toBe(0)
    for (let n = 0; n < 30; n++) busyTurn(second, int)
    records.push(...recordsOf(second, positionOf(first).seq))
    expect(records.length).toBeGreaterThan(60)
    expect(differing(second, { state, records }), `SEED=${seed}`).toEqual([])
    const third = createLocalRoom(module, undefined, {}, { state, records, at: positionOf(second) })
    third.join()
    for (let n = 0; n < 10; n++) busyTurn(third, int)
    expect([third.errors, third.actor.room.tables[1].rowsOf.size > 0]).toEqual([[], true])
  })

  it('stored log: a record that is missing, doubled, out of order or another room\'s is refused, and so is a log that ends elsewhere or is none', () => {
    const owner = createBusyOwner(module), from = positionOf(owner).seq, state = storedOf(owner)
    for (let n = 0; n < 12; n++) busyTurn(owner, int)
    const records = recordsOf(owner, from), end = positionOf(owner), { tables } = owner.type.full
    // Of the same type, in an epoch of its own.
    const other = createLocalRoom(module, undefined, {}, { state, records: [], at: { epoch: 1024, seq: from } })
    for (let n = 0; n < 12; n++) busyTurn(other, int)
    const read = (kept: readonly Uint8Array[], snapshot: Uint8Array | undefined = state, at = end) => () => readStoredRoom(snapshot, kept, tables, at)
    expect(read(records)).not.toThrow()
    const spoilt: Record<string, () => unknown> = {
      'one is missing': read(records.toSpliced(5, 1)), 'the first is missing': read(records.slice(1)), 'the last is missing': read(records.slice(0, -1)),
      'one is there twice': read(records.toSpliced(5, 0, records[5])), 'two have changed places': read(records.toSpliced(5, 2, records[6], records[5])),
      'one is another room\'s': read(records.toSpliced(5, 1, recordsOf(other, from)[5])), 'one is empty': read(records.toSpliced(5, 1, new Uint8Array(0))),
      'they do not reach back to the beginning': () => readStoredRoom(undefined, records, tables, end), 'there is nothing': () => readStoredRoom(undefined, [], tables, end),
      'they end in another epoch': read(records, state, { epoch: 2048, seq: end.seq }),
    }
    for (const [name, run] of Object.entries(spoilt)) expect(run, name).toThrow(BadStore)
  })

  it('stored log: one that was written with other field tables is refused, though all its numbers fit these', () => {
    const first = createLocalRoom(withField('width')), height = createRoomType(withField('height'), 0), { tables } = first.type.full, all = recordsOf(first, 0)
    const read = (state: Uint8Array | undefined, records: readonly Uint8Array[], own: readonly EntityTable[], end: Position) => () => readStoredRoom(state, records, own, end)
    expect(read(undefined, all, tables, positionOf(first))).not.toThrow()
    expect(read(undefined, all, height.full.tables, positionOf(first))).toThrow('its log was written with other field tables')
    // The next version goes on from there, and its first record says that it is another's.
    const state = storedOf(first), second = createLocalRoom(withField('height'), undefined, {}, { state, records: [], at: positionOf(first) })
    second.join()
    second.turn()
    expect(read(state, recordsOf(second, positionOf(first).seq), tables, positionOf(second))).toThrow('its log was written with other field tables')
    expect(read(storedOf(second), [], tables, positionOf(second))).not.toThrow()
  })

  it('stored log: whatever was changed in a record, it is refused as a bad store or taken, at once', { timeout: 120_000 }, () => {
    const owner = createBusyOwner(module), from = positionOf(owner).seq, state = storedOf(owner), slow: Uint8Array[][] = []
    for (let n = 0; n < 20; n++) busyTurn(owner, int)
    const records = recordsOf(owner, from), end = positionOf(owner), became = { refused: 0, taken: 0 }
    const read = (kept: readonly Uint8Array[]): void => {
      try {
        readStoredRoom(state, kept, owner.type.full.tables, end)
        became.taken++
      } catch (error) {
        expect(error, `SEED=${seed}`).toBeInstanceOf(BadStore)
        became.refused++
      }
    }
    for (let n = 0; n < 4000; n++) {
      const at = int(records.length), kept = records.toSpliced(at, 1, spoil(records[at].slice(), int))
      if (timed(() => read(kept)) > 50) slow.push(kept)
    }
    for (const kept of slow) expect(leastMs(() => read(kept)), `SEED=${seed}`).toBeLessThan(50)
    expect([became.refused > 1000, became.taken > 100], JSON.stringify(became)).toEqual([true, true])
  })

  it('stored log: few bytes are never much work: neither rows that do not live, nor rows without values, nor sections that share their bytes', () => {
    const rows = 2 ** 20, things: EntityTable = { name: 'things', capacity: rows, audience: 'everyone', ids: false, fields: [] }
    const spawnAll: PutRows = (section) => addAll(section, what.spawned, rows)
    const hostile = {
      'rows end that never lived': recordOfSections(Array.from({ length: 3000 }, () => (section: Section) => addAll(section, what.despawned, rows))),
      'rows live without generations': recordOfSections(Array.from({ length: 3000 }, () => (section: Section) => { addRowSet(section, 0, what.spawned, form.range, 0, rows, 0) })),
      'rows change without values': recordOfSections(Array.from({ length: 3000 }, () => (section: Section) => addAll(section, what.changed, rows))),
      'sections are the same bytes': recordOfSections([spawnAll], 2000),
    }
    const read = (record: Uint8Array) => () => readStoredRoom(undefined, [record], [things], { epoch: 1024, seq: 1 })
    expect(read(recordOfSections([spawnAll])), 'an honest one').not.toThrow()
    for (const [name, record] of Object.entries(hostile)) {
      expect(read(record), name).toThrow(BadStore)
      // Most of it is making replicas of a million rows.
      expect(leastMs(() => { try { read(record)() } catch { /* refused */ } }), name).toBeLessThan(300)
    }
  })
})

const withField = (field: string): RoomModule => defineRoom(defineSchema('boxes', { tables: { boxes: table({ [field]: u16 }, { capacity: 64 }) } }), {
  onCreate(room) { for (let n = 0; n < 9; n++) room.tables.boxes.spawn({ [field]: n }) },
})

type Section = ReturnType<typeof createSectionWriter>
type PutRows = (section: Section) => void

const buffer = new ArrayBuffer(16 * 1024 ** 2), views = { u8: new Uint8Array(buffer), u16: new Uint16Array(buffer), u32: new Uint32Array(buffer) }

/** All rows in one set, without values but for a spawn's generations. */
function addAll(section: Section, kind: number, rows: number): void {
  const set = addRowSet(section, 0, kind, form.range, 0, rows, 0)
  if (kind === what.spawned) addColumn(section, set, generationField, rows * 2)
}

/** A room's first record with these sections for everyone; the first of them named `times` times. */
function recordOfSections(sections: readonly PutRows[], times = 1): Uint8Array {
  const record = createRecordWriter(views), section = createSectionWriter(views)
  beginRecord(record, 0)
  for (const put of sections) {
    beginSection(section, record.cursor)
    put(section)
    const bytes = finishSection(section, { epoch: 1024, seq: 1, prevSeq: 0, tick: 1, stream: roomStream })
    addSection(record, roomStream, recordAudience.everyone, bytes)
  }
  for (let n = 1; n < times; n++) {
    const { words, count, structWords } = record.sections
    words.copyWithin(count * structWords, 0, structWords)
    record.sections.count++
  }
  const length = finishRecord(record, { epoch: 1024, seq: 1, durableSeq: 1, parentEpoch: 0, forkSeq: 0, journalThrough: 0, tick: 1, instance: 0 })
  return views.u8.slice(0, length)
}
