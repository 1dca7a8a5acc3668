/**
 * What the main thread does about a room when its ownership moves: blocks are opened and given back, clients are sent in, told and caught up, operators hear
 * of it. Main thread; driver.ts calls.
 */
import { StaleError } from '../backplane/backplane.js'
import { hasOwner } from '../backplane/ownership.js'
import { hearChannel } from './peers.js'
import { deliverOwn } from './outbox.js'
import { notify, tellDurable } from './own-words.js'
import type { DriverHooks } from './driver-calls.js'
import type { RoomEntry } from './client.js'
import type { Hearers } from './from-workers.js'
import { adoptState, beginRoom, dropBlock, forgetRoom } from './rooms.js'
import { hearOwner } from './forward.js'
import { refuse } from './refuse.js'

export function createHooks(hearers: Hearers, isStopping: () => boolean): DriverHooks {
  const { rooms, outbox, sessions, metrics, reports } = hearers
  const setDetached = (room: RoomEntry, isDetached: boolean): void => {
    if (room.isDetached === isDetached) return
    room.isDetached = isDetached
    reports.detached(room, isDetached)
    notify(outbox, room, isDetached ? 'detached' : 'attached')
  }
  return {
    open: (room) => beginRoom(rooms, room),
    adopt: (room, state) => adoptState(rooms, room, state),
    drop: (room) => {
      dropBlock(rooms, room)
      if (room.ownership.role !== 'idle') return
      reports.roomClosed(room, 'unneeded')
      forgetRoom(rooms, room, false)
    },
    deliver: (room, seq) => deliverOwn(outbox, room, seq),
    durable: (room) => tellDurable(outbox, room),
    ownerChanged: (room) => {
      if (room.isDetached && hasOwner(room.ownership) && !room.ownership.isDetached) setDetached(room, false)
      hearOwner(sessions, room)
    },
    tookOver: reports.tookOver,
    discarded: (room, count) => reports.discarded(room, count),
    detached: setDetached,
    notOpened: (room, code, cause) => rooms.onNotOpened(room, code, cause),
    subscribe: (room) => {
      room.unfollow()
      room.unfollow = rooms.follow(room)
    },
    onStored: reports.stored,
    // Another instance has the room, and stores it.
    onStoreFailed: (room, error) => { if (error instanceof StaleError) metrics.storesStale.inc(); else reports.storeFailed(room, error.message, isStopping()) },
  }
}

/** Hears a room's channel. */
export const followRoom = (hearers: Hearers) => (room: RoomEntry): (() => void) => hearers.rooms.driver.backplane.follow(room.id, {
  message: (bytes) => hearChannel(hearers, room, bytes),
  gap: () => { if (room.state !== 'closed') hearers.rooms.driver.happen(room, { kind: 'subscribed' }) },
})

/** A room does not open: whoever waits for it is told. */
export function roomNotOpened({ rooms, sessions, reports }: Hearers, room: RoomEntry, code: Parameters<Hearers['reports']['roomNotOpened']>[1], cause: string): void {
  if (room.state === 'closed') return
  reports.roomNotOpened(room, code, cause)
  dropBlock(rooms, room)
  forgetRoom(rooms, room, false)
  for (const client of [...room.clients.values()]) refuse(sessions, client, code)
}
