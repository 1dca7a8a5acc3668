/** A room that another instance runs, followed record by record: committed state is the owner's, byte for byte; bad records change nothing. */
import { describe, expect, it } from 'vitest'
import { nextInt, seedPrng } from '../../src/base/prng.js'
import { createArena, openBlocks, takeGeneration, type Arena } from '../../src/memory/arena.js'
import { atOutputRing, outputRingBytes } from '../../src/memory/arena-layout.js'
import { createRingReader, createRingWriter, read, release } from '../../src/memory/ring.js'
import { atReleasedSeq, type RoomLayout } from '../../src/memory/room-layout.js'
import { storeWide } from '../../src/memory/views.js'
import { defineRoom } from '../../src/room/define.js'
import { choice, defineSchema, f32, f64, list, quantized, ref, table, text, u16, u32, u64, u8 } from '../../src/schema/index.js'
import { createSectionWriter } from '../../src/wire/section.js'
import { openArea } from '../../workers/area.js'
import { createEncoder } from '../../workers/encode.js'
import { committedSeq, recordOf } from '../../workers/history.js'
import type { Flusher } from '../../workers/flush.js'
import { followRecord } from '../../workers/following.js'
import type { OpenContext } from '../../workers/assemble-room.js'
import { attachRoom, openRoom, stepDown, takeOver } from '../../workers/open-room.js'
import type { Actor } from '../../workers/room-actor.js'
import { putStored } from '../../workers/stored-room.js'
import { createLocalRoom, type LocalRoom } from '../support/local-room.js'

const seed = Number(process.env.SEED ?? 411)
const state = new Uint32Array(4)
seedPrng(state, seed)
const int = (below: number): number => nextInt(state, below)

const schema = defineSchema('followed', {
  player: 'things',
  globals: { count: u32, mood: choice('calm', 'loud'), title: text(12) },
  tables: {
    things: table({ x: quantized(0, 1000, 0.1), y: f32, hp: u16, of: ref('things'), note: text(20), secret: u64.to('owner'), plan: f64.to('server'), bag: list(u8, 5) }, { capacity: 300, ids: true }),
    cards: table({ card: u8 }, { capacity: 64, to: 'owner' }),
    deck: table({ card: u8 }, { capacity: 64, to: 'server' }),
    chat: table({ line: text(16) }, { capacity: 8, whenFull: 'drop-oldest' }),
  },
  inputs: { poke: { by: u8 } },
  events: { rang: { by: u8 } },
})
const module = defineRoom(schema, {
  timers: { ring: {} },
  onCreate(room) { room.after(200, 'ring') },
  onTimer: { ring(room) { room.emit('rang', { by: 1 }); room.after(200, 'ring') } },
  onJoin(room, session) { session.row = room.tables.things.spawn({ note: session.id }, { id: session.id, owner: session }) },
  onInput: { poke(room, session, { by }) { room.globals.count += by; if (room.tables.cards.size < 50) room.tables.cards.spawn({ card: by }, { owner: session }); room.emit('rang', { by }, session) } },
  onTick(room) {
    const { things, cards, deck, chat } = room.tables
    for (let n = int(20); n > 0; n--) {
      const living = [...things.rows()], row = living[int(Math.max(1, living.length))]
      const kind = int(10)
      if (kind < 3 && things.size < 290) things.spawn({ x: int(1000), y: n, hp: int(9), note: `thing ${int(99)}`, plan: int(9), of: row === undefined ? null : things.ref(row) })
      else if (row === undefined) continue
      else if (kind === 3) things.despawn(row)
      else if (kind === 4) { things.note.set(row, 'x'.repeat(int(20))); things.bag.set(row, [int(9), 2]) }
      else if (kind === 5) { if (cards.size > 40) cards.despawn([...cards.rows()][0]); if (deck.size < 60) deck.spawn({ card: int(50) }); else deck.despawn([...deck.rows()][int(deck.size)]) }
      else if (kind === 6) chat.spawn({ line: `line ${int(9)}` })
      else { things.x[row] = int(1000); things.y[row] += 1; things.secret[row] = BigInt(int(99)); things.plan[row] = int(5) }
    }
    room.globals.mood = room.globals.mood === 'loud' ? 'calm' : 'loud'
    if (int(50) === 0) for (const row of [...things.rows()].slice(0, int(100))) things.despawn(row)
  },
})

interface Follower { readonly arena: Arena; readonly context: OpenContext; readonly flusher: Flusher; actor: Actor; published: number[] }

