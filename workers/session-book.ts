/**
 * The engine's own tables of a room, as plain accessors: who is in it (`$sessions`), its clock and random numbers (`$room`).
 * Worker thread. What is written here is live state like any other: it is committed with the next record and comes back with a successor.
 */
import { blockWords, keyWords, writeBlock } from '../src/base/key-stream.js'
import { hasFree, isAlive, nextRow, packRef } from '../src/memory/rows.js'
import type { Session } from '../src/room/types.js'
import { addEvent, ownRowEvent, type SectionWriter } from '../src/wire/section.js'
import { engineColumn, engineText, refersToLiving, type AuthorTable } from './author-table.js'
import type { NumberArray } from './columns.js'

/**
 * A session as handlers get it; `slot` is its row in `$sessions`. An author may keep it for longer than it lasts: once it has left, its slot
 * is another's.
 */
export interface BookedSession extends Session { readonly slot: number; readonly hasLeft: boolean }

/** `order`: the last number given to a timer or a row, so that what came first is known to a successor too. `version`, `tablesHash`: of whoever has run the room last. */
export interface Clock { tick: number; timeMs: number; roomChangedSeq: number; order: number; locked: number; version: number; tablesHash: number }

export interface SessionBook {
  readonly clock: Clock
  readonly random: { float(): number; int(below: number): number }
  readonly byId: ReadonlyMap<string, BookedSession>
  size(): number
  /** `key`: the words of a key that nobody can guess. */
  seed(key: Uint32Array): void
  has(slot: number): boolean
  /** Somebody has left, but the slot is given out again only behind the flush that says so. */
  awaitsFlush(): boolean
  /** A new session; undefined if the room is full. `user`: JSON. `seq`: of the record that will tell of it. */
  enter(connection: number, id: string, user: string, seq: number): BookedSession | undefined
  leave(slot: number): void
  /** Its connection is gone; it may come back until room time `graceUntil`. */
  drop(slot: number, graceUntil: number): void
  /** It is back, or has moved to another connection. */
  attach(slot: number, connection: number): void
  /** The next dropped session whose grace time has passed at `timeMs`, or -1. */
  takeExpired(timeMs: number): number
  /** Room time at which the next grace time ends; Infinity if nobody is dropped. */
  nextGraceMs(): number
  at(slot: number): BookedSession
  /** The slot of a connection, or -1. */
  slotOf(connection: number): number
  /** 0 while it is dropped. */
  connectionOf(slot: number): number
  generationOf(slot: number): number
  raiseGeneration(slot: number, generation: number): void
  appliedThroughOf(slot: number): number
  setAppliedThrough(slot: number, number: number): void
  /** Returns the seq at which the session's stream last changed, and sets it to `seq`. */
  takeChangedSeq(slot: number, seq: number): number
  changedSeqOf(slot: number): number
  /** The first record that knows the session. */
  joinedSeqOf(slot: number): number
  putOwnRow(section: SectionWriter, slot: number): void
  /** Slots whose own row has been despawned since they were last asked for. */
  lostRows(): readonly number[]
  /** Takes everybody from the live rows: after a recovery, and when another instance has written them. */
  rebuild(): void
}

const nobody: readonly number[] = []

export interface BookHooks { onOwnRow(slot: number): void; onEnd(slot: number): void }

/** What sessions look at. A class below, for an object with accessors of its own is slow to look anything up in. */
interface Seats { readonly bySlot: readonly (BookedSession | undefined)[]; readonly connection: NumberArray; readonly own: OwnRows; readonly player: AuthorTable | undefined; readonly hooks: BookHooks }

class SeatedSession implements BookedSession {
  readonly slot: number
  readonly id: string
  readonly user: Session['user']
  readonly end: () => void
  readonly #seats: Seats

  constructor(seats: Seats, slot: number, id: string, user: Session['user']) {
    this.slot = slot
    this.id = id
    this.user = user
    this.#seats = seats
    this.end = () => { if (!this.hasLeft) seats.hooks.onEnd(slot) }
  }

