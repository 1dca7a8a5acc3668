/**
 * From a won lease to a running room: announce, listen for something newer, fetch the newest there is, and only then run. Pure.
 *
 * Invariant: an epoch is run once, from a position that nobody who answered in time, and no stored snapshot or log, was ahead of.
 */
import { againMs, claim, lookSoon } from './claiming.js'
import { becomeEdge, hear } from './follow.js'
import { leaseEnd } from './lease.js'
import { extend, isNewer, isOn, isSame, start } from '../base/lineage.js'
import type { Candidate, Of, Ownership, Turn } from './protocol.js'
import { ask, giveUpBeyond } from './replica.js'

/** How long a winner listens for somebody who holds something newer. */
const gatherMs = 150

/** The claim won. */
export function hearGranted<B>(turn: Turn<B>, { epoch, previous, sentMs, stored, ended }: Of<B, 'granted'>): void {
  const { room, nowMs, effects } = turn
  const { settings: { instance, leaseMs }, handed } = room
  if (room.role !== 'following' || room.isDraining || epoch < room.seen) return void effects.push({ kind: 'release', epoch, stored: undefined })
  if (room.position !== undefined && room.position.epoch <= ended) Object.assign(room, { position: undefined, lineage: [] } satisfies Partial<Ownership<B>>)
  Object.assign(room, {
    role: 'gathering', epoch, seen: epoch, owner: instance, isOwnerRunning: false, isSilent: false,
    question: undefined, waiting: [], proposal: undefined, handed: undefined,
    leaseEndMs: leaseEnd(sentMs, leaseMs), renewAtMs: sentMs + leaseMs / 3, isRenewing: false, orphanedAtMs: Infinity, claimAtMs: Infinity, stored,
    gather: { untilMs: nowMs + (instance === 0 ? 0 : gatherMs), candidates: stored === undefined ? [] : [{ who: 'store', position: stored }], isLoading: false, ended },
  } satisfies Partial<Ownership<B>>)
  // Whom the room was handed has what its owner stopped at, if nobody else had the lease in between.
  if (handed?.epoch === previous && isSame(handed.position, room.position)) return run(turn)
  // Nobody else can be there.
  if (instance === 0) return fetchNewest(turn)
  effects.push({ kind: 'announce', epoch, position: room.position })
}

/** Somebody else won the lease: whoever has something newer says so. */
export function hearAnnounced<B>(turn: Turn<B>, { epoch, owner, position }: Of<B, 'announced'>): void {
  const { room, effects } = turn
  if (!hear(turn, epoch, owner) || room.role !== 'following') return
  Object.assign(room, { isOwnerRunning: false, question: undefined })
  if (room.position !== undefined && isNewer(room.position, position)) effects.push({ kind: 'offer', to: owner, epoch, position: room.position })
}

export function hearOffer<B>({ room }: Turn<B>, { from, epoch, position }: Of<B, 'offered'>): void {
  if (room.gather === undefined || epoch !== room.epoch || position.epoch <= room.gather.ended) return
  room.gather = { ...room.gather, candidates: [...room.gather.candidates, { who: from, position }] }
}

/** Time passes for a winner. */
export function tickGathering<B>(turn: Turn<B>): void {
  const { room, nowMs } = turn
  const { question } = room, gather = room.gather!
  if (question !== undefined && nowMs >= question.untilMs) {
    room.question = undefined
    forget(turn, question.of)
  }
  if (nowMs >= gather.untilMs && !gather.isLoading && room.question === undefined) fetchNewest(turn)
}

function forget<B>({ room }: Turn<B>, who: Candidate['who']): void {
  if (room.gather !== undefined) room.gather = { ...room.gather, candidates: room.gather.candidates.filter((candidate) => candidate.who !== who) }
}

/** Goes to the newest copy that is ahead; if none is, runs. */
function fetchNewest<B>(turn: Turn<B>): void {
  const { room, effects } = turn
  const gather = room.gather!
  let best: Candidate | undefined
  for (const each of gather.candidates) if (isNewer(each.position, best?.position ?? room.position)) best = each
  if (best === undefined) return run(turn)
  if (typeof best.who === 'number') return ask(turn, best.who, true)
  gather.isLoading = true
  effects.push({ kind: 'load', from: room.position })
}

/** A fetch was answered. */
export function afterFetch<B>(turn: Turn<B>, who: number): void {
  forget(turn, who)
  fetchNewest(turn)
}

export function hearLoaded<B>(turn: Turn<B>, { position, lineage }: Of<B, 'loaded'>): void {
  const { room } = turn
  if (room.gather?.isLoading !== true) return
  room.gather.isLoading = false
  forget(turn, 'store')
  if (position !== undefined && isNewer(position, room.position)) giveUpBeyond(turn, position, lineage)
  fetchNewest(turn)
}

/** What is stored cannot be read now. A room that has stored data is never opened without them. */
export function hearLoadFailed<B>({ room, nowMs }: Turn<B>): void {
  if (room.gather !== undefined) Object.assign(room.gather, { isLoading: false, untilMs: nowMs + againMs(room.settings.leaseMs) })
}

function run<B>(turn: Turn<B>): void {
  const { room, nowMs, effects } = turn
  const { epoch, position, settings: { leaseMs, durability } } = room
  // The lease has run out meanwhile: tried again when it is renewed.
  if (nowMs >= room.leaseEndMs) return
  const { epoch: parentEpoch, seq: forkSeq } = position ?? start
  const hasLog = durability === 'ops' || durability === 'ops-sync'
  // An epoch's log begins behind a snapshot of its own: it may lay out the room by other field tables than what is stored.
  const isLogged = !hasLog || position === undefined
  Object.assign(room, {
    role: 'owning', gather: undefined, position: position ?? start, lineage: extend(room.lineage, { epoch, parentEpoch, forkSeq }),
    broken: undefined, isDetached: false, isPaused: false, isOwnerRunning: true, sweepFromMs: nowMs + leaseMs,
    loggedSeq: isLogged ? forkSeq : loggedBefore(room, forkSeq), sentSeq: forkSeq, isStoring: !isLogged, retryLogAtMs: Infinity,
  } satisfies Partial<Ownership<B>>)
  room.peers.clear()
  effects.push(
    { kind: 'run', epoch, parentEpoch, forkSeq, isNew: position === undefined },
    { kind: 'beat', head: { epoch, seq: forkSeq, parentEpoch, forkSeq }, durableSeq: room.loggedSeq }, { kind: 'attached' },
  )
  if (!isLogged) effects.push({ kind: 'store', epoch })
  if (isLogged || durability === 'ops') effects.push({ kind: 'deliver', seq: forkSeq })
}

/** How far what is stored reaches, below a fork that is not stored: what came after may yet be lost with this instance. */
const loggedBefore = <B>({ stored, lineage }: Ownership<B>, forkSeq: number): number =>
  stored !== undefined && isOn(lineage, stored) ? Math.min(stored.seq, forkSeq - 1) : 0

/** Another epoch is above this owner's, and its own lease may stand all the same: Redis forgot. It stops, and claims above both. */
export function claimAnew<B>(turn: Turn<B>, seen: number): void {
  const { room, nowMs } = turn
  becomeEdge(turn, 0)
  room.seen = Math.max(room.seen, seen)
  room.claimNotBeforeMs = nowMs
  claim(turn)
  if (!room.isClaiming) lookSoon(turn)
}
