/**
 * The ownership of one room on one instance: who runs it, who follows, and how a copy stays the same as the owner's. A plain state machine: events
 * in, effects out, the clock (monotonic) and randomness passed in. Main thread; simulated with thousands of seeds in test/sim.
 *
 * protocol.ts lists every event and effect, lineage.ts says what a position is and what may follow it. An edge: replica.ts (the copy), follow.ts (hearing
 * the owner), claiming.ts (looking for one). An owner: takeover.ts (from a won lease to a running room), lease.ts, op-log.ts (records on their way out),
 * hand-over.ts (letting go). forwarding.ts stands beside them: inputs on their way to whoever owns the room.
 *
 * The driver carries out effects in order, and answers each that asks Redis by exactly one event, `…Failed` if it does not know. It steps `time`
 * a few times per beat, and asks {@link isAttached} with a fresh clock right before it hands a record to clients.
 *
 * Invariants: every write names the epoch that it was made with, and Redis refuses all but the last one granted; an owner counts as attached only
 * before its lease's end, which lies before anybody else can win the room; of two owners the higher epoch wins, everywhere.
 */
import { againMs, claim, hearHeld, hearUnowned, lookSoon } from './claiming.js'
import { becomeEdge, hearAnswer, hearBeat, hearHanded, hearProposal, hearRecord, hearReleased, tickEdge } from './follow.js'
import { beginHandOver, drain, hearConfirmed, hearHandedOver, hearHandOverFailed, hearRefused, letGo, tickHanding } from './hand-over.js'
import { hearRenewed, hearStale, tickLease } from './lease.js'
import { isOn, type Position } from '../base/lineage.js'
import { hearFlushed, hearLogFailed, hearLogGap, hearLogged, hearStored, hearStoreFailed, tickLog, unloggedMax } from './op-log.js'
import type { Effect, Event, Of, Ownership, Settings, Turn } from './protocol.js'
import { ask } from './replica.js'
import { afterFetch, claimAnew, hearAnnounced, hearGranted, hearLoaded, hearLoadFailed, hearOffer, tickGathering } from './takeover.js'

export const createOwnership = <B>(settings: Settings): Ownership<B> => ({
  settings, role: 'idle', isReachable: true, isDraining: false, position: undefined, lineage: [], broken: undefined, seen: 0,
  // Ids come back with a process that died: the answers to its questions must not fit ours.
  requests: Math.floor(settings.random() * 2 ** 31),
  owner: 0, isOwnerRunning: false, heardMs: 0, isSilent: false, question: undefined, waiting: [], presentAtMs: 0, proposal: undefined, handed: undefined,
  isClaiming: false, claimAtMs: 0, claimNotBeforeMs: 0, isOlder: false, orphanedAtMs: Infinity,
  epoch: 0, leaseEndMs: 0, isRenewing: false, renewAtMs: 0, isDetached: false, isPaused: false, peers: new Map(), sweepFromMs: 0,
  gather: undefined, handing: undefined,
  loggedSeq: 0, sentSeq: 0, isStoring: false, retryLogAtMs: Infinity, stored: undefined,
})

/** Whether this instance runs the room and nobody else can have it: to be asked with the time of now. */
export const isAttached = <B>({ role, leaseEndMs }: Ownership<B>, nowMs: number): boolean => role === 'owning' && nowMs < leaseEndMs

/**
 * Whether a client comes from a later owner than this one, which is detached and does not know: it is sent away, to come back elsewhere. An owner
 * that is attached has heard of every epoch that counts, and does not take a client's word.
 */
export const isOvertaken = <B>(room: Ownership<B>, client: Position | undefined, nowMs: number): boolean =>
  room.role === 'owning' && client !== undefined && client.epoch > room.epoch && !isAttached(room, nowMs)

/** Whether inputs have somewhere to go: here, or to `owner`'s inbox. */
export const hasOwner = <B>({ role, isOwnerRunning, isReachable }: Ownership<B>): boolean =>
  role === 'owning' || (role === 'following' && isOwnerRunning && isReachable)

export function step<B>(room: Ownership<B>, event: Event<B>, nowMs: number): Effect<B>[] {
  const turn: Turn<B> = { room, nowMs, effects: [] }
  dispatch(turn, event)
  pauseOrGoOn(turn)
  return turn.effects
}

