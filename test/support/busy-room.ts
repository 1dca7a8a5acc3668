/** A room with every kind of table and of field that changes all of it at random, turn by turn; and what is committed of a room, for comparing. */
import { nextInt, seedPrng } from '../../src/base/prng.js'
import type { Arena } from '../../src/memory/arena.js'
import type { RoomLayout } from '../../src/memory/room-layout.js'
import { defineRoom, type RoomModule } from '../../src/room/define.js'
import { choice, defineSchema, f32, f64, list, quantized, ref, table, text, u16, u32, u64, u8 } from '../../src/schema/index.js'
import { createSectionWriter } from '../../src/wire/section.js'
import { openArea } from '../../workers/area.js'
import { committedSeq } from '../../workers/history.js'
import { putStored } from '../../workers/stored-room.js'
import { createLocalRoom, type LocalRoom } from './local-room.js'

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

export type Int = (below: number) => number

/** Random whole numbers from a seed. */
export function createInt(seed: number): Int {
  const state = new Uint32Array(4)
  seedPrng(state, seed)
  return (below) => nextInt(state, below)
}

export const busyRoom = (int: Int): RoomModule => defineRoom(schema, {
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

/** A turn of the room with joins, leaves and inputs; gives the seq that came of it. */
export function busyTurn(owner: LocalRoom, int: Int): number {
  for (const client of owner.clients) if (client.slot >= 0 && int(3) === 0) owner.input(client, 'poke', { by: int(9) })
  if (int(20) === 0 && owner.clients.length < 8) owner.join()
  const inside = owner.clients.filter(({ slot }) => slot >= 0)
  if (int(25) === 0 && inside.length > 2) owner.leave(inside[0])
  owner.turn()
  return committedSeq(owner.arena, owner.actor.room.layout)
}

/** One that three have joined, after a while. */
export function createBusyOwner(module: RoomModule): LocalRoom {
  const owner = createLocalRoom(module)
  for (let n = 0; n < 3; n++) owner.join()
  for (let n = 0; n < 20; n++) owner.turn()
  return owner
}

/** The room as it is stored. */
export function storedOf({ arena, actor: { room } }: LocalRoom): Uint8Array {
  const area = openArea(room, createSectionWriter(arena))
  putStored(area)
  return arena.u8.slice(room.layout.snapshot, area.cursor)
}

/** Committed values of living rows, and which rows live, of every table. */
export function committed(arena: Arena, layout: RoomLayout): string[] {
  return layout.tables.map(({ table, aliveCommitted, words, columns, id, generation }) => {
    const rows = Array.from({ length: words * 64 }, (_, row) => row).filter((row) => (arena.u32[(aliveCommitted >>> 2) + (row >>> 5)] >>> (row & 31) & 1) === 1)
    const values = [generation, ...(id === undefined ? [] : [id]), ...columns].map(({ field, committed: at }) => rows.map((row) => {
      const from = at + row * field.bytes, bytes = field.maxBytes === undefined ? field.bytes : 2 + arena.u16[from >>> 1]
      return Buffer.from(arena.u8.slice(from, from + bytes)).toString('hex')
    }).join())
    return `${table.name} ${rows.join()} ${values.join(' ')}`
  })
}

const words = [0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 8, 64, 65_535]

/** Flips, overwrites with numbers of ill repute, cuts and swaps. */
export function spoil(bytes: Uint8Array, int: Int): Uint8Array {
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
