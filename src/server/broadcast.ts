/**
 * Clients in step: those that have got all that their room has sent. What is for everybody is published to them, one call into the socket library however many
 * they are; the rest is served one by one (outbox.ts). Main thread.
 *
 * Invariant: a client is in step only while it is live, subscribes to its room's topic and stands where the room does. Its position is then the room's, the very object, so that
 * to move on writes nothing for each of them. Of the clients that have a slot, all others are `apart`.
 *
 * A queue grows by no more than was handed to its socket: so queues are looked at whenever a quarter of `backlogBytes` was sent, not before each frame.
 */
import type { Client, RoomEntry } from './client.js'
import type { Outbox } from './own-words.js'

/** A part of `backlogBytes`. */
const lookPart = 4

export const isInStep = (room: RoomEntry, client: Client): boolean => client.at === room.at

/** A client gets a slot; whoever had it is served no more. */
export function seat(room: RoomEntry, slot: number, client: Client): void {
  const before = room.bySlot.get(slot)
  if (before !== undefined && before !== client) unseat(room, before)
  if (room.bySlot.get(client.slot) === client) room.bySlot.delete(client.slot)
  client.slot = slot
  room.bySlot.set(slot, client)
  if (!isInStep(room, client)) room.apart.add(client)
}

/** A client is served no more. */
export function unseat(room: RoomEntry, client: Client): void {
  stepOut(room, client)
  room.apart.delete(client)
  if (room.bySlot.get(client.slot) === client) room.bySlot.delete(client.slot)
}

/** A live client has got everything up to where the room stands. */
export function stepIn(room: RoomEntry, client: Client): void {
  client.at = room.at
  room.inStep++
  room.apart.delete(client)
  client.socket.subscribe(room.topic)
}

/** From now on it is served by itself, if at all, from where it stands. */
export function stepOut(room: RoomEntry, client: Client): void {
  if (!isInStep(room, client)) return
  client.at = { ...room.at }
  room.inStep--
  room.apart.add(client)
  client.socket.unsubscribe(room.topic)
}

/** The room goes on from somewhere else than behind its last record. */
export function standAt(room: RoomEntry, seq: number): void {
  disband(room)
  room.at.seq = seq
}

/** Everybody is served alone again. */
export function disband(room: RoomEntry): void {
  if (room.inStep > 0) for (const client of room.bySlot.values()) stepOut(room, client)
}

/** `bytes` are about to be handed to clients in step. Whoever has not taken enough of what came before falls behind. */
export function lookAtBacklogs(outbox: Outbox, room: RoomEntry, bytes: number): void {
  room.unlookedBytes += bytes
  if (room.unlookedBytes <= outbox.backlogBytes / lookPart) return
  room.unlookedBytes = 0
  if (room.inStep > 0) for (const client of room.bySlot.values()) if (isInStep(room, client) && client.socket.buffered() > outbox.backlogBytes) fallBehind(outbox, room, client)
}

/** It gets nothing until it has taken what waits for it. */
export function fallBehind(outbox: Outbox, room: RoomEntry, client: Client): void {
  stepOut(room, client)
  client.state = 'behind'
  outbox.onSlow(client)
}

/** A frame that is one section, to all who subscribe: `count` clients. */
export function publishSection({ traffic, publish }: Outbox, room: RoomEntry, section: Uint8Array, count: number): void {
  publish(room.topic, section)
  traffic.bytes += section.length * count
  traffic.deliveries += count
}

/** The same to one client. Allocates nothing. */
export function sendSection({ traffic }: Outbox, client: Client, section: Uint8Array): void {
  client.socket.send(section)
  traffic.bytes += section.length
  traffic.deliveries++
}
