/**
 * A session's numbered inputs on their way to a room's owner: without holes, and applied once, whatever gets lost, doubled or late on the way. Pure;
 * main thread, of the edge (lanes) and of the owner (base/input-order.ts).
 *
 * Nothing on the way remembers inputs for long: the client keeps each until it is durable, and sends again when it is asked for a number. So an edge
 * may forget, an owner may die, and Pub/Sub may lose. Every input travels with `from`: the numbers from there up to its own were refused, and will
 * never come. And because they must not come, only who sees an input for the first time may refuse it: of one that was sent before, here or to another
 * edge, a copy may still be on its way to an owner. Those wait for an owner as long as it takes.
 *
 * Invariant of a lane: numbers below `next` were forwarded, are held, or were refused here; those up to `forwarded` lie with an owner or are lost;
 * those up to `applied` are in the edge's replica; those up to `sent` somebody has seen before. `isForgotten`: something behind `next` was let go, and
 * has to be asked for. `askedFor`: inputs that may come for the second time because this instance wants them. `K` is whatever names a session's stay here.
 */
import { heldInputsMax } from '../base/limits.js'

export interface Lane { next: number; forwarded: number; applied: number; sent: number; sinceMs: number; isForgotten: boolean; askedFor: number }
/** `untilMs` is Infinity for what may not be refused. */
export interface HeldInput<B, K = string> { readonly session: K; readonly number: number; readonly body: B; readonly untilMs: number }
export interface Forwarding<B, K = string> { readonly lanes: Map<K, Lane>; held: HeldInput<B, K>[] }

export interface ForwardedInput<B, K = string> { readonly session: K; readonly from: number; readonly number: number; readonly body: B }

/** How long an input waits for an owner before it is refused as `expired`, and how many wait in one room. */
export const heldInputMs = 1000
export const heldInputsPerRoomMax = 1024

/** An edge that has forwarded and sees nothing applied for so long asks its client again: the message, or the word that it is missing, was lost. */
export const stalledMs = 500

export const createForwarding = <B, K = string>(): Forwarding<B, K> => ({ lanes: new Map(), held: [] })

/** The session stays here from now on. The room has applied its inputs up to `applied`; its client has sent, to whomever, those up to `sent`. */
export function openLane<B, K>(forwarding: Forwarding<B, K>, session: K, applied: number, sent: number, nowMs: number): void {
  closeLane(forwarding, session)
  forwarding.lanes.set(session, { next: applied + 1, forwarded: applied, applied, sent: Math.max(sent, applied), sinceMs: nowMs, isForgotten: false, askedFor: Math.min(Math.max(0, sent - applied), heldInputsMax) })
}

export function closeLane<B, K>(forwarding: Forwarding<B, K>, session: K): void {
  forwarding.lanes.delete(session)
  forwarding.held = forwarding.held.filter((held) => held.session !== session)
}

/** Whether an input comes again because it was asked for: that is no flood. To be asked once for each that comes, before {@link takeInput}. */
export function isAskedFor<B, K>({ lanes }: Forwarding<B, K>, session: K, number: number): boolean {
  const lane = lanes.get(session)
  if (lane === undefined || number < lane.next || number > lane.sent || lane.askedFor === 0) return false
  lane.askedFor--
  return true
}

export type Verdict<B, K = string> =
  | { readonly kind: 'forward'; readonly input: ForwardedInput<B, K> }
  | { readonly kind: 'held' }
  | { readonly kind: 'repeat' }
  /** The client is asked to send again from `number` on. */
  | { readonly kind: 'want'; readonly number: number }
  /** It may not be taken now, or too many wait already. Nack it; or, as it was sent before, say nothing: it will be asked for. */
  | { readonly kind: 'refuse' } | { readonly kind: 'forget' }

/** Whether the room has an owner to send to, and whether the client may send at all. */
export interface Way { readonly hasOwner: boolean; readonly isRefused: boolean }

/** What becomes of a client's input. `from`: the client no longer holds, or was refused, the numbers from there up to this one. */
export function takeInput<B, K>(forwarding: Forwarding<B, K>, session: K, from: number, number: number, body: B, { hasOwner, isRefused }: Way, nowMs: number): Verdict<B, K> {
  const { lanes, held } = forwarding, lane = lanes.get(session)
  if (lane === undefined || number < lane.next) return { kind: 'repeat' }
  if (from > lane.next) return { kind: 'want', number: lane.next }
  const isNew = number > lane.sent
  // What is held goes first; without an owner everything waits.
  const mayForward = hasOwner && !held.some((waiting) => waiting.session === session)
  if (isRefused || (!mayForward && held.length >= heldInputsPerRoomMax)) return isNew ? pass(lane, number) : forget(lane, nowMs)
  pass(lane, number)
  if (mayForward) return { kind: 'forward', input: forward(lane, session, number, body, nowMs) }
  held.push({ session, number, body, untilMs: isNew ? nowMs + heldInputMs : Infinity })
  return { kind: 'held' }
}

