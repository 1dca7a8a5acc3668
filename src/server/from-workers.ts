/**
 * What workers tell over their rings, and what becomes of it: rooms that opened, failed or closed, records and snapshots for clients, joins
 * and inputs that were refused, rooms to be stored. Main thread.
 */
import { instanceOf } from '../base/connection-number.js'
import { errorList, type ErrorCode } from '../base/errors.js'
import { freeBytes, openBlocks } from '../memory/arena.js'
import { answerKind, snapshotKind, toWorker } from '../memory/crossing.js'
import { atReleasedSeq, atSnapshotBusy } from '../memory/room-layout.js'
import { storeWide, storeWord } from '../memory/views.js'
import { isOn, positionOf, upTo } from '../base/lineage.js'
import { unpackFields } from '../wire/fields.js'
import { readRecordHead } from '../wire/record.js'
import type { RoomEntry } from './client.js'
import { enlistChanged } from './directory.js'
import type { Metrics } from './metrics.js'
import { askResync, deliverSnapshot } from './catch-up.js'
import { deliverRecord, dismiss } from './outbox.js'
import type { Outbox } from './own-words.js'
import type { Reports } from './reports.js'
import { replicaBroke } from './driver.js'
import { askOpen, forgetRoom, openElsewhere, storeSnapshot, type Rooms } from './rooms.js'
import { hearOwner, hearWanted } from './forward.js'
import { nack, type Sessions } from './refuse.js'
import { findAgain, findAnother } from './session.js'
import { tellSurely, wakeWorker, type AnswerPost, type LinkHandlers, type WorkerLink } from './worker-link.js'

export interface Hearers {
  readonly rooms: Rooms
  readonly outbox: Outbox
  readonly sessions: Sessions
  readonly metrics: Metrics
  readonly reports: Reports
  readonly links: readonly WorkerLink[]
}

export function createLinkHandlers(hearers: Hearers): LinkHandlers {
  const { rooms, outbox, sessions, metrics, reports } = hearers
  const withRoom = (key: number, run: (room: RoomEntry) => void): void => {
    const room = rooms.byKey.get(key)
    if (room !== undefined) run(room)
  }
  return {
    opened: (_, key, address) => withRoom(key, (room) => {
      const isFirst = room.state !== 'open'
      room.base = address
      if (isFirst && room.begin !== undefined) reports.roomOpened(room)
      room.state = 'open'
      room.begin = undefined
      // One of another version's layout begins in a new block when it is taken over: what was asked of the old one is asked again.
      if (!isFirst) for (const client of room.bySlot.values()) if (client.asked) { client.asked = false; askResync(client) }
      if (isFirst) {
        // Whoever was here before its state was replaced.
        for (const client of room.bySlot.values()) if (client.state === 'behind') askResync(client)
        hearOwner(sessions, room)
      }
      tellSurely(room.link, toWorker.begin, [key])
    }),
    failed: (_, key, code) => withRoom(key, (room) => {
      const { begin } = room
      if (begin !== undefined && (code === 'open-again' ? askOpen(rooms, room) : code === 'no-space' && openElsewhere(rooms, room))) return
      // Of one that could not be taken over the replica is still there.
      if (begin !== undefined) room.isPlaced = false
      const isFull = code === 'no-space' || code === 'open-again'
      if (isFull) return rooms.onNotOpened(room, 'no-space', noSpace(hearers, room))
      // Another instance may be able to, where this one has other code.
      if (begin?.follows === true) return rooms.onNotOpened(room, 'no-owner', 'its owner runs other code; the lines before say what differs')
      rooms.onNotOpened(room, 'room-failed', 'its code failed; the lines before say where')
    }),
    record: (link, key, address, bytes) => withRoom(key, (room) => {
      // A room's first record comes just before the answer to `open` that tells its block.
      if (room.base === 0) room.base = openBlocks(link.arena).find((block) => block.roomKey === key)!.address
      metrics.records.inc()
      hearRecord(hearers, room, address, bytes)
    }),
    snapshot: (_, post) => withRoom(post.roomKey, (room) => {
      const kind = post.kind === snapshotKind.sections ? 'sections' : 'snapshot'
      metrics.snapshots.inc({ kind })
      metrics.snapshotBytes.inc({ kind }, post.bytes)
      deliverSnapshot(outbox, room, post)
    }),
    refused: (_, key, connection, code) => withRoom(key, (room) => {
      if (isRemote(room, connection)) return void room.peers.send(instanceOf(connection), room, { kind: 'turnedAway', connection, code })
      turnAway(hearers, room, connection, code)
    }),
    nack: (_, key, slot, connection, number, code) => withRoom(key, (room) => {
      if (isRemote(room, connection)) return void room.peers.send(instanceOf(connection), room, { kind: 'unjournaled', slot, connection, number, code })
      takeNack(sessions, room, connection, number, code)
    }),
    behind: (_, key, why) => withRoom(key, (room) => {
      reports.replicaBroke(room, why)
      replicaBroke(rooms.driver, room)
    }),
    answer: (link, post) => withRoom(post.roomKey, (room) => {
      const data = link.arena.u8.slice(post.address, post.address + post.bytes)
      storeWord(link.arena, room.base + atSnapshotBusy, 0)
      wakeWorker(link)
      answerPeer(room, post, data)
    }),
    halted: (_, key) => withRoom(key, (room) => rooms.driver.happen(room, { kind: 'halted' })),
    listing: (_, key, isLocked, sessions, packed) => withRoom(key, (room) => {
      Object.assign(room, { isLocked, sessions })
      room.listing = unpackFields(room.type.listing, new DataView(packed.buffer), 0, packed.length) ?? room.listing
      enlistChanged(rooms.driver, room)
    }),
    store: (link, { roomKey, address, bytes, ...at }) => withRoom(roomKey, (room) => {
      const data = link.arena.u8.slice(address, address + bytes)
      storeWord(link.arena, room.base + atSnapshotBusy, 0)
      wakeWorker(link)
      storeSnapshot(rooms, room, at, data)
    }),
    closed: (_, key, isKept, code) => withRoom(key, (room) => {
      reports.roomClosed(room, code === 'room-poisoned' ? 'poisoned' : isKept || room.clients.size === 0 ? 'empty' : 'closed')
      const { epoch } = room.ownership
      // Whoever follows it must not open it again from what is there.
      if (!isKept && epoch !== 0 && (room.type.durability !== 'none' || room.peers.instance !== 0)) {
        rooms.driver.backplane.remove(room.id, epoch).catch((error: Error) => rooms.driver.hooks.onStoreFailed(room, error))
      }
      for (const client of [...room.clients.values()]) {
        if (client.state === 'joining') findAgain(sessions, client, room, code)
        else dismiss(outbox, client, code)
      }
      forgetRoom(rooms, room, true)
    }),
  }
}