/** The owner's state, as it would come from it. */
function storedOf({ arena, actor: { room } }: LocalRoom): Uint8Array {
  const area = openArea(room, createSectionWriter(arena))
  putStored(area)
  return arena.u8.slice(room.layout.snapshot, area.cursor)
}

function follow(owner: LocalRoom): Follower {
  const arena = createArena(64 * 1024 ** 2, 1), { room } = owner.actor
  const flusher: Flusher = { encoder: createEncoder(arena, 1, () => {}), output: createRingWriter(arena, atOutputRing, outputRingBytes), generation: takeGeneration(arena), fault: () => {}, onSkipped: () => {} }
  const context: OpenContext = { arena, flusher, report: (_, __, error) => { throw error }, log: (_, __, what) => { throw new Error(String(what)) }, refuse: () => {}, count: () => {}, lost: () => {}, randomKey: () => new Uint32Array(8) }
  const actor = openRoom(context, {
    key: 7, type: owner.type, id: room.id, options: new Uint8Array(0), match: new Uint8Array(0), stays: false, follows: true, stored: storedOf(owner),
    epoch: room.epoch, parentEpoch: room.parentEpoch, forkSeq: room.forkSeq, seq: committedSeq(owner.arena, room.layout),
  })
  if (typeof actor === 'string') throw new Error(actor)
  return { arena, context, flusher, actor, published: [] }
}

/** What the main thread does: reads descriptors and lets go. */
function drain({ arena, actor: { room }, published }: Follower): void {
  const ring = createRingReader(arena, atOutputRing, outputRingBytes)
  for (let at = read(ring); at !== 0; at = read(ring)) { published.push(arena.u32[at >>> 2]); release(ring) }
  storeWide(arena, room.layout.base + atReleasedSeq, committedSeq(arena, room.layout))
}

/** Hands over the record of `seq`; `change` may spoil its copy. */
function give(owner: LocalRoom, follower: Follower, seq: number, change: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes): ReturnType<typeof followRecord> {
  const record = recordOf(owner.arena, owner.actor.room.layout, seq)!
  const bytes = change(owner.arena.u8.slice(record.address, record.address + record.bytes))
  // The end of the arena is nobody's here: the record's place in the input ring.
  const at = follower.arena.bytes - 4 * 1024 ** 2
  follower.arena.u8.set(bytes, at)
  const followed = followRecord(follower.flusher, follower.actor.room, at, bytes.length)
  drain(follower)
  return followed
}

/** Committed values of living rows, and which rows live, of every table. */
function committed(arena: Arena, layout: RoomLayout): string[] {
  return layout.tables.map(({ table, aliveCommitted, words, columns, id, generation }) => {
    const rows = Array.from({ length: words * 64 }, (_, row) => row).filter((row) => (arena.u32[(aliveCommitted >>> 2) + (row >>> 5)] >>> (row & 31) & 1) === 1)
    const values = [generation, ...(id === undefined ? [] : [id]), ...columns].map(({ field, committed: at }) => rows.map((row) => {
      const from = at + row * field.bytes, bytes = field.maxBytes === undefined ? field.bytes : 2 + arena.u16[from >>> 1]
      return Buffer.from(arena.u8.slice(from, from + bytes)).toString('hex')
    }).join())
    return `${table.name} ${rows.join()} ${values.join(' ')}`
  })
}

/** Tables that differ from the owner's. */
const differing = (arena: Arena, layout: RoomLayout, owner: LocalRoom): string[] => {
  const theirs = committed(owner.arena, owner.actor.room.layout)
  return committed(arena, layout).flatMap((table, index) => table === theirs[index] ? [] : [table.split(' ')[0]])
}

const expectSame = (owner: LocalRoom, follower: Follower, seq: number): void =>
  expect(differing(follower.arena, follower.actor.room.layout, owner), `SEED=${seed} seq ${seq}`).toEqual([])

function createOwner(): LocalRoom {
  const owner = createLocalRoom(module)
  for (let n = 0; n < 3; n++) owner.join()
  for (let n = 0; n < 20; n++) owner.turn()
  return owner
}

/** A turn of the owner's with inputs; gives the seq that came of it. */
function turn(owner: LocalRoom): number {
  for (const client of owner.clients) if (client.slot >= 0 && int(3) === 0) owner.input(client, 'poke', { by: int(9) })
  if (int(20) === 0 && owner.clients.length < 8) owner.join()
  if (int(25) === 0 && owner.clients.length > 2) owner.leave(owner.clients.find(({ slot }) => slot >= 0)!)
  owner.turn()
  return committedSeq(owner.arena, owner.actor.room.layout)
}

