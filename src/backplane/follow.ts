/**
 * An edge's part of the ownership protocol: hears the owner, takes its records in order, notices what is missing, and confirms a hand-over. Pure.
 *
 * Invariant: what a lower epoch than the highest heard of says is void.
 */
import { claim, lookSoon } from './claiming.js'
import { isNewer, isOn, isSame, positionOf, upTo, type Head } from '../base/lineage.js'
import type { HeardRecord, Of, Ownership, Turn } from './protocol.js'
import { ask, giveUpBeyond, take } from './replica.js'

/** Records kept while a question is open; what comes beyond makes the next question. */
export const waitingRecordsMax = 256
/** Unanswered questions before the owner counts as unknown. */
const triesMax = 3

/** How often an owner renews and beats, and an edge says that it is there. */
export const beatMs = (leaseMs: number): number => leaseMs / 3

/** Gives up what it had of the lease, and follows whoever has it. The room keeps what is committed. */
export function becomeEdge<B>({ room, nowMs, effects }: Turn<B>, owner: number): void {
  if (room.role === 'owning' || room.role === 'handing') effects.push({ kind: 'follow' })
  if (room.position !== undefined) room.lineage = upTo(room.lineage, room.position)
  Object.assign(room, {
    role: 'following', epoch: 0, gather: undefined, handing: undefined, isPaused: false, leaseEndMs: 0,
    owner, isOwnerRunning: false, isSilent: false, heardMs: nowMs, question: undefined, waiting: [], presentAtMs: nowMs,
  } satisfies Partial<Ownership<B>>)
  room.peers.clear()
}

/** Something with this epoch was heard. False: it is void. */
export function hear<B>(turn: Turn<B>, epoch: number, owner: number): boolean {
  const { room, nowMs, effects } = turn
  if (epoch < room.seen) {
    // Its owner may be alone in not knowing of the later epoch, after a Redis that forgot: the question tells it.
    if (room.role === 'following' && room.question === undefined && owner !== room.owner) ask(turn, owner)
    return false
  }
  if (room.epoch !== 0 && epoch > room.epoch) becomeEdge(turn, owner)
  if (room.role !== 'following') return room.role === 'gathering' && epoch === room.epoch
  if (epoch > room.seen || owner !== room.owner) {
    Object.assign(room, { owner, isOwnerRunning: false, question: undefined, handed: undefined, presentAtMs: nowMs } satisfies Partial<Ownership<B>>)
  }
  room.seen = epoch
  room.heardMs = nowMs
  // Who had played on alone is with others again, too.
  if (room.isSilent || room.isDetached) effects.push({ kind: 'attached' })
  room.isSilent = room.isDetached = false
  return true
}

export function hearBeat<B>(turn: Turn<B>, { head, owner, durableSeq }: Of<B, 'beat'>): void {
  const { room, effects } = turn
  if (!hear(turn, head.epoch, owner) || room.role !== 'following') return
  // It begins to run: what it was asked before, it has not answered.
  if (!room.isOwnerRunning && head.seq === head.forkSeq) room.question = undefined
  room.isOwnerRunning = true
  if (hasAll(room, head)) effects.push({ kind: 'durable', seq: durableSeq })
  else if (room.question === undefined) ask(turn, owner)
}

/** Whether a copy lacks nothing of what a head speaks of, and has nothing beside it. */
function hasAll<B>({ position, lineage }: Ownership<B>, head: Head): boolean {
  if (position === undefined) return false
  if (isSame(position, positionOf(head))) return true
  // A beat that a record has overtaken.
  return position.epoch === head.epoch && position.seq > head.seq && isOn(lineage, position)
}

export function hearRecord<B>(turn: Turn<B>, heard: HeardRecord<B>): void {
  const { room } = turn
  // Records of before are still on their way to whoever won the lease.
  if (room.role === 'gathering' && heard.head.epoch < room.epoch && room.gather?.isLoading === false) return void take(turn, heard)
  if (!hear(turn, heard.head.epoch, heard.owner) || room.role !== 'following') return
  room.isOwnerRunning = true
  if (take(turn, heard) !== 'gap') return answerProposal(turn)
  if (room.waiting.length < waitingRecordsMax) room.waiting.push(heard)
  if (room.question === undefined) ask(turn, heard.owner)
}