const isRemote = ({ peers }: RoomEntry, connection: number): boolean => instanceOf(connection) !== peers.instance

/** A record that the room's worker has published: this instance's own, or one of the owner's that its replica has taken. */
function hearRecord({ rooms, outbox }: Hearers, room: RoomEntry, address: number, bytes: number): void {
  const { arena } = room.link, { epoch, seq } = readRecordHead(arena, address), { ownership, type, peers } = room
  if (seq <= room.heardSeq) return
  room.heardSeq = seq
  if (ownership.role === 'owning' || ownership.role === 'handing') {
    const isLogged = type.durability.startsWith('ops')
    // A copy: its way to others may take longer than history can wait.
    if (peers.instance !== 0 || isLogged) keepOutgoing(room, seq, rooms.form(arena.u8.slice(address, address + bytes), type))
    room.undelivered.push({ seq, address })
    rooms.driver.happen(room, { kind: 'flushed', seq })
  } else if (ownership.position === undefined || seq > ownership.position.seq || !isOn(ownership.lineage, { epoch, seq })) {
    // Made before the worker has heard that the room is not this instance's any more: nobody has seen it.
    storeWide(arena, room.base + atReleasedSeq, seq)
    replicaBroke(rooms.driver, room)
  } else deliverRecord(outbox, room, address)
}

/** Records that wait for their log; beyond it the room is stored, and the log goes on from there. So an outage fills no memory. */
const outgoingMax = 64

function keepOutgoing({ outgoing }: RoomEntry, seq: number, bytes: Uint8Array): void {
  outgoing.set(seq, bytes)
  if (outgoing.size > outgoingMax) for (const first of outgoing.keys()) { outgoing.delete(first); break }
}

/** A join or resume that the room refuses, or an end that another instance has told. */
export function turnAway({ rooms, outbox, sessions }: Pick<Hearers, 'rooms' | 'outbox' | 'sessions'>, room: RoomEntry, connection: number, code: string): void {
  const client = room.clients.get(connection)
  if (client === undefined) return
  if (code === 'room-closed') {
    if (room.ownership.role === 'owning') return findAgain(sessions, client, room, code)
    // Another instance is closing it: as soon as it has, the room opens anew.
    room.pending.add(client)
    return rooms.driver.happen(room, { kind: 'time' })
  }
  if (code === 'room-full' && findAnother(sessions, client, room)) return
  if (code in errorList) sessions.refused(client, code as ErrorCode)
  dismiss(outbox, client, code)
}

/** An input that did not reach the journal: refused, or wanted, and everything behind it. */
export function takeNack(sessions: Sessions, room: RoomEntry, connection: number, number: number, code: string): void {
  const client = room.clients.get(connection)
  if (client === undefined) return
  if (code === 'wanted') hearWanted(sessions, client, number)
  else nack(sessions, client, number, code as ErrorCode)
}

/** Bytes of one message to another instance. */
const partBytes = 1024 * 1024

/** What an instance has missed, as the worker has written it; of records that may not be told yet, when they may. */
function answerPeer(room: RoomEntry, { request: id, kind, epoch, seq, parentEpoch, forkSeq, tick }: AnswerPost, data: Uint8Array): void {
  const asked = room.fetches.get(id), { ownership, peers, type } = room
  room.fetches.delete(id)
  if (asked === undefined) return
  const { to, request } = asked, position = positionOf({ epoch, seq, parentEpoch, forkSeq }), lineage = upTo(ownership.lineage, position)
  const send = (): void => {
    if (kind === answerKind.records) return void peers.send(to, room, { kind: 'records', request, data })
    const parts = Math.max(1, Math.ceil(data.length / partBytes))
    for (let part = 0; part < parts; part++) {
      peers.send(to, room, { kind: 'state', request, position, lineage, tick, part, parts, data: data.subarray(part * partBytes, (part + 1) * partBytes) })
    }
  }
  if (type.durability === 'ops-sync' && ownership.role !== 'following' && seq > room.at.seq) room.answers.push({ seq, send })
  else send()
}

const megabytes = (bytes: number): string => `${Math.round(bytes / 1024 ** 2 * 10) / 10} MB`

/** Why no worker takes a room, in numbers. */
function noSpace({ links }: Hearers, { type }: RoomEntry): string {
  const largest = Math.max(0, ...links.filter(({ usable }) => usable).map(({ arena }) => freeBytes(arena).largest))
  return `it takes a block of ${megabytes(type.blockBytes)}, the largest free stretch of an arena is ${megabytes(largest)}; see --arena-bytes and --workers, or a smaller capacity of its tables`
}
