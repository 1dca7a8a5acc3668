/**
 * What leaves a room, in order: frames, acks, welcomes, snapshots and resyncs. Main thread. Reads a record's head and routes only; its
 * sections go to the sockets as views of the very bytes that the worker wrote. When every client has been handed a record, its seq is
 * released, and history may be overwritten up to there.
 */
import { assert } from '../base/assert.js'
import { errorText } from '../base/error-texts.js'
import { errorEntry, type ErrorCode } from '../base/errors.js'
import { isOn, leadsOver, type Fork } from '../base/lineage.js'
import { moveLane, openLane } from '../backplane/forwarding.js'
import { monotonicMs } from '../base/clock.js'
import { heldInputsMax } from '../base/limits.js'
import { snapshotKind, toWorker, wideWords } from '../memory/crossing.js'
import { atReleasedSeq, atSnapshotBusy } from '../memory/room-layout.js'
import { storeWide, storeWord } from '../memory/views.js'
import { readNacks, readReceivers, readRecordHead, readRoutes, readSections, recordAudience, routeFlags, type Route, type SectionRef } from '../wire/record.js'
import { roomStream, sessionStream } from '../wire/section.js'
import { writeNotice, writeOwn, writeOwnInto, writeResynced, writeWelcome, type NackMessage } from '../wire/server-messages.js'
import { broadcastSection, type Traffic } from './broadcast.js'
import type { Client, RoomEntry } from './client.js'
import { leaveRoom } from './rooms.js'
import type { Tokens } from './tokens.js'
import { tellSurely, wakeWorker, type SnapshotPost, type SnapshotTarget, type WorkerLink } from './worker-link.js'

export interface Outbox {
  readonly backlogBytes: number
  readonly traffic: Traffic
  readonly tokens: Tokens
  onResync(kind: 'sections' | 'snapshot'): void
  /** It has joined, or come back. */
  onWelcome(client: Client): void
  /** Its connection is about to end with `code`. */
  onDismiss(client: Client, code: string): void
  /** More waits for it than may. */
  onSlow(client: Client): void
}

/** `applied`: a new last input number, 0 if there is none. */
interface Due { own: Uint8Array | undefined; addressed: Uint8Array[]; nacks: NackMessage[]; applied: number }

const ownScratch = new Uint8Array(256)
const decoder = new TextDecoder()

/** Hands the record at `address` to the room's clients; a seq that was seen before is dropped. */
export function deliverRecord(outbox: Outbox, room: RoomEntry, address: number): void {
  const { arena } = room.link
  const head = readRecordHead(arena, address)
  if (head.seq <= room.lastSeq) return
  room.lastSeq = head.seq
  room.tick = head.tick
  room.parentEpoch = head.parentEpoch
  room.forkSeq = head.forkSeq
  const sections = readSections(arena, address)
  const routes = readRoutes(arena, address)
  const due = collectDue(room, address, sections, routes)
  const shared = sections.find(({ stream }) => stream === roomStream)
  const section = shared === undefined ? undefined : bytesOf(room, shared)
  for (const client of room.bySlot.values()) {
    const own = due.get(client.slot), isSilent = own === undefined && section === undefined
    if (client.state === 'live' && !isSilent && client.socket.buffered() > outbox.backlogBytes) { client.state = 'behind'; outbox.onSlow(client) }
    if (client.state !== 'live' || !goesOn(outbox, client, head)) {
      if (own !== undefined) owe(client, own.nacks)
      continue
    }
    client.seq = head.seq
    if (isSilent) continue
    if (own === undefined) broadcastSection(outbox.traffic, client, section!)
    else sendFrame(outbox, client, section, own, Math.max(head.durableSeq, durableOf(room)))
  }
  enterAndLeave(outbox, room, routes)
  storeWide(arena, room.base + atReleasedSeq, head.seq)
}

/** Own records up to `seq` may be told: to clients, and to those who asked for them. */
export function deliverOwn(outbox: Outbox, room: RoomEntry, seq: number): void {
  const { undelivered, answers } = room
  while (undelivered.length > 0 && undelivered[0].seq <= seq) deliverRecord(outbox, room, undelivered.shift()!.address)
  while (answers.length > 0 && answers[0].seq <= seq) answers.shift()!.send()
}

