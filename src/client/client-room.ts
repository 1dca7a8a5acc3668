/** What a client author holds and gives: types only. */
import type { Schema, Values } from '../schema/fields.js'
import type { ClientTables, Off } from './tables.js'

export interface Where<S extends Schema> {
  /** Joins `type:name`; without it, any open room of this type. */
  name?: string
  /** Without a name: a room whose listing has these values; one that is opened begins with them. */
  match?: Partial<Values<S['listing']>>
  open?: 'if-absent' | 'never' | 'always'
  /** Used if the room is opened by this join. */
  options?: Partial<Values<S['options']>>
  join?: Partial<Values<S['join']>>
}

export interface ConnectOptions {
  /** Compares the room's state hashes; for development. A difference is counted, told on the console, and mended by a snapshot. */
  verify?: boolean
  /** How long a join may take, in ms. Default 10,000. */
  joinMs?: number
  /** Who this is: a JWT that the server checks, or a function that gets one; asked for at every connection. */
  token?: string | (() => string | Promise<string>)
  /** How long a lost connection is tried again, in ms. Default: until the server forbids it. */
  reconnectMs?: number
}

export type Status = 'live' | 'resuming' | 'closed'
/**
 * What listeners are told. `rewound`: the room came back from an older snapshot; what was seen since is undone. `detached` and `attached`: the
 * room's `detached` has changed. `closed` with the code `update-required`: the room runs another version now, and the page has to be loaded anew.
 */
export type Told = Status | 'rewound' | 'detached' | 'attached'

export interface Stats {
  pingMs: number
  tickMs: number
  /** The server's clock minus this one's, in ms. */
  clockOffsetMs: number
  bytesIn: number
  frames: number
  sections: number
  resyncs: number
  /** Connections that went on with this stay. */
  reconnects: number
  hashMismatches: number
  missedEvents: number
}

export interface ClientRoom<S extends Schema> {
  readonly id: string
  /** Public. Changes if the session could not be resumed and the room was joined anew. */
  readonly sessionId: string
  readonly status: Status
  /** The room's server cannot reach the others: it plays on for those who are connected to it, and what happens now may be undone. */
  readonly detached: boolean
  readonly position: { readonly epoch: number; readonly seq: number }
  readonly tick: number
  readonly stats: Readonly<Stats>
  readonly globals: Readonly<Values<S['globals']>>
  readonly tables: ClientTables<S['tables']>
  /** Fire and forget; returns the input's number. Throws KasagiError `bad-input` if the data do not fit the schema. */
  send<I extends keyof S['inputs'] & string>(input: I, data: Values<NonNullable<S['inputs']>[I]>): number
  /** Resolves when the input was applied; rejects with a KasagiError whose `code` says why not. */
  ask<I extends keyof S['inputs'] & string>(input: I, data: Values<NonNullable<S['inputs']>[I]>): Promise<void>
  on<E extends keyof S['events'] & string>(event: E, callback: (data: Values<NonNullable<S['events']>[E]>) => void): Off
  /** After each frame, when all of it is applied and its rows and events were told. */
  onFlush(callback: () => void): Off
  onStatus(callback: (told: Told, code?: string) => void): Off
  leave(): Promise<void>
}

export type ListedRoom<S extends Schema> = { readonly name: string; readonly sessions: number } & Readonly<Values<S['listing']>>

export interface Connection {
  join<S extends Schema>(schema: S, where?: Where<S>): Promise<ClientRoom<S>>
  /** The open rooms of this type whose listing has these values. Throws KasagiError if the server cannot be asked. */
  list<S extends Schema>(schema: S, match?: Where<S>['match']): Promise<ListedRoom<S>[]>
  /** Leaves every room that was joined through it. */
  close(): void
}
