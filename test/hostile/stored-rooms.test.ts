/** Stored rooms that were broken with care: their checksum is right. They open, or are told to be none; whatever they say stays in their own block. */
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { readStored, writeStored } from '../../src/backplane/stored-value.js'
import { hashBytes } from '../../src/base/hash.js'
import { allocateBlock, createArena, freeBlock, openBlocks, type Arena } from '../../src/memory/arena.js'
import { atOutputRing, outputRingBytes } from '../../src/memory/arena-layout.js'
import { createRingWriter } from '../../src/memory/ring.js'
import { atSnapshotBusy } from '../../src/memory/room-layout.js'
import { storeWord } from '../../src/memory/views.js'
import { defineRoom } from '../../src/room/define.js'
import { bool, choice, defineSchema, f32, f64, json, list, optional, quantized, ref, table, text, u16, u32, u64, u8 } from '../../src/schema/index.js'
import { createSectionWriter } from '../../src/wire/section.js'
import { storeRoom } from '../../workers/stored-room.js'
import { createLocalRoom, type LocalRoom } from '../support/local-room.js'
import { leastMs, timed } from '../support/time.js'
import { changes, everyField, mutate } from './mutations.js'

const seed = Number(process.env.SEED ?? Date.now() % 0x7fff_ffff)
const schema = defineSchema('vault', {
  player: 'players',
  globals: { total: u32, mood: choice('calm', 'loud'), oldest: ref('things'), f: f64 },
  tables: {
    players: table({ counted: u32, secret: u16.to('owner'), hidden: u32.to('server'), name: text(24) }, { capacity: 16, ids: true }),
    things: table({ x: quantized(0, 1000, 0.1), y: f32, label: text(12), tags: list(u8, 4), note: json(20), maybe: optional(u16), big: u64, on: bool }, { capacity: 64 }),
    deck: table({ card: u16 }, { capacity: 20, to: 'server' }),
    lines: table({ line: text(20) }, { capacity: 4, whenFull: 'drop-oldest' }),
  },
  inputs: { count: {} }, join: { name: text(24) }, options: { things: u16.default(10) }, listing: { region: text(8) },
})
const room = defineRoom(schema, {
  tickHz: 20, maxSessions: 8, timers: { ring: { by: u8 } },
  onCreate(room) {
    const { things, deck, lines } = room.tables
    for (let n = 0; n < 10; n++) { things.spawn({ x: n * 3, y: n, label: `thing ${n}`, tags: [1, n], note: 5 as never, maybe: n, big: 7n, on: true }); deck.spawn({ card: n }); lines.spawn({ line: `line ${n}` }) }
    for (let n = 0; n < 3; n++) things.despawn(n * 2)
    room.globals.oldest = things.ref(5)
    room.after(300, 'ring', { by: 3 })
  },
  onJoin(room, session, { name }) { session.row = room.tables.players.spawn({ name, secret: 7, hidden: 9 }, { id: name, owner: session }) },
  onLeave(room, { row }) { if (row !== undefined) room.tables.players.despawn(row) },
  onTimer: { ring(room) { room.globals.total++; room.after(300, 'ring', { by: 3 }) } },
  onTick(room) {
    const { things } = room.tables
    for (const row of things.rows()) { things.y[row] += 0.25; if (things.has(row) && things.tags.get(row).length > 4) throw new Error('a list is longer than it may be') }
  },
})

/** What a room hands to the store. */
function bytesOf(local: LocalRoom): Uint8Array {
  const { arena, actor: { room: { layout } } } = local
  storeRoom(local.actor.room, createSectionWriter(arena), createRingWriter(arena, atOutputRing, outputRingBytes))
  let end = layout.snapshot
  for (; arena.u32[end >>> 2] !== 0 && end < layout.snapshot + layout.snapshotBytes;) end += 8 + (arena.u32[end >>> 2] + 7 & ~7)
  storeWord(arena, layout.base + atSnapshotBusy, 0)
  return arena.u8.slice(layout.snapshot, end)
}