/** A live client that has seen everything up to the fork of a new epoch goes on in it, and is told; any other is behind. */
function goesOn(outbox: Outbox, client: Client, head: Fork): boolean {
  if (client.epoch === head.epoch) return true
  if (leadsOver(head, client)) {
    client.epoch = head.epoch
    send(outbox, client, writeResynced({ kind: snapshotKind.sections, epoch: client.epoch, seq: client.seq }))
    return true
  }
  client.state = 'behind'
  askResync(client)
  return false
}

const bytesOf = ({ link }: RoomEntry, { address, bytes }: SectionRef): Uint8Array => link.arena.u8.subarray(address, address + bytes)

/** What is due to single clients, by slot. */
function collectDue(room: RoomEntry, address: number, sections: readonly SectionRef[], routes: readonly Route[]): Map<number, Due> {
  const due = new Map<number, Due>(), nowMs = routes.length === 0 ? 0 : monotonicMs()
  const of = (slot: number): Due => {
    let entry = due.get(slot)
    if (entry === undefined) due.set(slot, entry = { own: undefined, addressed: [], nacks: [], applied: 0 })
    return entry
  }
  for (const route of routes) {
    const client = room.bySlot.get(route.slot)
    if (client?.connection !== route.connection || (route.flags & routeFlags.left) !== 0) continue
    const entry = of(route.slot)
    if (route.section >= 0) entry.own = bytesOf(room, sections[route.section])
    if (route.appliedThrough > client.appliedThrough) entry.applied = route.appliedThrough
    moveLane(room.forwarding, client.connection, route.appliedThrough, nowMs)
  }
  for (const { slot, number, address: at, bytes } of readNacks(room.link.arena, address)) {
    const [code, text] = decoder.decode(room.link.arena.u8.slice(at, at + bytes)).split('\n')
    of(slot).nacks.push({ number, code, text: text ?? '' })
  }
  for (const { slot, section } of readReceivers(room.link.arena, address)) {
    if (sections[section].audience === recordAudience.some) of(slot).addressed.push(bytesOf(room, sections[section]))
  }
  return due
}

/** A frame with something of the client's own: Own first, then its sections, in one cork. */
function sendFrame(outbox: Outbox, client: Client, section: Uint8Array | undefined, due: Due, durableSeq: number): void {
  const messages: Uint8Array[] = []
  if (section !== undefined) messages.push(section)
  if (due.own !== undefined) messages.push(due.own)
  messages.push(...due.addressed)
  if (messages.length === 0 && due.applied === 0 && due.nacks.length === 0) return
  client.appliedThrough = Math.max(client.appliedThrough, due.applied)
  client.socket.cork(() => {
    if (messages.length !== 1 || due.applied !== 0 || due.nacks.length > 0) {
      noteOwn(client, durableSeq)
      send(outbox, client, ownMessage(client, due, durableSeq, messages.length))
    }
    for (const message of messages) send(outbox, client, message)
  })
  outbox.traffic.deliveries++
}

function ownMessage(client: Client, due: Due, durableSeq: number, sections: number): Uint8Array {
  const own = { epoch: client.epoch, seq: client.seq, durableSeq, lastInput: client.appliedThrough, wanted: 0, sections }
  return due.nacks.length > 0 ? writeOwn({ ...own, nacks: due.nacks }) : ownScratch.subarray(0, writeOwnInto(ownScratch, own))
}

function send(outbox: Outbox, client: Client, message: Uint8Array): void {
  outbox.traffic.bytes += message.length
  client.socket.send(message)
}

/** Where there is a log, it says what is durable; else what is committed is. */
const durableOf = ({ type, durableSeq }: RoomEntry): number => type.durability.startsWith('ops') ? durableSeq : 0

function noteOwn(client: Client, durableSeq: number): void {
  client.ownSeq = client.seq
  client.durableTold = durableSeq
}

/** A number of the client's is answered without a record: refused before the journal, or asked for again. */
export function sendOwn(outbox: Outbox, client: Client, nacks: readonly NackMessage[], wanted: number): void {
  const { room, epoch, seq, appliedThrough: lastInput } = client
  const durableSeq = room !== undefined && room.type.durability.startsWith('ops') ? room.durableSeq : seq
  noteOwn(client, durableSeq)
  send(outbox, client, writeOwn({ epoch, seq, durableSeq, lastInput, wanted, sections: 0, nacks }))
}