/** An answer: records that go on from the position it was asked with, or the whole state. */
export function hearAnswer<B>(turn: Turn<B>, answer: Of<B, 'records'> | Of<B, 'state'>): void {
  const { room, effects } = turn
  if (room.question?.number !== answer.request) return
  room.question = undefined
  if (answer.kind === 'records') {
    for (const record of answer.records) if (take(turn, record) === 'gap') break
  } else if (room.role === 'following' || isNewer(answer.position, room.position)) {
    giveUpBeyond(turn, answer.position, answer.lineage)
    effects.push({ kind: 'adopt', position: answer.position, body: answer.body })
  }
  if (room.role === 'following') afterAnswer(turn)
}

function afterAnswer<B>(turn: Turn<B>): void {
  const { room } = turn
  const { waiting } = room
  room.waiting = []
  for (const record of waiting) {
    if (take(turn, record) !== 'gap') continue
    room.waiting = [record]
    ask(turn, room.owner)
    break
  }
  answerProposal(turn)
}

/** Time passes for an edge. */
export function tickEdge<B>(turn: Turn<B>): void {
  const { room, nowMs, effects } = turn
  const { leaseMs } = room.settings
  if (room.question !== undefined && nowMs >= room.question.untilMs) askAgain(turn)
  if (room.proposal !== undefined && nowMs >= room.proposal.untilMs) room.proposal = undefined
  if (!room.isSilent && nowMs - room.heardMs >= leaseMs) {
    room.isSilent = true
    room.isOwnerRunning = false
    effects.push({ kind: 'detached' }, { kind: 'subscribe' })
    lookSoon(turn)
  }
  if (room.owner !== 0 && nowMs >= room.presentAtMs) sayPresent(turn)
  if ((room.owner === 0 || room.isSilent) && nowMs >= room.claimAtMs) claim(turn)
}

function sayPresent<B>({ room, nowMs, effects }: Turn<B>): void {
  const { settings: { version, leaseMs }, owner, isDraining, position } = room
  room.presentAtMs = nowMs + beatMs(leaseMs)
  if (owner !== 0) effects.push({ kind: 'present', to: owner, version, isDraining, hasReplica: position !== undefined })
}

function askAgain<B>(turn: Turn<B>): void {
  const { room } = turn
  const { of, tries } = room.question!
  room.question = undefined
  if (tries < triesMax) return ask(turn, of, false, tries + 1)
  room.waiting = []
  // Whoever was asked does not answer: who owns the room now?
  if (of === room.owner) room.owner = 0
  lookSoon(turn)
}

/** The owner wants to hand the room over at `position`. */
export function hearProposal<B>(turn: Turn<B>, { from, request, position }: Of<B, 'proposed'>): void {
  const { room, nowMs, effects } = turn
  if (room.role !== 'following' || room.isDraining || room.isOlder) return void effects.push({ kind: 'refuse', to: from, request })
  room.proposal = { from, request, position, untilMs: nowMs + room.settings.leaseMs }
  answerProposal(turn)
  if (room.proposal !== undefined && room.question === undefined) ask(turn, from)
}

/** Confirms as soon as the replica is where the owner stopped. */
function answerProposal<B>({ room, effects }: Turn<B>): void {
  if (room.proposal === undefined || !isSame(room.position, room.proposal.position)) return
  effects.push({ kind: 'confirm', to: room.proposal.from, request: room.proposal.request })
  room.proposal = undefined
}

/** The lease was moved, to whomever. */
export function hearHanded<B>(turn: Turn<B>, { epoch, owner, position }: Of<B, 'handed'>): void {
  const { room } = turn
  if (!hear(turn, epoch, owner) || room.role !== 'following' || owner !== room.settings.instance) return
  room.owner = 0
  room.handed = { epoch, position }
  room.claimAtMs = turn.nowMs
  claim(turn)
}

/** The owner let go. */
export function hearReleased<B>(turn: Turn<B>, epoch: number): void {
  const { room } = turn
  if (room.role !== 'following' || epoch < room.seen) return
  Object.assign(room, { owner: 0, isOwnerRunning: false, question: undefined, seen: epoch })
  lookSoon(turn)
}