describe('hostile: stored rooms', () => {
  let honest: Uint8Array, arena: Arena, guard: { address: number; bytes: Uint8Array }[]
  beforeAll(() => {
    const local = createLocalRoom(room, 64 * 1024 ** 2)
    local.turn()
    for (let n = 0; n < 3; n++) local.join({ name: `guest ${n}` })
    for (let n = 0; n < 10; n++) local.turn()
    honest = bytesOf(local)
    arena = createArena(64 * 1024 ** 2, 0)
    // A block of somebody else's before and behind the one that rooms are restored into.
    const between = [8, 9, 10].map((key) => allocateBlock(arena, key, 2 ** 21)!)
    guard = [between[0], between[2]].map(({ address, bytes }) => ({ address, bytes: arena.u8.fill(0xa5, address, address + bytes).slice(address, address + bytes) }))
    freeBlock(arena, between[1])
  })

  /** Opens a room from these bytes; gives why not, if it does not. What is told then was told before anything else was touched. */
  const open = (stored: Uint8Array): LocalRoom | string => {
    try { return createLocalRoom(room, arena, {}, { state: stored, records: [] }) } catch (error) {
      if ((error as Error).message === 'room-failed') return 'room-failed'
      throw error
    }
  }

  /** A room that opened lives: it ticks, is joined, looked at and stored again. */
  const live = (local: LocalRoom): void => {
    const client = local.join({ name: 'late' })
    for (let n = 0; n < 4; n++) {
      // What handlers make of such a state is theirs to say.
      try { local.turn() } catch (error) { if (!local.errors.includes(error)) throw error }
      local.errors.length = 0
    }
    expect(client.replication.state === 'live' || local.refused.length > 0).toBe(true)
    bytesOf(local)
  }
  const close = (): void => { for (const block of openBlocks(arena)) if (block.roomKey === 1) freeBlock(arena, block) }

  it('hostile: a room that was stored honestly opens, and is the same', () => {
    const local = open(honest) as LocalRoom
    const { tables } = local.actor.room.author as unknown as { tables: { things: { size: number }; players: { size: number }; lines: { size: number } } }
    expect([tables.things.size, tables.players.size, tables.lines.size]).toEqual([7, 3, 4])
    live(local)
    close()
  })

  const rooms = process.env.LONG === undefined ? 4000 : 20_000
  it(`hostile: ${rooms} stored rooms that were broken: each opens and lives, or is refused; nothing outside its block is touched`, () => {
    const jsonBytes = new DataView(honest.buffer).getUint32(0, true), slow: Uint8Array[] = []
    let opened = 0, refused = 0
    const restore = (bytes: Uint8Array): void => {
      const local = open(bytes)
      try {
        if (typeof local === 'string') { refused++; return }
        opened++
        live(local)
      } finally { close() }
    }
    // Field by field where the rows begin; the names and numbers before them are broken by chance.
    const fieldByField = everyField(honest.length).filter((change) => 'at' in change && change.at >= 8 + jsonBytes).filter((_, n) => n % 29 === seed % 29)
    const digit = fc.tuple(fc.nat(jsonBytes - 1), fc.nat(9)).map(([at, value]) => {
      const digits = [...honest.subarray(8, 8 + jsonBytes).entries()].filter(([, byte]) => byte >= 48 && byte < 58)
      return mutate(honest, [{ kind: 'byte', at: 8 + digits[at % digits.length][0], value: 48 + value }])
    })
    const cases = fc.oneof({ weight: 3, arbitrary: changes.map((list) => mutate(honest, list)) }, { weight: 1, arbitrary: digit })
    const examples = fieldByField.map((change) => [mutate(honest, [change])] as [Uint8Array])
    fc.assert(fc.property(cases, (bytes) => { if (timed(() => restore(bytes)) > 50) slow.push(bytes) }), { numRuns: rooms, examples, seed })
    for (const { address, bytes } of guard) expect(Buffer.compare(arena.u8.slice(address, address + bytes.length), bytes)).toBe(0)
    for (const bytes of slow) expect(leastMs(() => restore(bytes)), `${mutationOf(honest, bytes)}`).toBeLessThan(50)
    expect([opened > 500, refused > 500], `${opened} opened, ${refused} refused`).toEqual([true, true])
  }, 300_000)

  it('hostile: a stored value whose checksum is right is read as numbers that an owner can go on from, or not at all', () => {
    const lineage = [{ epoch: 2 ** 50, parentEpoch: 0, forkSeq: 0 }, { epoch: 2 ** 51, parentEpoch: 2 ** 50, forkSeq: 5 }]
    const whole = writeStored({ by: 2 ** 51 + 1024, snapshot: { data: honest.slice(0, 40), epoch: 2 ** 51, seq: 7, tick: 14, ts: 1e12, version: 1, lineage } })
    const extreme = fc.constantFrom(NaN, Infinity, -1, -0, 0.5, 2 ** 52, 2 ** 53, 1e300), read = { some: 0, none: 0 }
    const cases = fc.oneof(
      changes.map((list) => mutate(whole, list)),
      fc.tuple(fc.nat(12), extreme).map(([index, value]) => { const bytes = whole.slice(); new DataView(bytes.buffer).setFloat64(16 + index * 8, value, true); return bytes }),
    )
    fc.assert(fc.property(cases, fc.boolean(), (bytes, isRight) => {
      if (isRight && bytes.length >= 16) {
        const view = new DataView(bytes.buffer)
        view.setUint32(12, bytes.length - 16, true)
        view.setUint32(8, hashBytes(bytes.subarray(16)), true)
      }
      const stored = readStored(bytes)
      read[stored === undefined ? 'none' : 'some']++
      if (stored === undefined) return
      const { by, snapshot: { epoch, seq, tick, ts, version, lineage: forks } } = stored, all = forks.flatMap((fork) => [fork.epoch, fork.parentEpoch, fork.forkSeq])
      expect([by, epoch, seq, tick, ts, version, ...all].every((value) => Number.isSafeInteger(value) && value >= 0) && by < 2 ** 52).toBe(true)
      expect([forks.at(-1)?.epoch ?? 0, by >= epoch]).toEqual([epoch, true])
    }), { numRuns: 20_000, seed })
    expect([read.some > 1000, read.none > 1000], JSON.stringify(read)).toEqual([true, true])
  })
})

/** Where two byte strings differ: for people. */
function mutationOf(from: Uint8Array, to: Uint8Array): string {
  const at = to.findIndex((byte, n) => byte !== from[n])
  return `${from.length} to ${to.length} bytes, from ${at} on: ${Buffer.from(to.subarray(at, at + 16)).toString('hex')}`
}