/** The number is answered for, one way or another. */
function pass(lane: Lane, number: number): { readonly kind: 'refuse' } {
  lane.next = number + 1
  lane.sent = Math.max(lane.sent, number)
  return { kind: 'refuse' }
}

function forget(lane: Lane, nowMs: number): { readonly kind: 'forget' } {
  if (!lane.isForgotten) lane.sinceMs = nowMs
  lane.isForgotten = true
  return { kind: 'forget' }
}

function forward<B, K>(lane: Lane, session: K, number: number, body: B, nowMs: number): ForwardedInput<B, K> {
  const from = lane.forwarded + 1
  if (lane.forwarded === lane.applied) lane.sinceMs = nowMs
  lane.forwarded = number
  return { session, from, number, body }
}

/** The owner's queue had no place for an input that was just forwarded: to be refused if `isNew`; else it is as if it had never come. */
export function takeBack<B, K>({ lanes }: Forwarding<B, K>, { session, from, number }: ForwardedInput<B, K>, isNew: boolean, nowMs: number): void {
  const lane = lanes.get(session)
  if (lane === undefined || lane.forwarded !== number) return
  lane.forwarded = from - 1
  if (isNew) return
  lane.next = Math.min(lane.next, number)
  forget(lane, nowMs)
}

/** There is an owner: what was held goes to it, in order. */
export function forwardHeld<B, K>(forwarding: Forwarding<B, K>, nowMs: number): ForwardedInput<B, K>[] {
  const { held, lanes } = forwarding
  forwarding.held = []
  return held.map(({ session, number, body }) => forward(lanes.get(session)!, session, number, body, nowMs))
}

/** Takes out what has waited too long: to be refused as `expired`. The next input of its session accounts for it. */
export function expireHeld<B, K>(forwarding: Forwarding<B, K>, nowMs: number): HeldInput<B, K>[] {
  const expired = forwarding.held.filter(({ untilMs }) => untilMs <= nowMs)
  if (expired.length > 0) forwarding.held = forwarding.held.filter(({ untilMs }) => untilMs > nowMs)
  return expired
}

/** The replica says that the room has applied the session's inputs up to `applied`; less than before, if the room went back. */
export function moveLane<B, K>({ lanes }: Forwarding<B, K>, session: K, applied: number, nowMs: number): void {
  const lane = lanes.get(session)
  if (lane === undefined || lane.applied === applied) return
  lane.sinceMs = nowMs
  lane.applied = applied
  lane.forwarded = Math.max(lane.forwarded, applied)
  lane.next = Math.max(lane.next, applied + 1)
  lane.sent = Math.max(lane.sent, applied)
}

/** The owner misses `number`: it and everything behind it has to come again. False if that is not news. */
export function wantAgain<B, K>(forwarding: Forwarding<B, K>, session: K, number: number, nowMs: number): boolean {
  const lane = forwarding.lanes.get(session)
  if (lane === undefined || number > lane.forwarded) return false
  forwarding.held = forwarding.held.filter((held) => held.session !== session)
  lane.askedFor = Math.min(Math.max(lane.askedFor, lane.next - number), heldInputsMax)
  lane.next = number
  lane.forwarded = number - 1
  lane.sinceMs = nowMs
  lane.isForgotten = false
  return true
}

/** Sessions of which something was forwarded and nothing applied for too long, or something let go: what each has to send again from. */
export function findStalled<B, K>(forwarding: Forwarding<B, K>, nowMs: number, afterMs = stalledMs): { session: K; number: number }[] {
  const stalled: { session: K; number: number }[] = []
  for (const [session, lane] of forwarding.lanes) {
    const waitedMs = nowMs - lane.sinceMs, isStalled = lane.forwarded > lane.applied && waitedMs >= afterMs
    if (!isStalled && !(lane.isForgotten && waitedMs >= stalledMs)) continue
    stalled.push({ session, number: isStalled ? lane.applied + 1 : lane.next })
    if (isStalled) wantAgain(forwarding, session, lane.applied + 1, nowMs)
    lane.isForgotten = false
    lane.sinceMs = nowMs
  }
  return stalled
}