describe('following', () => {
  it('following: after each record committed state is the owner\'s, byte for byte, also on a successor of the thread', () => {
    const owner = createOwner(), follower = follow(owner)
    expectSame(owner, follower, 0)
    for (let n = 0; n < 400; n++) {
      const seq = turn(owner)
      expect(give(owner, follower, seq), `SEED=${seed} seq ${seq}`).toBe('applied')
      expectSame(owner, follower, seq)
      if (n % 50 !== 10) continue
      const [block] = openBlocks(follower.arena)
      follower.actor = attachRoom(follower.context, block, [owner.type])!
      expect(follower.actor.room.isFollowing).toBe(true)
      expectSame(owner, follower, seq)
    }
    expect(follower.published.length).toBe(400)
  })

  it('following: a repeat moves nothing, and a gap is told', () => {
    const owner = createOwner(), follower = follow(owner), first = turn(owner)
    expect(give(owner, follower, first)).toBe('applied')
    expect(give(owner, follower, first)).toBe('repeat')
    turn(owner)
    const later = turn(owner)
    expect(give(owner, follower, later)).toBe('gap')
    expect(committedSeq(follower.arena, follower.actor.room.layout)).toBe(first)
    for (let seq = first + 1; seq <= later; seq++) expect(give(owner, follower, seq)).toBe('applied')
    expectSame(owner, follower, later)
  })

  it('following: whoever takes over goes on from there with all that its author needs, and its own records are followed by others', () => {
    const owner = createOwner(), follower = follow(owner)
    for (let n = 0; n < 30; n++) give(owner, follower, turn(owner))
    const seq = committedSeq(owner.arena, owner.actor.room.layout)
    expect(takeOver(follower.context, follower.actor, 4096)).toBe(true)
    const { room } = follower.actor
    expect([room.epoch, room.parentEpoch, room.forkSeq, room.isFollowing]).toEqual([4096, 1024, seq, false])
    expectSame(owner, follower, seq)
    expect([...room.book.byId.keys()].sort()).toEqual([...owner.actor.room.book.byId.keys()].sort())
    // And back: what had not been committed is undone.
    room.tables[1].spawn({ note: 'nobody was told' })
    stepDown(follower.actor)
    expectSame(owner, follower, seq)
    expect([room.isFollowing, room.tables[1].size]).toEqual([true, owner.actor.room.tables[1].size])
  })

  it('following: a record that was changed anywhere is refused or taken whole, and nothing outside the room\'s own tables is written', { timeout: 60_000 }, () => {
    const owner = createOwner(), refused: Record<string, number> = {}
    const records = 150, changesEach = 200
    for (let n = 0; n < records; n++) {
      const seq = turn(owner), follower = follow(owner)
      // It stands one record before: the owner's next one is spoilt.
      const next = turn(owner), { arena, actor: { room: { layout, block } } } = follower
      expect(next).toBe(seq + 1)
      const outside = (): string => `${arena.u8.slice(block.address + block.bytes, block.address + block.bytes + 4096).join('')} ${arena.u32[(layout.base + 8) >>> 2]}`
      const clean = outside()
      for (let change = 0; change < changesEach; change++) {
        const followed = give(owner, follower, next, (bytes) => spoil(bytes))
        refused[followed] = (refused[followed] ?? 0) + 1
        expect(outside(), `SEED=${seed}`).toBe(clean)
        if (followed !== 'applied') continue
        // What it says may be nonsense; it can be read, and run.
        expect(takeOver(follower.context, follower.actor, 1_000_000)).toBe(true)
        for (const table of follower.actor.room.tables) for (const row of table.rows()) JSON.stringify(table.at(row), (_, value: unknown) => typeof value === 'bigint' ? `${value}` : value)
        break
      }
    }
    expect(refused['bad-record'], JSON.stringify(refused)).toBeGreaterThan(500)
  })
})

const words = [0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 8, 64, 65_535]

/** Flips, overwrites with numbers of ill repute, cuts and swaps. */
function spoil(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer)
  for (let n = 1 + int(3); n > 0; n--) {
    const kind = int(4), at = int(bytes.length - 4) & ~3
    if (kind === 0) bytes[int(bytes.length)] ^= 1 << int(8)
    else if (kind === 1) view.setUint32(at, words[int(words.length)], true)
    else if (kind === 2) view.setUint32(at, view.getUint32(at, true) + int(5) - 2, true)
    else return bytes.slice(0, int(bytes.length))
  }
  return bytes
}
