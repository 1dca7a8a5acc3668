/** What single clients are told of their own: answers to their inputs, what is durable, notices. Main thread. */
import { errorText } from '../base/error-texts.js'
import type { ErrorCode } from '../base/errors.js'
import { writeNotice, writeOwn, type NackMessage } from '../wire/server-messages.js'
import type { Client, RoomEntry } from './client.js'
import type { Tokens } from './tokens.js'

/** Counted without labels in the hot path; metrics read it. */
export interface Traffic { bytes: number; deliveries: number; messagesIn: number; inputsAccepted: number }

export const createTraffic = (): Traffic => ({ bytes: 0, deliveries: 0, messagesIn: 0, inputsAccepted: 0 })

export interface Outbox {
  readonly backlogBytes: number
  readonly traffic: Traffic
  /** Sends a message to all who subscribe to a topic. */
  publish(topic: string, message: Uint8Array): void
  readonly tokens: Tokens
  onResync(kind: 'sections' | 'snapshot'): void
  /** It has joined, or come back. */
  onWelcome(client: Client): void
  /** Its connection is about to end with `code`. */
  onDismiss(client: Client, code: string): void
  /** More waits for it than may. */
  onSlow(client: Client): void
}

export function send(outbox: Outbox, client: Client, message: Uint8Array): void {
  outbox.traffic.bytes += message.length
  client.socket.send(message)
}

/** Where there is a log, it says what is durable; else what is committed is. */
export const durableOf = ({ type, durableSeq }: RoomEntry): number => type.durability.startsWith('ops') ? durableSeq : 0

export function noteOwn(client: Client, durableSeq: number): void {
  client.ownSeq = client.at.seq
  client.durableTold = durableSeq
}

/** A number of the client's is answered without a record: refused before the journal, or asked for again. */
export function sendOwn(outbox: Outbox, client: Client, nacks: readonly NackMessage[], wanted: number): void {
  const { room, at: { epoch, seq }, appliedThrough: lastInput } = client
  const durableSeq = room !== undefined && room.type.durability.startsWith('ops') ? room.durableSeq : seq
  noteOwn(client, durableSeq)
  send(outbox, client, writeOwn({ epoch, seq, durableSeq, lastInput, wanted, sections: 0, nacks }))
}

/** The room is durable up to `room.durableSeq`: clients whose inputs are, and have not heard so, need not keep them. */
export function tellDurable(outbox: Outbox, room: RoomEntry): void {
  if (!room.type.durability.startsWith('ops')) return
  for (const client of room.bySlot.values()) if (client.state === 'live' && client.ownSeq > client.durableTold && room.durableSeq > client.durableTold) sendOwn(outbox, client, [], 0)
}

/** Something about the room that ends nothing. */
export function notify(outbox: Outbox, room: RoomEntry, code: ErrorCode): void {
  for (const client of room.bySlot.values()) if (client.state !== 'gone') send(outbox, client, writeNotice(code, errorText(code)))
}