  get hasLeft(): boolean { return this.#seats.bySlot[this.slot] !== this }
  get connected(): boolean { return !this.hasLeft && this.#seats.connection[this.slot] !== 0 }
  get row(): number | undefined { return this.hasLeft ? undefined : this.#seats.own.get(this.slot) }
  set row(value: number | undefined) {
    if (this.hasLeft) return
    const { player, own, hooks } = this.#seats
    if (value !== undefined && !player?.has(value)) throw new RangeError('session.row: needs a living row of the schema\'s player table')
    own.set(this.slot, value)
    hooks.onOwnRow(this.slot)
  }
}

export function createSessionBook(sessions: AuthorTable, room: AuthorTable, player: AuthorTable | undefined, hooks: BookHooks): SessionBook {
  const connection = engineColumn(sessions, 'connection'), appliedThrough = engineColumn(sessions, 'appliedThrough')
  const changedSeq = engineColumn(sessions, 'changedSeq'), joinedSeq = engineColumn(sessions, 'joinedSeq')
  const generation = engineColumn(sessions, 'generation')
  const graceUntil = engineColumn(sessions, 'graceUntil'), users = engineText(sessions, 'user')
  const ids = engineText(sessions, 'sessionId')
  const bySlot: (BookedSession | undefined)[] = []
  const byId = new Map<string, BookedSession>()
  const byConnection = new Map<number, number>()
  const clock = new RoomClock(room), { random, seed } = createRandom(room)
  const own = createOwnRows(sessions, player), seats: Seats = { bySlot, connection, own, player, hooks }

  const enroll = (slot: number): BookedSession => {
    const session = new SeatedSession(seats, slot, ids.get(slot), userOf(users.get(slot), ids.get(slot)))
    bySlot[slot] = session
    byId.set(session.id, session)
    if (connection[slot] !== 0) byConnection.set(connection[slot], slot)
    return session
  }
  const isDropped = (slot: number): boolean => connection[slot] === 0
  return {
    clock, random, byId, seed,
    size: () => sessions.rowsOf.size,
    has: (slot) => isAlive(sessions.rowsOf, slot),
    awaitsFlush: () => sessions.rowsOf.size < sessions.capacity && !hasFree(sessions.rowsOf),
    enter: (by, id, user, seq) => {
      if (sessions.rowsOf.size >= sessions.capacity) return undefined
      return enroll(sessions.spawn({ sessionId: id, connection: by, user, joinedMs: clock.timeMs, joinedSeq: seq }))
    },
    leave: (slot) => {
      byId.delete(bySlot[slot]!.id)
      byConnection.delete(connection[slot])
      bySlot[slot] = undefined
      sessions.despawn(slot)
    },
    drop: (slot, until) => {
      byConnection.delete(connection[slot])
      connection[slot] = 0
      graceUntil[slot] = until
      sessions.touch(slot)
    },
    attach: (slot, by) => {
      byConnection.delete(connection[slot])
      connection[slot] = by
      byConnection.set(by, slot)
      sessions.touch(slot)
    },
    takeExpired: (timeMs) => {
      // Whoever is not dropped has a connection: then nobody is looked at.
      if (byConnection.size === byId.size) return -1
      for (const { slot } of byId.values()) if (isDropped(slot) && graceUntil[slot] <= timeMs) return slot
      return -1
    },
    nextGraceMs: () => {
      let next = Infinity
      for (const { slot } of byId.values()) if (isDropped(slot)) next = Math.min(next, graceUntil[slot])
      return next
    },
    at: (slot) => bySlot[slot]!,
    slotOf: (by) => byConnection.get(by) ?? -1,
    connectionOf: (slot) => connection[slot],
    generationOf: (slot) => generation[slot],
    raiseGeneration: (slot, to) => {
      generation[slot] = Math.max(generation[slot], to)
      sessions.touch(slot)
    },
    appliedThroughOf: (slot) => appliedThrough[slot],
    setAppliedThrough: (slot, number) => {
      appliedThrough[slot] = number
      sessions.touch(slot)
    },
    takeChangedSeq: (slot, seq) => {
      if (!isAlive(sessions.rowsOf, slot)) return 0
      const before = changedSeq[slot]
      changedSeq[slot] = seq
      sessions.touch(slot)
      return before
    },
    changedSeqOf: (slot) => changedSeq[slot],
    joinedSeqOf: (slot) => joinedSeq[slot],
    putOwnRow: (section, slot) => addEvent(section, ownRowEvent, own.bytesOf(slot)),
    lostRows: () => {
      // A row goes in no other way.
      if (player === undefined || !player.rowsOf.moved) return nobody
      const lost: number[] = []
      for (const { slot } of byId.values()) if (own.loses(slot)) lost.push(slot)
      return lost
    },
    rebuild: () => {
      bySlot.length = 0
      byId.clear()
      byConnection.clear()
      for (let slot = nextRow(sessions.rowsOf, 0); slot >= 0; slot = nextRow(sessions.rowsOf, slot + 1)) enroll(slot)
    },
  }
}

/** Another instance may have written it. */
function userOf(json: string, id: string): Session['user'] {
  try { return JSON.parse(json) as Session['user'] } catch { return { id } }
}

interface OwnRows {
  get(slot: number): number | undefined
  set(slot: number, row: number | undefined): void
  /** As the event that tells a client its own row. */
  bytesOf(slot: number): Uint8Array
  /** True once after the row was despawned. */
  loses(slot: number): boolean
}

/** The ref of each session's own row in the schema's player table. */
function createOwnRows(sessions: AuthorTable, player: AuthorTable | undefined): OwnRows {
  const row = engineColumn(sessions, 'ownRow'), rowGeneration = engineColumn(sessions, 'rowGeneration'), hasRow = engineColumn(sessions, 'hasRow')
  const get = (slot: number): number | undefined => {
    if (hasRow[slot] === 0 || player === undefined) return undefined
    return refersToLiving(player.rowsOf, packRef(row[slot], rowGeneration[slot])) ? row[slot] : undefined
  }
  return {
    get,
    set: (slot, value) => {
      hasRow[slot] = value === undefined ? 0 : 1
      row[slot] = value ?? 0
      rowGeneration[slot] = value === undefined || player === undefined ? 0 : player.rowsOf.generation[value]
      sessions.touch(slot)
    },
    bytesOf: (slot) => {
      const bytes = new DataView(new ArrayBuffer(8)), value = get(slot)
      if (value !== undefined) {
        bytes.setUint32(0, value, true)
        bytes.setUint16(4, rowGeneration[slot], true)
        bytes.setUint16(6, 1, true)
      }
      return new Uint8Array(bytes.buffer)
    },
    loses: (slot) => {
      if (hasRow[slot] === 0 || get(slot) !== undefined) return false
      hasRow[slot] = 0
      sessions.touch(slot)
      return true
    },
  }
}

/** The one row of `$room`. A class, because accessors that each room makes for itself would give every clock a shape of its own, and what reads them would be compiled for none. */
class RoomClock implements Clock {
  readonly #f64: Float64Array; readonly #u32: Uint32Array; readonly #u8: Uint8Array; readonly #touch: AuthorTable['touch']
  /** Where each column's only value lies, in elements, and the column's number. */
  readonly #at: Readonly<Record<keyof Clock, number>>
  readonly #column: Readonly<Record<keyof Clock, number>>

  constructor({ rowsOf: { views, layout }, touch, numberOf }: AuthorTable) {
    this.#f64 = views.f64
    this.#u32 = views.u32
    this.#u8 = views.u8
    this.#touch = touch
    const columnOf = (name: keyof Clock): number => numberOf(name), atOf = (name: keyof Clock): number => layout.columns[columnOf(name)].live / layout.columns[columnOf(name)].field.bytes
    this.#at = ofEach(atOf)
    this.#column = ofEach(columnOf)
  }

  get tick() { return this.#f64[this.#at.tick] }
  set tick(value: number) { this.#f64[this.#at.tick] = value; this.#touch(0, this.#column.tick) }
  get timeMs() { return this.#f64[this.#at.timeMs] }
  set timeMs(value: number) { this.#f64[this.#at.timeMs] = value; this.#touch(0, this.#column.timeMs) }
  get roomChangedSeq() { return this.#f64[this.#at.roomChangedSeq] }
  set roomChangedSeq(value: number) { this.#f64[this.#at.roomChangedSeq] = value; this.#touch(0, this.#column.roomChangedSeq) }
  get order() { return this.#f64[this.#at.order] }
  set order(value: number) { this.#f64[this.#at.order] = value; this.#touch(0, this.#column.order) }
  get locked() { return this.#u8[this.#at.locked] }
  set locked(value: number) { this.#u8[this.#at.locked] = value; this.#touch(0, this.#column.locked) }
  get version() { return this.#u32[this.#at.version] }
  set version(value: number) { this.#u32[this.#at.version] = value; this.#touch(0, this.#column.version) }
  get tablesHash() { return this.#u32[this.#at.tablesHash] }
  set tablesHash(value: number) { this.#u32[this.#at.tablesHash] = value; this.#touch(0, this.#column.tablesHash) }
}

const ofEach = (of: (name: keyof Clock) => number): Record<keyof Clock, number> => ({
  tick: of('tick'), timeMs: of('timeMs'), roomChangedSeq: of('roomChangedSeq'), order: of('order'), locked: of('locked'), version: of('version'), tablesHash: of('tablesHash'),
})

/** The room's random numbers: a key stream whose key and place are the room's state. */
function createRandom(room: AuthorTable): Pick<SessionBook, 'random' | 'seed'> {
  const keyColumns = Array.from({ length: keyWords }, (_, n) => engineColumn(room, `random${n}`)), drawn = engineColumn(room, 'drawn'), drawnColumn = room.numberOf('drawn')
  const block = new Uint32Array(blockWords), key = new Uint32Array(keyWords)
  let inBlock = -1
  const next = (): number => {
    const number = drawn[0]++, wanted = Math.floor(number / blockWords)
    room.touch(0, drawnColumn)
    if (wanted !== inBlock) {
      for (let n = 0; n < keyWords; n++) key[n] = keyColumns[n][0]
      writeBlock(block, key, wanted)
      inBlock = wanted
    }
    return block[number % blockWords]
  }
  const float = (): number => next() / 0x1_0000_0000
  return {
    seed: (words) => {
      for (let n = 0; n < keyWords; n++) keyColumns[n][0] = words[n]
      drawn[0] = 0
      room.touch(0)
      inBlock = -1
    },
    random: { float, int: (below) => Math.floor(float() * below) },
  }
}