/** The room is durable up to `room.durableSeq`: clients whose inputs are, and have not heard so, need not keep them. */
export function tellDurable(outbox: Outbox, room: RoomEntry): void {
  if (!room.type.durability.startsWith('ops')) return
  for (const client of room.bySlot.values()) if (client.state === 'live' && client.ownSeq > client.durableTold && room.durableSeq > client.durableTold) sendOwn(outbox, client, [], 0)
}

/** Something about the room that ends nothing. */
export function notify(outbox: Outbox, room: RoomEntry, code: ErrorCode): void {
  for (const client of room.bySlot.values()) if (client.state !== 'gone') send(outbox, client, writeNotice(code, errorText(code)))
}

/** Refusals for a client that is being caught up wait until it is. Of more than it can still hold inputs, the oldest go untold. */
function owe(client: Client, nacks: readonly NackMessage[]): void {
  client.owedNacks.push(...nacks)
  if (client.owedNacks.length > heldInputsMax) client.owedNacks.splice(0, client.owedNacks.length - heldInputsMax)
}

/** A client that is live again hears what became of its inputs meanwhile. */
function payOwed(outbox: Outbox, client: Client): void {
  const nacks = client.owedNacks
  if (client.owedThrough <= client.appliedThrough && nacks.length === 0) return
  client.appliedThrough = Math.max(client.appliedThrough, client.owedThrough)
  client.owedNacks = []
  sendOwn(outbox, client, nacks, 0)
}

/** Sessions that the record says have joined, come back, moved on or left. */
function enterAndLeave(outbox: Outbox, room: RoomEntry, routes: readonly Route[]): void {
  for (const { slot, connection, flags } of routes) {
    const client = room.clients.get(connection)
    if (client === undefined) continue
    if ((flags & routeFlags.joined) !== 0) {
      client.slot = slot
      room.bySlot.set(slot, client)
      // What was asked of an earlier state of the room was asked in vain.
      client.asked = false
      if (client.state !== 'live') askResync(client)
    } else if ((flags & routeFlags.replaced) !== 0) {
      dismiss(outbox, client, 'replaced')
    } else if ((flags & routeFlags.left) !== 0) {
      if (room.bySlot.get(slot) === client) room.bySlot.delete(slot)
      dismiss(outbox, client, (flags & routeFlags.closing) !== 0 ? 'room-closed' : 'session-ended')
    }
  }
}

/** Codes behind which the client may come back to its session; all others end the stay. */
const stays: ReadonlySet<string> = new Set(['flood', 'going-away', 'no-owner', 'worker-lost', 'auth-expired'])

/** Ends a client's connection with a Notice and the code's close. */
export function dismiss(outbox: Outbox, client: Client, code: string, text = ''): void {
  if (client.state === 'gone') return
  outbox.onDismiss(client, code)
  client.state = 'gone'
  send(outbox, client, writeNotice(code, text === '' ? errorText(code) : text))
  // Before the socket ends: its end is told at once, and would be taken for a lost connection.
  leaveRoom(client, stays.has(code) ? 1 : 0)
  client.socket.end(errorEntry(code).close ?? 4420, code)
}

/** Takes a snapshot, or missed sections, out of the room's area, and begins to hand it to those it is for. */
export function deliverSnapshot(outbox: Outbox, room: RoomEntry, post: SnapshotPost): void {
  const { arena } = room.link
  const shared: Uint8Array[] = []
  const own = new Map<number, Uint8Array[]>()
  const ordered: Uint8Array[] = []
  for (let at = post.address, end = at + post.bytes; at < end;) {
    const bytes = arena.u32[at >>> 2], stream = arena.u32[(at >>> 2) + 1]
    // Whoever wrote over an area that was posted has left lengths that lead anywhere, back to where they stand among them.
    assert(bytes > 0 && bytes <= end - at - 8, 'outbox: a snapshot is what was posted')
    const copy = arena.u8.slice(at + 8, at + 8 + bytes)
    ordered.push(copy)
    if (stream === roomStream) shared.push(copy)
    else own.set(stream, [...own.get(stream) ?? [], copy])
    at += 8 + (bytes + 7 & ~7)
  }
  storeWord(arena, room.base + atSnapshotBusy, 0)
  wakeWorker(room.link)
  const isMissed = post.kind === snapshotKind.sections
  for (const target of post.targets) {
    const client = room.clients.get(target.connection)
    if (client === undefined || client.state === 'gone' || client.state === 'live' || client.state === 'catching') continue
    begin(outbox, room, client, target, post, isMissed ? ordered : [...shared, ...own.get(sessionStream(target.slot)) ?? []])
  }
}

