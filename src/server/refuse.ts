/** What every part that speaks with clients shares: limits, counters, and the two ways of saying no. Main thread. */
import { errorList, type ErrorCode } from '../base/errors.js'
import type { CatalogEntry } from '../memory/crossing.js'
import type { Admission } from './admission.js'
import type { Client } from './client.js'
import { dismiss } from './outbox.js'
import { sendOwn, type Outbox } from './own-words.js'
import type { Rooms } from './rooms.js'
import type { Tokens } from './tokens.js'

export interface SessionLimits { readonly messageBytes: number; readonly inputsPerSecond: number; readonly inputsBurst: number; readonly roomsPerAddress: number }

export interface Sessions {
  readonly rooms: Rooms
  readonly outbox: Outbox
  readonly types: ReadonlyMap<string, CatalogEntry>
  readonly limits: SessionLimits
  readonly tokens: Tokens
  readonly admission: Admission
  /** Counts a refusal and logs it, within bounds. */
  refused(client: Client, code: ErrorCode, detail?: string): void
  /** Those that are accepted are counted with the traffic. */
  countInput(result: 'repeated' | 'refused' | 'hole'): void
  /** A client's state differs from the room's, or a section made no sense to it. */
  countMismatch(): void
  /** A connection has ended by itself. */
  lost(client: Client): void
}

/** Ends a connection, or answers and goes on, as the code's entry says. */
export function refuse(sessions: Sessions, client: Client, code: ErrorCode, detail = ''): void {
  sessions.refused(client, code, detail)
  if (errorList[code].close !== null) dismiss(sessions.outbox, client, code)
}

/** An input that is refused before the journal: its number counts as answered. */
export function nack(sessions: Sessions, client: Client, number: number, code: ErrorCode): void {
  sessions.countInput('refused')
  sessions.refused(client, code)
  sendOwn(sessions.outbox, client, [{ number, code, text: '' }], 0)
}