function dispatch<B>(turn: Turn<B>, event: Event<B>): void {
  const { room, nowMs } = turn
  switch (event.kind) {
    case 'time': return tick(turn)
    case 'wanted': return want(turn)
    case 'unwanted': return unwant(turn)
    case 'close': return close(turn)
    case 'reachable': return reachable(turn)
    case 'unreachable': room.isReachable = false; return
    case 'subscribed': return subscribed(turn)
    case 'granted': room.isClaiming = false; return hearGranted(turn, event)
    case 'held': room.isClaiming = false; return room.role === 'following' ? hearHeld(turn, event.owner, event.epoch, event.leftMs) : undefined
    case 'unowned': room.isClaiming = false; return room.role === 'following' ? hearUnowned(turn) : undefined
    case 'versionOlder': room.isClaiming = false; room.isOlder = true; return lookSoon(turn, room.settings.leaseMs / 4)
    case 'claimFailed': room.isClaiming = false; return lookSoon(turn, againMs(room.settings.leaseMs))
    case 'renewed': return hearRenewed(turn, event)
    case 'renewFailed': room.isRenewing = false; return
    case 'stale': return hearStale(turn, event)
    case 'loaded': return hearLoaded(turn, event)
    case 'loadFailed': return hearLoadFailed(turn)
    case 'stored': return hearStored(turn, event)
    case 'storeFailed': return hearStoreFailed(turn)
    case 'logged': return hearLogged(turn, event)
    case 'logGap': return hearLogGap(turn, event)
    case 'logFailed': return hearLogFailed(turn, event)
    case 'handedOver': return hearHandedOver(turn, event.epoch)
    case 'handOverFailed': return hearHandOverFailed(turn)
    case 'record': return room.role === 'idle' ? undefined : hearRecord(turn, event)
    case 'beat': return room.role === 'idle' ? undefined : hearBeat(turn, event)
    case 'announced': return room.role === 'idle' ? undefined : hearAnnounced(turn, event)
    case 'handed': return room.role === 'idle' ? undefined : hearHanded(turn, event)
    case 'released': return hearReleased(turn, event.epoch)
    case 'asked': return answer(turn, event)
    case 'records': case 'state': {
      const of = room.question?.number === event.request ? room.question.of : 0
      hearAnswer(turn, event)
      if (of !== 0 && room.role === 'gathering') afterFetch(turn, of)
      return
    }
    case 'offered': return hearOffer(turn, event)
    case 'present': room.peers.set(event.from, { heardMs: nowMs, version: event.version, isDraining: event.isDraining, hasReplica: event.hasReplica }); return
    case 'proposed': return hearProposal(turn, event)
    case 'confirmed': return hearConfirmed(turn, event)
    case 'refused': return hearRefused(turn, event)
    case 'flushed': return room.role === 'owning' || room.role === 'handing' ? hearFlushed(turn, event) : undefined
    case 'halted': if (room.handing?.stage === 'halting') { room.handing.stage = 'halted'; tickHanding(turn) } return
    case 'failed': return fail(turn)
    case 'drain': return drain(turn)
    case 'move': return beginHandOver(turn, event.to)
  }
}

function tick<B>(turn: Turn<B>): void {
  const { room } = turn
  if (room.role === 'following') tickEdge(turn)
  if (room.role === 'gathering') tickGathering(turn)
  if (room.epoch !== 0) tickLease(turn)
  if (room.role === 'handing') tickHanding(turn)
  if (room.role === 'owning' || room.role === 'handing') tickLog(turn)
}

/** A question of an edge, or of a winner that fetches what we offered. */
function answer<B>(turn: Turn<B>, { from, request, position, seen, isFetch }: Of<B, 'asked'>): void {
  const { room, effects } = turn
  const isOwner = room.role === 'owning' || room.role === 'handing'
  if (isOwner && seen > room.epoch) return claimAnew(turn, seen)
  if (room.position === undefined || !(isOwner || (isFetch && room.role === 'following'))) return
  const isBehind = position !== undefined && position.seq <= room.position.seq && isOn(room.lineage, position)
  effects.push({ kind: 'answer', to: from, request, from: isBehind ? position : undefined })
}

function want<B>(turn: Turn<B>): void {
  const { room, nowMs } = turn
  if (room.role !== 'idle') return
  Object.assign(room, { role: 'following', owner: 0, heardMs: nowMs, isSilent: false, isOlder: false } satisfies Partial<Ownership<B>>)
  claim(turn)
}

function unwant<B>(turn: Turn<B>): void {
  const { room, effects } = turn
  if (room.role !== 'following' && room.role !== 'gathering') return
  if (room.role === 'gathering') effects.push({ kind: 'release', epoch: room.epoch, stored: undefined })
  forgetRoom(turn)
}

function close<B>(turn: Turn<B>): void {
  if (turn.room.role !== 'owning' && turn.room.role !== 'handing') return
  letGo(turn)
  forgetRoom(turn)
}

function forgetRoom<B>(turn: Turn<B>): void {
  becomeEdge(turn, 0)
  turn.effects.push({ kind: 'drop' })
  Object.assign(turn.room, { role: 'idle', position: undefined, lineage: [], broken: undefined, proposal: undefined, handed: undefined } satisfies Partial<Ownership<B>>)
}

/** The local copy is gone. An owner gives the room away as it is stored; an edge starts over. */
function fail<B>(turn: Turn<B>): void {
  const { room, effects } = turn
  if (room.role === 'idle') return
  if (room.epoch !== 0) effects.push({ kind: 'release', epoch: room.epoch, stored: undefined })
  becomeEdge(turn, 0)
  if (room.position !== undefined) room.broken = { position: room.position, lineage: room.lineage }
  Object.assign(room, { position: undefined, lineage: [] } satisfies Partial<Ownership<B>>)
  lookSoon(turn, room.settings.leaseMs / 4)
}

/** Behind an outage everybody keeps the rooms that it had: what an instance did not own it leaves alone for one lease. */
function reachable<B>(turn: Turn<B>): void {
  const { room, nowMs } = turn
  room.isReachable = true
  // An owner, too: it may be about to hear that it is none any more.
  room.claimNotBeforeMs = nowMs + room.settings.leaseMs
  if (room.epoch === 0) lookSoon(turn)
  else room.renewAtMs = nowMs
}

function subscribed<B>(turn: Turn<B>): void {
  const { room, nowMs } = turn
  room.sweepFromMs = nowMs + room.settings.leaseMs
  if (room.role === 'following' && room.question === undefined) ask(turn, room.owner)
}

/** Tells the room, once, when it must stand still and when it may go on. */
function pauseOrGoOn<B>({ room, effects }: Turn<B>): void {
  if (room.role !== 'owning') return
  const { durability, whenDetached } = room.settings
  const isFull = durability === 'ops-sync' && room.position!.seq - room.loggedSeq >= unloggedMax
  const isPaused = isFull || (room.isDetached && whenDetached === 'freeze')
  if (isPaused === room.isPaused) return
  room.isPaused = isPaused
  effects.push({ kind: isPaused ? 'pause' : 'goOn' })
}
