/**
 * A room on an arena of its own, in this thread: real inbox, journal, actor, flush, history and snapshots, without threads or sockets. Clients
 * are real replications fed with the very bytes; a delivery is what the outbox would send.
 */
import { start, type Position } from '../../src/base/lineage.js'
import { keyWords } from '../../src/base/key-stream.js'
import { inputRingBytes } from '../../src/base/limits.js'
import { atInputRing, atOutputRing, outputRingBytes } from '../../src/memory/arena-layout.js'
import { createArena, takeGeneration, type Arena } from '../../src/memory/arena.js'
import { send, snapshotWords, targetWords, toMain, toWorker } from '../../src/memory/crossing.js'
import { createRingReader, createRingWriter, read, release } from '../../src/memory/ring.js'
import { atReleasedSeq, atSnapshotBusy } from '../../src/memory/room-layout.js'
import { storeWide, storeWord } from '../../src/memory/views.js'
import type { RoomModule } from '../../src/room/define.js'
import { createReplication, expectFrame, expectSections, expectSnapshot, receiveSection, type Replication } from '../../src/client/replication.js'
import { readRoutes, readSections, routeFlags } from '../../src/wire/record.js'
import { createSectionWriter, roomStream, sessionStream } from '../../src/wire/section.js'
import { packToBytes } from '../../src/wire/fields.js'
import { createEncoder } from '../../workers/encode.js'
import { flushRoom, type Flusher } from '../../workers/flush.js'
import { committedSeq } from '../../workers/history.js'
import { drainInbox, type Left } from '../../workers/inbox.js'
import { openRoom } from '../../workers/open-room.js'
import { takeTurn, type Actor } from '../../workers/room-actor.js'
import { createRoomType, type RoomType } from '../../workers/room-type.js'
import { serveWaiting } from '../../workers/snapshots.js'
import type { Stored } from '../../workers/stored-room.js'

export interface LocalClient {
  readonly connection: number
  slot: number
  readonly replication: Replication
  /** Every byte string it ever got since the last look. */
  received: Uint8Array[]
  asksResync: boolean
  /** Frames are withheld, as from a slow client. */
  isCut: boolean
  readonly events: { name: string; data: Record<string, unknown> }[]
  mismatches: number
  lastInput: number
}

export interface LocalRoom {
  readonly arena: Arena
  readonly type: RoomType
  readonly actor: Actor
  readonly clients: LocalClient[]
  readonly errors: unknown[]
  readonly refused: string[]
  /** While true the main thread's half lets go of nothing: history must not be overwritten. */
  holds: boolean
  /** It lets go of all that was published. */
  letGo(): void
  readonly skipped: () => number
  /** `again`: the same join once more, as from an instance that has heard no answer. */
  join(data?: Record<string, unknown>, again?: LocalClient): LocalClient
  leave(client: LocalClient): void
  /** The client's next input: as data, or as bytes that may be hostile. */
  input(client: LocalClient, name: string, data: Record<string, unknown> | Uint8Array): void
  resync(client: LocalClient): void
  /** One turn, one flush; everything published is delivered. */
  turn(): void
}

/** What a room is restored from: where its last record stands, (0, 100) if nobody says. */
export interface LocalStored extends Stored { readonly at?: Position }

