/**
 * A session's numbered inputs on their way to a room's owner: without holes, and applied once, whatever gets lost, doubled or late on the way. Pure;
 * main thread, of the edge (lanes) and of the owner ({@link accepts}).
 *
 * Nothing on the way remembers inputs for long: the client keeps each until it is durable, and sends again when it is asked for a number. So an edge
 * may forget, an owner may die, and Pub/Sub may lose. Every input travels with `from`: the numbers from there up to its own were refused, and will
 * never come. And because they must not come, only who sees an input for the first time may refuse it: of one that was sent before, here or to another
 * edge, a copy may still be on its way to an owner. Those wait for an owner as long as it takes.
 *
 * Invariant of a lane: numbers below `next` were forwarded, are held, or were refused here; those up to `forwarded` lie with an owner or are lost;
 * those up to `applied` are in the edge's replica; those up to `sent` somebody has seen before.
 */
export interface Lane { next: number; forwarded: number; applied: number; sent: number; sinceMs: number }
/** `untilMs` is Infinity for what may not be refused. */
export interface HeldInput<B> { readonly session: string; readonly number: number; readonly body: B; readonly untilMs: number }
export interface Forwarding<B> { readonly lanes: Map<string, Lane>; held: HeldInput<B>[] }

export interface ForwardedInput<B> { readonly session: string; readonly from: number; readonly number: number; readonly body: B }

/** How long an input waits for an owner before it is refused as `expired`, and how many wait in one room. */
export const heldInputMs = 1000
export const heldInputsPerRoomMax = 1024

/** An edge that has forwarded and sees nothing applied for so long asks its client again: the message, or the word that it is missing, was lost. */
export const stalledMs = 500

export const createForwarding = <B>(): Forwarding<B> => ({ lanes: new Map(), held: [] })

/** The session stays here from now on. The room has applied its inputs up to `applied`; its client has sent, to whomever, those up to `sent`. */
export function openLane<B>(forwarding: Forwarding<B>, session: string, applied: number, sent: number, nowMs: number): void {
  closeLane(forwarding, session)
  forwarding.lanes.set(session, { next: applied + 1, forwarded: applied, applied, sent, sinceMs: nowMs })
}

export function closeLane<B>(forwarding: Forwarding<B>, session: string): void {
  forwarding.lanes.delete(session)
  forwarding.held = forwarding.held.filter((held) => held.session !== session)
}

export type Verdict<B> =
  | { readonly kind: 'forward'; readonly input: ForwardedInput<B> }
  | { readonly kind: 'held' }
  | { readonly kind: 'repeat' }
  /** The client is asked to send again from `number` on. */
  | { readonly kind: 'want'; readonly number: number }
  /** Too many wait already. Nack it, or, if it was sent before, forget it: it will be sent again. */
  | { readonly kind: 'refuse' } | { readonly kind: 'forget' }

/** What becomes of a client's input. `from`: the client no longer holds, or was refused, the numbers from there up to this one. */
export function takeInput<B>(forwarding: Forwarding<B>, session: string, from: number, number: number, body: B, hasOwner: boolean, nowMs: number): Verdict<B> {
  const lane = forwarding.lanes.get(session)
  if (lane === undefined || number < lane.next) return { kind: 'repeat' }
  if (from > lane.next) return { kind: 'want', number: lane.next }
  const isNew = number > lane.sent
  if (!isNew && !hasOwner && forwarding.held.length >= heldInputsPerRoomMax) return { kind: 'forget' }
  lane.next = number + 1
  lane.sent = Math.max(lane.sent, number)
  // What is held goes first; without an owner everything waits.
  if (hasOwner && !forwarding.held.some((held) => held.session === session)) return { kind: 'forward', input: forward(lane, session, number, body, nowMs) }
  if (isNew && forwarding.held.length >= heldInputsPerRoomMax) return { kind: 'refuse' }
  forwarding.held.push({ session, number, body, untilMs: isNew ? nowMs + heldInputMs : Infinity })
  return { kind: 'held' }
}

function forward<B>(lane: Lane, session: string, number: number, body: B, nowMs: number): ForwardedInput<B> {
  const from = lane.forwarded + 1
  if (lane.forwarded === lane.applied) lane.sinceMs = nowMs
  lane.forwarded = number
  return { session, from, number, body }
}

/** There is an owner: what was held goes to it, in order. */
export function forwardHeld<B>(forwarding: Forwarding<B>, nowMs: number): ForwardedInput<B>[] {
  const { held, lanes } = forwarding
  forwarding.held = []
  return held.map(({ session, number, body }) => forward(lanes.get(session)!, session, number, body, nowMs))
}

/** Takes out what has waited too long: to be refused as `expired`. The next input of its session accounts for it. */
export function expireHeld<B>(forwarding: Forwarding<B>, nowMs: number): HeldInput<B>[] {
  const expired = forwarding.held.filter(({ untilMs }) => untilMs <= nowMs)
  if (expired.length > 0) forwarding.held = forwarding.held.filter(({ untilMs }) => untilMs > nowMs)
  return expired
}

/** The replica says that the room has applied the session's inputs up to `applied`; less than before, if the room went back. */
export function moveLane<B>({ lanes }: Forwarding<B>, session: string, applied: number, nowMs: number): void {
  const lane = lanes.get(session)
  if (lane === undefined || lane.applied === applied) return
  lane.sinceMs = nowMs
  lane.applied = applied
  lane.forwarded = Math.max(lane.forwarded, applied)
  lane.next = Math.max(lane.next, applied + 1)
  lane.sent = Math.max(lane.sent, applied)
}

/** The owner misses `number`: it and everything behind it has to come again. False if that is not news. */
export function wantAgain<B>(forwarding: Forwarding<B>, session: string, number: number, nowMs: number): boolean {
  const lane = forwarding.lanes.get(session)
  if (lane === undefined || number > lane.forwarded) return false
  forwarding.held = forwarding.held.filter((held) => held.session !== session)
  lane.next = number
  lane.forwarded = number - 1
  lane.sinceMs = nowMs
  return true
}

/** Sessions of which something was forwarded and nothing applied for too long: what each has to send again from. */
export function findStalled<B>(forwarding: Forwarding<B>, nowMs: number): { session: string; number: number }[] {
  const stalled: { session: string; number: number }[] = []
  for (const [session, lane] of forwarding.lanes) {
    if (lane.forwarded > lane.applied && nowMs - lane.sinceMs >= stalledMs) stalled.push({ session, number: lane.applied + 1 })
  }
  for (const { session, number } of stalled) wantAgain(forwarding, session, number, nowMs)
  return stalled
}

/**
 * The owner's side. `accepted`: the last number of the session that the owner has taken. An input is taken if it and its `from` account for every
 * number behind `accepted`; behind a hole the owner wants accepted + 1. "Anything above the last" would swallow what was lost in between.
 */
export function accepts(accepted: number, from: number, number: number): 'take' | 'repeat' | 'hole' {
  if (number <= accepted) return 'repeat'
  return from <= accepted + 1 ? 'take' : 'hole'
}
