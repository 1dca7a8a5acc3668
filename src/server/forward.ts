/**
 * Joins, resumes and inputs of this instance's clients on their way to whoever runs their room: here, or elsewhere, or nobody yet. Main thread. What is lost
 * on the way is sent again, or asked for again, as long as its client is here.
 */
import { expireHeld, findStalled, forwardHeld, takeBack, wantAgain, type ForwardedInput } from '../backplane/forwarding.js'
import { hasOwner } from '../backplane/ownership.js'
import { monotonicMs } from '../base/clock.js'
import { toWorker, wideWords } from '../memory/crossing.js'
import type { Client, InputBody, RoomEntry } from './client.js'
import { sendOwn } from './own-words.js'
import { nack, refuse, type Sessions } from './refuse.js'
import { tellOwner } from './tell-owner.js'

const encoder = new TextEncoder()

/** Joins go to whoever runs the room, as soon as somebody does and this instance has the room's state. */
export function sendPending(sessions: Sessions, room: RoomEntry): void {
  if (room.state !== 'open' || !hasOwner(room.ownership)) return
  for (const client of [...room.pending]) {
    room.pending.delete(client)
    sendJoin(sessions, client)
  }
}

/** The join, or the resume, goes to the room's owner. */
function sendJoin(sessions: Sessions, client: Client): void {
  const { join, user, resume } = client.request!, room = client.room!
  const id = encoder.encode(client.sessionId), userBytes = encoder.encode(user)
  client.sentInMs = monotonicMs()
  const told = resume === undefined
    ? tellOwner(room, toWorker.join, [...wideWords(client.connection), id.length, userBytes.length], id, userBytes, join)
    : tellOwner(room, toWorker.resume, [...wideWords(client.connection), resume.claims.generation, resume.firstHeld], id)
  if (told) return
  if (room.ownership.role === 'owning') refuse(sessions, client, 'no-space')
  else room.pending.add(client)
}

/** Sessions that are here are the owner's, too: told anew to a new one, and behind whatever may have parted the two. Of those it knows it makes nothing. */
function attachAgain(sessions: Sessions, room: RoomEntry): void {
  for (const client of room.clients.values()) {
    if (client.state === 'new' || client.state === 'gone' || room.pending.has(client)) continue
    if (client.state === 'joining') sendJoin(sessions, client)
    else attach(room, client)
  }
}

const attach = (room: RoomEntry, client: Client): void => void tellOwner(room, toWorker.resume, [...wideWords(client.connection), client.generation, 1], encoder.encode(client.sessionId))

/** Somebody runs the room, or somebody else: who waited goes in, and inputs on their way are sent again. */
export function hearOwner(sessions: Sessions, room: RoomEntry): void {
  const { ownership, forwarding } = room
  // Whoever was away for long may have been given up.
  if (!hasOwner(ownership)) room.attachedEpoch = 0
  if (room.state !== 'open' || !hasOwner(ownership)) return
  if (room.attachedEpoch !== ownership.seen) {
    room.attachedEpoch = ownership.seen
    attachAgain(sessions, room)
    askStalled(sessions, room, 0)
  }
  sendPending(sessions, room)
  for (const input of forwardHeld(forwarding, monotonicMs())) {
    const client = room.clients.get(input.session)
    if (client !== undefined) forwardInput(sessions, client, input, false)
  }
}

/** Clients of which something was forwarded and nothing applied are asked for it again. */
function askStalled(sessions: Sessions, room: RoomEntry, afterMs?: number): void {
  for (const { session, number } of findStalled(room.forwarding, monotonicMs(), afterMs)) {
    const client = room.clients.get(session)
    if (client === undefined) continue
    // Or it is not the input that was lost, but the session that the owner does not take for connected.
    if (room.ownership.role !== 'owning') attach(room, client)
    sendOwn(sessions.outbox, client, [], number)
  }
}

/** How long a join may be on its way to another instance before it is sent again, and before its client is told that nobody answers. */
const joinAgainMs = 1000, joinMsMax = 8000

/** Time passes: what waits for an owner too long is refused, what got no answer is sent again. */
export function sweepRoom(sessions: Sessions, room: RoomEntry, nowMs: number): void {
  for (const { session, number } of expireHeld(room.forwarding, nowMs)) {
    const client = room.clients.get(session)
    if (client !== undefined) nack(sessions, client, number, 'expired')
  }
  const isOwner = room.ownership.role === 'owning'
  // What lies in this instance's own rings is not lost, however long the room takes.
  askStalled(sessions, room, isOwner ? Infinity : undefined)
  if (isOwner) return
  for (const client of [...room.clients.values()]) {
    if (client.state !== 'joining') continue
    if (nowMs - client.joiningMs > joinMsMax) refuse(sessions, client, 'no-owner')
    else if (!room.pending.has(client) && nowMs - client.sentInMs > joinAgainMs) sendJoin(sessions, client)
  }
}

/** `isNew`: nobody has seen it before, so it may be refused. */
export function forwardInput(sessions: Sessions, client: Client, input: ForwardedInput<InputBody, number>, isNew: boolean): void {
  const room = client.room!, { from, number, body } = input
  if (tellOwner(room, toWorker.input, [client.slot, ...wideWords(client.connection), number, from, body.index], body.data)) { sessions.outbox.traffic.inputsAccepted++; return }
  const mayRefuse = isNew && room.ownership.role === 'owning'
  takeBack(room.forwarding, input, mayRefuse, monotonicMs())
  if (mayRefuse) nack(sessions, client, number, 'journal-full')
}

/** The owner misses `number`: it, and everything behind it, has to come again. */
export function hearWanted(sessions: Sessions, client: Client, number: number): void {
  if (client.room !== undefined && wantAgain(client.room.forwarding, client.connection, number, monotonicMs())) sendOwn(sessions.outbox, client, [], number)
}
