/**
 * What leaves a room, in order: frames and acks. Main thread. Reads a record's head and routes only; its sections go to the sockets as views of the very
 * bytes that the worker wrote: to clients in step by one publish (broadcast.ts), to whoever has something of its own or is apart one by one. When every client
 * has been handed a record, its seq is released, and history may be overwritten up to there.
 */
import { errorText } from '../base/error-texts.js'
import { errorEntry } from '../base/errors.js'
import { leadsOver, type Fork } from '../base/lineage.js'
import { moveLane } from '../backplane/forwarding.js'
import { monotonicMs } from '../base/clock.js'
import { heldInputsMax } from '../base/limits.js'
import { snapshotKind } from '../memory/crossing.js'
import { atReleasedSeq } from '../memory/room-layout.js'
import { storeWide } from '../memory/views.js'
import { fallBehind, disband, isInStep, lookAtBacklogs, publishSection, seat, sendSection, stepIn } from './broadcast.js'
import { readNacks, readReceivers, readRecordHead, readRoutes, readSections, recordAudience, routeFlags, type RecordHead, type Route, type SectionRef } from '../wire/record.js'
import { roomStream } from '../wire/section.js'
import { writeNotice, writeOwn, writeOwnInto, writeResynced, type NackMessage } from '../wire/server-messages.js'
import type { Client, Due, RoomEntry } from './client.js'
import { leaveRoom } from './rooms.js'
import { askResync } from './catch-up.js'
import { durableOf, noteOwn, send, type Outbox } from './own-words.js'

const ownScratch = new Uint8Array(256)
const decoder = new TextDecoder()

/** Hands the record at `address` to the room's clients; a seq that was seen before is dropped. */
export function deliverRecord(outbox: Outbox, room: RoomEntry, address: number): void {
  const { arena } = room.link
  const head = readRecordHead(arena, address)
  if (head.seq <= room.at.seq) return
  const sections = readSections(arena, address)
  const routes = readRoutes(arena, address)
  const due = collectDue(room, address, sections, routes)
  const shared = sections.find(({ stream }) => stream === roomStream)
  const section = shared === undefined ? undefined : bytesOf(room, shared)
  // A new epoch is told to each of them.
  if (head.epoch !== room.at.epoch) disband(room)
  lookAtBacklogs(outbox, room, bytesForClients(sections))
  room.at.epoch = head.epoch
  room.at.seq = head.seq
  room.tick = head.tick
  room.parentEpoch = head.parentEpoch
  room.forkSeq = head.forkSeq
  const durableSeq = Math.max(head.durableSeq, durableOf(room))
  serveInStep(outbox, room, section, due, durableSeq)
  if (room.apart.size > 0) serveApart(outbox, room, head, section, durableSeq)
  for (const { client } of due) client.due = undefined
  enterAndLeave(outbox, room, routes)
  storeWide(arena, room.base + atReleasedSeq, head.seq)
}

/** More than any client gets of them. */
function bytesForClients(sections: readonly SectionRef[]): number {
  let sum = 0
  for (const { audience, bytes } of sections) if (audience !== recordAudience.server) sum += bytes
  return sum
}

/** Where more than one in so many has something of its own, each is sent to: to take a client out of a publish and back costs about what a send does. */
const sendsPerPublish = 4

function serveInStep(outbox: Outbox, room: RoomEntry, section: Uint8Array | undefined, due: readonly Due[], durableSeq: number): void {
  let withOwn = 0
  for (const { client } of due) if (isInStep(room, client)) withOwn++
  if (section === undefined) {
    for (const own of due) if (isInStep(room, own.client)) sendFrame(outbox, own, section, durableSeq)
  } else if ((withOwn + 1) * sendsPerPublish <= room.inStep) {
    // A frame leaves whole: whoever gets more than the section gets all of it by itself.
    for (const { client } of due) if (isInStep(room, client)) client.socket.unsubscribe(room.topic)
    publishSection(outbox, room, section, room.inStep - withOwn)
    for (const own of due) {
      if (!isInStep(room, own.client)) continue
      sendFrame(outbox, own, section, durableSeq)
      own.client.socket.subscribe(room.topic)
    }
  } else if (room.inStep > 0) {
    for (const client of room.bySlot.values()) {
      if (!isInStep(room, client)) continue
      if (client.due === undefined) sendSection(outbox, client, section)
      else sendFrame(outbox, client.due, section, durableSeq)
    }
  }
}

/** Whoever is live among them is in step with this record. */
function serveApart(outbox: Outbox, room: RoomEntry, head: RecordHead, section: Uint8Array | undefined, durableSeq: number): void {
  for (const client of room.apart) {
    const { due } = client, isSilent = due === undefined && section === undefined
    if (client.state === 'live' && !isSilent && client.socket.buffered() > outbox.backlogBytes) fallBehind(outbox, room, client)
    if (client.state !== 'live' || !goesOn(outbox, client, head)) {
      if (due !== undefined) owe(client, due.nacks)
      continue
    }
    stepIn(room, client)
    if (due !== undefined) sendFrame(outbox, due, section, durableSeq)
    else if (section !== undefined) sendSection(outbox, client, section)
  }
}

/** Own records up to `seq` may be told: to clients, and to those who asked for them. */
export function deliverOwn(outbox: Outbox, room: RoomEntry, seq: number): void {
  const { undelivered, answers } = room
  while (undelivered.length > 0 && undelivered[0].seq <= seq) deliverRecord(outbox, room, undelivered.shift()!.address)
  while (answers.length > 0 && answers[0].seq <= seq) answers.shift()!.send()
}

