/**
 * Looking for an owner, or becoming it: one call asks Redis who owns the room, and takes it if nobody does and this instance may. Pure.
 *
 * Whoever has no replica leaves a room whose owner died to those who may have one, for half a lease. Behind an outage, rooms are left to those who
 * ran them, for a whole one.
 */
import type { Turn } from './protocol.js'
import { ask } from './replica.js'

/** What was refused for no reason of its own is tried again after so long. Where a lease never ends, too. */
export const againMs = (leaseMs: number): number => Math.min(leaseMs / 10, 500)

/** Soon, and not at the same moment as everybody else. */
export function lookSoon<B>({ room, nowMs }: Turn<B>, afterMs = 0): void {
  room.claimAtMs = nowMs + afterMs + room.settings.random() * againMs(room.settings.leaseMs) / 2
}

/** Asks Redis who owns the room, and takes it if nobody does and this instance may. */
export function claim<B>({ room, nowMs, effects }: Turn<B>): void {
  if (room.isClaiming || !room.isReachable) return
  room.isClaiming = true
  room.claimAtMs = Infinity
  const mayTake = !room.isDraining && !room.isOlder && nowMs >= room.claimNotBeforeMs
  const isOrphan = room.position !== undefined || nowMs >= room.orphanedAtMs
  effects.push({ kind: 'claim', take: !mayTake ? 'nothing' : isOrphan ? 'orphaned' : 'free', seen: room.seen, sentMs: nowMs })
}

/** Somebody else owns the room, as Redis says. */
export function hearHeld<B>(turn: Turn<B>, owner: number, epoch: number, leftMs: number): void {
  const { room } = turn
  room.orphanedAtMs = Infinity
  lookSoon(turn, Math.min(leftMs, room.settings.leaseMs))
  if (epoch < room.seen) return ask(turn, owner)
  if (owner !== room.owner) Object.assign(room, { owner, isOwnerRunning: false, question: undefined, presentAtMs: turn.nowMs })
  room.seen = epoch
  if (room.question === undefined) ask(turn, owner)
}

/** Nobody owns the room: who has no replica leaves it to those who may have one for half a lease. */
export function hearUnowned<B>(turn: Turn<B>): void {
  const { room, nowMs } = turn
  room.owner = 0
  room.isOwnerRunning = false
  if (room.orphanedAtMs === Infinity) room.orphanedAtMs = nowMs + room.settings.leaseMs / 2
  const waitMs = room.position === undefined ? room.orphanedAtMs - nowMs : 0
  lookSoon(turn, Math.max(waitMs, room.claimNotBeforeMs - nowMs, againMs(room.settings.leaseMs)))
}
