/**
 * What workers tell over their rings, and what becomes of it: rooms that opened, failed or closed, records and snapshots for clients, joins
 * and inputs that were refused, rooms to be stored. Main thread.
 */
import { wallMs } from '../base/clock.js'
import { errorList, type ErrorCode } from '../base/errors.js'
import { freeBytes, openBlocks } from '../memory/arena.js'
import { snapshotKind, toWorker } from '../memory/crossing.js'
import { atSnapshotBusy } from '../memory/room-layout.js'
import { storeWord } from '../memory/views.js'
import { unpackFields } from '../wire/fields.js'
import type { RoomEntry } from './client.js'
import type { Metrics } from './metrics.js'
import { deliverRecord, deliverSnapshot, dismiss, type Outbox } from './outbox.js'
import type { Reports } from './reports.js'
import { askOpen, forgetRoom, openElsewhere, storeSnapshot, type Rooms } from './rooms.js'
import { findAgain, nack, sendJoin, type Sessions } from './session.js'
import { tellSurely, wakeWorker, type LinkHandlers, type WorkerLink } from './worker-link.js'

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
      room.base = address
      if (room.state !== 'open') reports.roomOpened(room)
      room.state = 'open'
      room.stored = undefined
      for (const client of room.pending.splice(0)) sendJoin(sessions, client)
      tellSurely(room.link, toWorker.begin, [key])
    }),
    failed: (_, key, code) => withRoom(key, (room) => {
      if (code === 'open-again' ? askOpen(rooms, room) : code === 'no-space' && openElsewhere(rooms, room)) return
      const isFull = code === 'no-space' || code === 'open-again'
      rooms.onNotOpened(room, isFull ? 'no-space' : 'room-failed', isFull ? noSpace(hearers, room) : 'its code failed; the lines before say where')
    }),
    record: (link, key, address) => withRoom(key, (room) => {
      // A room's first record comes just before the answer to `open` that tells its block.
      if (room.base === 0) room.base = openBlocks(link.arena).find((block) => block.roomKey === key)!.address
      metrics.records.inc()
      deliverRecord(outbox, room, address)
    }),
    snapshot: (_, post) => withRoom(post.roomKey, (room) => {
      const kind = post.kind === snapshotKind.sections ? 'sections' : 'snapshot'
      metrics.snapshots.inc({ kind })
      metrics.snapshotBytes.inc({ kind }, post.bytes)
      deliverSnapshot(outbox, room, post)
    }),
    refused: (_, key, connection, code) => withRoom(key, (room) => {
      const client = room.clients.get(connection)
      if (client === undefined) return
      if (code !== 'room-closed') {
        if (code in errorList) sessions.refused(client, code as ErrorCode)
        return dismiss(outbox, client, code)
      }
      findAgain(sessions, client, room, code)
    }),
    nack: (_, key, __, connection, number, code) => withRoom(key, (room) => {
      const client = room.clients.get(connection)
      if (client !== undefined) nack(sessions, client, number, code as 'bad-input')
    }),
    listing: (_, key, isLocked, packed) => withRoom(key, (room) => {
      room.isLocked = isLocked
      room.listing = unpackFields(room.type.listing, new DataView(packed.buffer), 0, packed.length) ?? room.listing
    }),
    store: (link, { roomKey, epoch, seq, tick, address, bytes }) => withRoom(roomKey, (room) => {
      const data = link.arena.u8.slice(address, address + bytes)
      storeWord(link.arena, room.base + atSnapshotBusy, 0)
      wakeWorker(link)
      storeSnapshot(rooms, room, { data, epoch, seq, tick, ts: wallMs() })
    }),
    closed: (_, key, isKept, code) => withRoom(key, (room) => {
      reports.roomClosed(room, code === 'room-poisoned' ? 'poisoned' : isKept || room.clients.size === 0 ? 'empty' : 'closed')
      if (!isKept && room.type.durability !== 'none') rooms.backplane.remove(room.id, room.epoch).catch((error: Error) => rooms.onStoreFailed(room, error.message))
      for (const client of [...room.clients.values()]) {
        if (client.state === 'joining') findAgain(sessions, client, room, code)
        else dismiss(outbox, client, code)
      }
      forgetRoom(rooms, room, true)
    }),
  }
}

const megabytes = (bytes: number): string => `${Math.round(bytes / 1024 ** 2 * 10) / 10} MB`

/** Why no worker takes a room, in numbers. */
function noSpace({ links }: Hearers, { type }: RoomEntry): string {
  const largest = Math.max(0, ...links.filter(({ usable }) => usable).map(({ arena }) => freeBytes(arena).largest))
  return `it takes a block of ${megabytes(type.blockBytes)}, the largest free stretch of an arena is ${megabytes(largest)}; see --arena-bytes and --workers, or a smaller capacity of its tables`
}