/** A live client that has seen everything up to the fork of a new epoch goes on in it, and is told; any other is behind. */
function goesOn(outbox: Outbox, client: Client, head: Fork): boolean {
  if (client.at.epoch === head.epoch) return true
  if (leadsOver(head, client.at)) {
    send(outbox, client, writeResynced({ kind: snapshotKind.sections, epoch: head.epoch, seq: client.at.seq }))
    return true
  }
  client.state = 'behind'
  askResync(client)
  return false
}

const bytesOf = ({ link }: RoomEntry, { address, bytes }: SectionRef): Uint8Array => link.arena.u8.subarray(address, address + bytes)

/** Shared: what is added to it is the first of a list of its own. */
const nothing: never[] = []

function added<T>(list: T[], item: T): T[] {
  if (list.length === 0) return [item]
  list.push(item)
  return list
}

/** What is due to single clients; each knows its own. */
function collectDue(room: RoomEntry, address: number, sections: readonly SectionRef[], routes: readonly Route[]): readonly Due[] {
  const { arena } = room.link, nacks = readNacks(arena, address), receivers = readReceivers(arena, address)
  if (routes.length + nacks.length + receivers.length === 0) return nothing
  const due: Due[] = [], nowMs = monotonicMs()
  const of = (client: Client): Due => {
    if (client.due === undefined) due.push(client.due = { client, own: undefined, addressed: nothing, nacks: nothing, applied: 0 })
    return client.due
  }
  for (const route of routes) {
    const client = room.bySlot.get(route.slot)
    if (client?.connection !== route.connection || (route.flags & routeFlags.left) !== 0) continue
    const entry = of(client)
    if (route.section >= 0) entry.own = bytesOf(room, sections[route.section])
    if (route.appliedThrough > client.appliedThrough) entry.applied = route.appliedThrough
    moveLane(room.forwarding, client.connection, route.appliedThrough, nowMs)
  }
  for (const { slot, number, address: at, bytes } of nacks) {
    const client = room.bySlot.get(slot)
    if (client === undefined) continue
    const [code, text] = decoder.decode(arena.u8.slice(at, at + bytes)).split('\n'), entry = of(client)
    entry.nacks = added(entry.nacks, { number, code, text: text ?? '' })
  }
  for (const { slot, section } of receivers) {
    const client = room.bySlot.get(slot)
    if (client === undefined || sections[section].audience !== recordAudience.some) continue
    const entry = of(client)
    entry.addressed = added(entry.addressed, bytesOf(room, sections[section]))
  }
  return due
}

/** The frame that is being sent. One object and one function, used again: with an input a tick every client has something of its own. */
const frame: { outbox: Outbox; due: Due; section: Uint8Array | undefined; durableSeq: number } = { outbox: undefined!, due: undefined!, section: undefined, durableSeq: 0 }

/** A frame with something of the client's own: Own first, then its sections, in one cork. */
function sendFrame(outbox: Outbox, due: Due, section: Uint8Array | undefined, durableSeq: number): void {
  const { client, own, addressed, nacks, applied } = due
  if (section === undefined && own === undefined && addressed.length === 0 && applied === 0 && nacks.length === 0) return
  client.appliedThrough = Math.max(client.appliedThrough, applied)
  frame.outbox = outbox
  frame.due = due
  frame.section = section
  frame.durableSeq = durableSeq
  client.socket.cork(writeFrame)
  outbox.traffic.deliveries++
}

function writeFrame(): void {
  const { outbox, section, durableSeq, due: { client, own, addressed, nacks, applied } } = frame
  const sections = (section === undefined ? 0 : 1) + (own === undefined ? 0 : 1) + addressed.length
  if (sections !== 1 || applied !== 0 || nacks.length > 0) {
    noteOwn(client, durableSeq)
    send(outbox, client, ownMessage(client, nacks, durableSeq, sections))
  }
  if (section !== undefined) send(outbox, client, section)
  if (own !== undefined) send(outbox, client, own)
  for (const message of addressed) send(outbox, client, message)
}

function ownMessage({ at: { epoch, seq }, appliedThrough: lastInput }: Client, nacks: readonly NackMessage[], durableSeq: number, sections: number): Uint8Array {
  const own = { epoch, seq, durableSeq, lastInput, wanted: 0, sections }
  return nacks.length > 0 ? writeOwn({ ...own, nacks }) : ownScratch.subarray(0, writeOwnInto(ownScratch, own))
}

/** Refusals for a client that is being caught up wait until it is. Of more than it can still hold inputs, the oldest go untold. */
function owe(client: Client, nacks: readonly NackMessage[]): void {
  client.owedNacks.push(...nacks)
  if (client.owedNacks.length > heldInputsMax) client.owedNacks.splice(0, client.owedNacks.length - heldInputsMax)
}

/** Sessions that the record says have joined, come back, moved on or left. */
function enterAndLeave(outbox: Outbox, room: RoomEntry, routes: readonly Route[]): void {
  for (const { slot, connection, flags } of routes) {
    // Most speak of an input that was applied.
    const client = flags === 0 ? undefined : room.clients.get(connection)
    if (client === undefined) continue
    if ((flags & routeFlags.joined) !== 0) {
      seat(room, slot, client)
      // What was asked of an earlier state of the room was asked in vain.
      client.asked = false
      if (client.state !== 'live') askResync(client)
    } else if ((flags & routeFlags.replaced) !== 0) {
      dismiss(outbox, client, 'replaced')
    } else if ((flags & routeFlags.left) !== 0) {
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