/** `at`: an arena, or the size of one of its own. Throws what is wrong if it does not open. */
export function createLocalRoom(module: RoomModule, at: number | Arena = 256 * 1024 ** 2, options: Record<string, unknown> = {}, stored?: LocalStored): LocalRoom {
  const arena = typeof at === 'number' ? createArena(at, 0) : at
  const input = createRingWriter(arena, atInputRing, inputRingBytes), inbox = createRingReader(arena, atInputRing, inputRingBytes)
  const output = createRingWriter(arena, atOutputRing, outputRingBytes), published = createRingReader(arena, atOutputRing, outputRingBytes)
  const section = createSectionWriter(arena)
  let skipped = 0
  const errors: unknown[] = [], refused: string[] = [], clients: LocalClient[] = []
  const flusher: Flusher = {
    encoder: createEncoder(arena, 0, () => {}), output, generation: takeGeneration(arena), fault: () => {}, onSkipped: () => { skipped++ },
  }
  const type = createRoomType(module, 0), fork = stored === undefined ? start : stored.at ?? { epoch: 0, seq: 100 }
  const actor = openRoom({
    arena, flusher, report: (_, __, error) => { errors.push(error) }, log: () => {}, count: () => {}, lost: () => {}, randomKey: () => new Uint32Array(keyWords), refuse: (_, __, code) => { refused.push(code) }, want: (_, __, ___, number) => { refused.push(`wanted ${number}`) },
  }, { key: 1, type, id: `${type.name}:test`, epoch: 1024 + fork.epoch, parentEpoch: fork.epoch, forkSeq: fork.seq, seq: fork.seq, follows: false, stored, stays: false, match: new Uint8Array(0), options: packToBytes(type.full.options, options) })
  if (typeof actor === 'string') throw errors[0] ?? new Error(actor)
  const { room } = actor
  // Sessions that it was stored with have other names.
  let nowMs = 0, lastConnection = fork.epoch

  const deliver = (): void => {
    for (let at = read(published); at !== 0; at = read(published)) {
      if (published.kind === toMain.record) deliverRecord(arena, clients, arena.u32[(at >>> 2) + 1], local.resync)
      else if (published.kind === toMain.snapshot) deliverSnapshot(arena, clients, at)
      if (published.kind === toMain.record && !local.holds) storeWide(arena, room.layout.base + atReleasedSeq, readHeadSeq(arena, arena.u32[(at >>> 2) + 1]))
      release(published)
    }
    storeWord(arena, room.layout.base + atSnapshotBusy, 0)
  }
  const drain = (): Left => drainInbox(inbox, {
    roomOf: () => room, fault: () => {}, instance: 0, open: () => {}, release: () => {}, record: () => true, own: () => true, follow: () => {}, stop: () => {}, refuse: (_, __, code) => { refused.push(code) }, nack: (_, __, ___, ____, code) => { refused.push(code) },
  })
  const local: LocalRoom = {
    arena, type, actor, clients, errors, refused, holds: false, letGo: () => { local.holds = false; storeWide(arena, room.layout.base + atReleasedSeq, committedSeq(arena, room.layout)) }, skipped: () => skipped,
    join: (data = {}, again) => {
      const client = again ?? createLocalClient(type, ++lastConnection)
      if (again === undefined) clients.push(client)
      const id = new TextEncoder().encode(`session-${client.connection}`)
      const join = packToBytes(type.full.join, data)
      const user = new TextEncoder().encode('{}')
      send(input, toWorker.join, [1, client.connection, 0, id.length, user.length], new Uint8Array([...id, ...user, ...join]))
      return client
    },
    leave: (client) => { send(input, toWorker.leave, [1, client.connection, 0, 0]); clients.splice(clients.indexOf(client), 1) },
    input: (client, name, data) => {
      const index = type.full.inputs.findIndex((entry) => entry.name === name)
      const bytes = data instanceof Uint8Array ? data : packToBytes(type.full.inputs[index].fields, data)
      send(input, toWorker.input, [1, client.slot, client.connection, 0, ++client.lastInput, 0, index], bytes)
    },
    resync: (client) => {
      const { epoch, seq } = client.replication.position
      client.asksResync = false
      client.isCut = true
      send(input, toWorker.resync, [1, client.slot, client.connection, 0, epoch, 0, seq, 0])
    },
    turn: () => {
      drain()
      nowMs = Math.max(nowMs, room.dueMs)
      takeTurn(actor, nowMs)
      for (const slot of room.book.lostRows()) room.ownRows.add(slot)
      flushRoom(flusher, room)
      serveWaiting(room, section, output)
      deliver()
      // Who the record says has joined asks for its snapshot.
      drain()
      serveWaiting(room, section, output)
      deliver()
      if (errors.length > 0) throw errors[0]
    },
  }
  deliver()
  return local
}

function createLocalClient(type: RoomType, connection: number): LocalClient {
  const client: LocalClient = {
    connection, slot: -1, received: [], asksResync: false, isCut: true, events: [], mismatches: 0, lastInput: 0,
    replication: createReplication(type.tables, type.definition.flushHz, true, {
      flushed: () => { for (const replica of client.replication.replicas) { replica.spawned.clear(); replica.despawned.clear(); replica.changed.clear() } },
      event: (name, data) => { client.events.push({ name, data }) },
      missed: () => {}, complete: () => {}, nowMs: () => 0,
      resync: () => { client.asksResync = true },
      differs: () => { client.mismatches++ },
    }),
  }
  return client
}

const copyOf = (arena: Arena, address: number, bytes: number): ArrayBuffer => arena.u8.slice(address, address + bytes).buffer as ArrayBuffer

function give(client: LocalClient, message: ArrayBuffer): void {
  client.received.push(new Uint8Array(message))
  receiveSection(client.replication, message)
}

function readHeadSeq({ u32 }: Arena, record: number): number {
  return u32[(record + u32[record >>> 2] + 4 + 8) >>> 2]
}

function deliverRecord(arena: Arena, clients: readonly LocalClient[], record: number, ask: (client: LocalClient) => void): void {
  const sections = readSections(arena, record)
  for (const client of clients) {
    const route = readRoutes(arena, record).find(({ connection, flags }) => connection === client.connection && (flags & routeFlags.joined) !== 0)
    if (route !== undefined) { client.slot = route.slot; ask(client) }
    if (client.isCut) continue
    const own = readRoutes(arena, record).find(({ slot, section }) => slot === client.slot && section >= 0)
    const mine = sections.filter(({ stream }, index) => stream === roomStream || (own !== undefined && index === own.section))
    if (mine.length > 1) expectFrame(client.replication, mine.length)
    for (const { address, bytes } of mine) give(client, copyOf(arena, address, bytes))
  }
}

function deliverSnapshot(arena: Arena, clients: readonly LocalClient[], at: number): void {
  const words = Array.from({ length: snapshotWords }, (_, index) => arena.u32[(at >>> 2) + index])
  for (let target = 0; target < words[9]; target++) {
    const from = (at >>> 2) + snapshotWords + target * targetWords
    const client = clients.find(({ connection }) => connection === arena.u32[from])
    if (client === undefined) continue
    client.slot = arena.u32[from + 2]
    client.isCut = false
    if (words[1] === 1) expectSnapshot(client.replication, words[2] + words[3] * 2 ** 32, words[4] + words[5] * 2 ** 32)
    else expectSections(client.replication, words[2] + words[3] * 2 ** 32)
    for (let chunk = words[7]; chunk < words[7] + words[8];) {
      const bytes = arena.u32[chunk >>> 2], stream = arena.u32[(chunk >>> 2) + 1]
      if (stream === roomStream || stream === sessionStream(client.slot)) give(client, copyOf(arena, chunk + 8, bytes))
      chunk += 8 + (bytes + 7 & ~7)
    }
  }
}

