/**
 * An owner's lease: renewed and shown with every beat, and over, as far as this instance goes, before anybody else can win it. Pure.
 *
 * Invariant: the lease ends a margin before one lease's time from when its last successful claim or renewal was *sent*, by the monotonic clock.
 */
import { lookSoon } from './claiming.js'
import { beatMs, becomeEdge } from './follow.js'
import type { Of, Turn } from './protocol.js'
import { ask } from './replica.js'

/** A lease ends this much early: clocks of two machines do not run at one speed. */
export const leaseEnd = (sentMs: number, leaseMs: number): number => leaseMs === Infinity ? Infinity : sentMs + leaseMs - Math.max(50, leaseMs / 10)

/** Every beat: renew, say that the room lives, and look who else does. */
export function tickLease<B>(turn: Turn<B>): void {
  const { room, nowMs, effects } = turn
  const { settings: { leaseMs, instance }, role, epoch } = room
  if (role !== 'gathering' && !room.isDetached && nowMs >= room.leaseEndMs) {
    room.isDetached = true
    effects.push({ kind: 'detached' })
  }
  if (nowMs < room.renewAtMs || !room.isReachable) return
  room.renewAtMs = nowMs + beatMs(leaseMs)
  if (!room.isRenewing) {
    room.isRenewing = true
    effects.push({ kind: 'renew', epoch, sentMs: nowMs })
  }
  if (role === 'gathering' || room.isDetached) return
  beat(turn)
  for (const [instanceId, { heardMs }] of room.peers) if (nowMs - heardMs >= leaseMs) room.peers.delete(instanceId)
  if (nowMs >= room.sweepFromMs) effects.push({ kind: 'sweep', alive: [instance, ...room.peers.keys()] })
}

function beat<B>({ room, effects }: Turn<B>): void {
  const { parentEpoch, forkSeq } = room.lineage.at(-1)!
  // With ops-sync nobody hears of what the log may not have.
  const seq = room.settings.durability === 'ops-sync' ? Math.max(forkSeq, room.loggedSeq) : room.position!.seq
  effects.push({ kind: 'beat', head: { epoch: room.epoch, seq, parentEpoch, forkSeq }, durableSeq: room.loggedSeq })
}

export function hearRenewed<B>(turn: Turn<B>, { sentMs }: Of<B, 'renewed'>): void {
  const { room, nowMs, effects } = turn
  room.isRenewing = false
  if (room.epoch === 0) return
  room.leaseEndMs = Math.max(room.leaseEndMs, leaseEnd(sentMs, room.settings.leaseMs))
  if (room.role === 'gathering' || !room.isDetached || nowMs >= room.leaseEndMs) return
  room.isDetached = false
  room.sweepFromMs = nowMs + room.settings.leaseMs
  effects.push({ kind: 'attached' })
  beat(turn)
}

/** A write was refused: somebody else was granted the room; or Redis has forgotten that we were, and the next renewal reminds it. */
export function hearStale<B>(turn: Turn<B>, { epoch, by, owner }: Of<B, 'stale'>): void {
  const { room, nowMs } = turn
  if (epoch !== room.epoch || epoch === 0) return
  if (by < epoch) { room.renewAtMs = nowMs; return }
  // A claim of ours that was given up long ago may have been carried out after all: then the room is ours, with an epoch that we have not been told.
  const isOurs = owner === room.settings.instance
  becomeEdge(turn, isOurs ? 0 : owner)
  room.seen = Math.max(room.seen, by)
  if (isOurs) room.claimNotBeforeMs = nowMs
  if (isOurs || owner === 0) lookSoon(turn)
  else ask(turn, owner)
}