/** A Welcome to those who join or come back; what follows it is told to whoever has been here before. */
function begin(outbox: Outbox, room: RoomEntry, client: Client, target: SnapshotTarget, post: SnapshotPost, chunks: Uint8Array[]): void {
  const isJoin = client.state === 'joining', isKnown = !isJoin || client.request?.resume !== undefined
  const position = { epoch: post.epoch, seq: post.seq }
  client.slot = target.slot
  client.asked = false
  room.bySlot.set(target.slot, client)
  client.owedThrough = target.lastInput
  if (isJoin) {
    client.appliedThrough = target.lastInput
    openLane(room.forwarding, client.connection, target.lastInput, client.request?.resume?.lastSent ?? 0, monotonicMs())
  } else moveLane(room.forwarding, client.connection, target.lastInput, monotonicMs())
  if (isJoin) outbox.onWelcome(client)
  if (isKnown) outbox.onResync(post.kind === snapshotKind.sections ? 'sections' : 'snapshot')
  // Whoever has just come back reads it from the Welcome.
  const rewound = !isJoin && client.epoch !== 0 && !leadsOver({ ...room, epoch: post.epoch }, client) && !isOn(room.ownership.lineage, client)
  Object.assign(client, position)
  client.chunks = chunks
  client.state = 'catching'
  if (isJoin) client.issued = client.generation = target.generation + 1
  client.socket.cork(() => {
    if (isJoin) send(outbox, client, welcome(outbox, room, client, target, post))
    if (isJoin && room.isDetached) send(outbox, client, writeNotice('detached', errorText('detached')))
    if (isKnown) send(outbox, client, writeResynced({ kind: post.kind, rewound, ...position }))
    handOut(outbox, client)
  })
}

const welcome = (outbox: Outbox, room: RoomEntry, client: Client, target: SnapshotTarget, post: SnapshotPost): Uint8Array => writeWelcome({
  epoch: post.epoch, seq: post.seq, parentEpoch: room.parentEpoch, forkSeq: room.forkSeq, tick: post.tick,
  tickHz: room.type.tickHz, flushHz: room.type.flushHz, roomId: room.id, sessionId: client.sessionId, slot: client.slot, lastInput: target.lastInput,
  schemaHash: room.type.hash, schema: client.wantsTables ? JSON.stringify(room.type.tables) : '', generation: client.issued,
  token: outbox.tokens.issue({ roomId: room.id, sessionId: client.sessionId, userId: client.userId, generation: client.issued }),
})

/** Sends chunks while the socket takes them; behind the last one the client is live, or asks for what came meanwhile. */
export function handOut(outbox: Outbox, client: Client): void {
  while (client.chunks.length > 0 && client.socket.buffered() <= outbox.backlogBytes) send(outbox, client, client.chunks.shift()!)
  if (client.chunks.length > 0 || client.state !== 'catching' || client.room === undefined) return
  if (client.seq !== client.room.lastSeq) {
    client.state = 'behind'
    return askResync(client)
  }
  client.state = 'live'
  payOwed(outbox, client)
}

/** The client's position goes to the room's worker, which answers with what is missing, or a snapshot. */
export function askResync(client: Client): void {
  const { room } = client
  if (room === undefined || client.asked || room.base === 0) return
  client.asked = true
  tellSurely(room.link, toWorker.resync, [room.key, client.slot, ...wideWords(client.connection), ...wideWords(client.epoch), ...wideWords(client.seq)])
}

/** The socket has taken what was queued. */
export function resumeClient(outbox: Outbox, client: Client): void {
  if (client.state === 'catching') handOut(outbox, client)
  else if (client.state === 'behind' && !client.asked && client.socket.buffered() === 0) askResync(client)
}

/** A worker has a successor: what its predecessor was asked and had not answered is asked again. */
export function askAgain(link: WorkerLink, rooms: Iterable<RoomEntry>): void {
  for (const room of rooms) {
    if (room.link !== link) continue
    storeWord(link.arena, room.base + atSnapshotBusy, 0)
    for (const client of room.bySlot.values()) {
      if (!client.asked) continue
      client.asked = false
      askResync(client)
    }
  }
}
