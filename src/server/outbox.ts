/**
 * What leaves a room, in order: frames and acks. Main thread. Reads a record's head and routes only; its sections go to the sockets as views of the very
 * bytes that the worker wrote. When every client has been handed a record, its seq is released, and history may be overwritten up to there.
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
import { readNacks, readReceivers, readRecordHead, readRoutes, readSections, recordAudience, routeFlags, type Route, type SectionRef } from '../wire/record.js'
import { roomStream } from '../wire/section.js'
import { writeNotice, writeOwn, writeOwnInto, writeResynced, type NackMessage } from '../wire/server-messages.js'
import { broadcastSection } from './broadcast.js'
import type { Client, RoomEntry } from './client.js'
import { leaveRoom } from './rooms.js'
import { askResync } from './catch-up.js'
import { durableOf, noteOwn, send, type Outbox } from './own-words.js'

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
  const isAnyDue = due.size > 0
  for (const client of room.bySlot.values()) {
    const own = isAnyDue ? due.get(client.slot) : undefined, isSilent = own === undefined && section === undefined
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

/** Refusals for a client that is being caught up wait until it is. Of more than it can still hold inputs, the oldest go untold. */
function owe(client: Client, nacks: readonly NackMessage[]): void {
  client.owedNacks.push(...nacks)
  if (client.owedNacks.length > heldInputsMax) client.owedNacks.splice(0, client.owedNacks.length - heldInputsMax)
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
