/**
 * A connection and its room as the main thread holds them: plain data that names each other. session.ts drives a client by what it sends,
 * outbox.ts and catch-up.ts by what its room sends, rooms.ts opens rooms and forgets them, driver.ts carries out what their ownership wants. Main thread.
 */
import type { Forwarding } from '../backplane/forwarding.js'
import type { Ownership } from '../backplane/protocol.js'
import { connectionOf } from '../base/connection-number.js'
import { start, type Lineage, type Position } from '../base/lineage.js'
import type { CatalogEntry } from '../memory/crossing.js'
import type { PeerBody } from '../wire/peer-messages.js'
import type { NackMessage } from '../wire/server-messages.js'
import type { Identity } from './auth.js'
import type { Socket } from './sockets.js'
import type { ResumeClaims } from './tokens.js'
import type { WorkerLink } from './worker-link.js'

/**
 * `new`: no Join yet · `joining`: asked for, no snapshot yet · `live`: gets every frame · `catching`: chunks of a snapshot are still being
 * handed out · `behind`: past its backlog, or it asked for a resync: gets nothing until that is answered · `gone`
 */
export type ClientState = 'new' | 'joining' | 'live' | 'catching' | 'behind' | 'gone'

/** What a Join asked for. */
export interface JoinRequest {
  readonly type: CatalogEntry
  readonly name: string | undefined
  /** Listing values that are asked for; as bytes for the room that this join may open. */
  readonly match: Readonly<Record<string, unknown>>
  readonly matchBytes: Uint8Array
  /** 0 if absent, 1 never, 2 always. */
  readonly open: number
  readonly options: Uint8Array
  readonly join: Uint8Array
  /** Who it is, as JSON; the worker keeps it with the session. */
  readonly user: string
  /** It comes back to a session, with this token and position, the first input it still holds, and the last it has sent. */
  readonly resume: { readonly claims: ResumeClaims; readonly epoch: number; readonly seq: number; readonly firstHeld: number; readonly lastSent: number } | undefined
}

/** What a record holds for one client alone. `own`: a section; `applied`: a new last input number, 0 if there is none. */
export interface Due { readonly client: Client; own: Uint8Array | undefined; addressed: Uint8Array[]; nacks: NackMessage[]; applied: number }

export interface Client {
  readonly socket: Socket
  /** What rooms on every instance call this connection. */
  readonly connection: number
  state: ClientState
  request: JoinRequest | undefined
  room: RoomEntry | undefined
  slot: number
  sessionId: string
  userId: string
  /** Undefined for a guest. */
  identity: Identity | undefined
  readonly openedMs: number
  /** The last frame it got; in step, its room's own position. */
  at: Position
  /** The input number that was last asked for again: a hole is answered once, not for each input behind it. */
  holeAt: number
  /** Last input number that an Own has told it. */
  appliedThrough: number
  /** The seq of its last Own, and what that called durable. */
  ownSeq: number
  durableTold: number
  /** While a record is handed out: what it gets of it alone. */
  due: Due | undefined
  /** What it is to be told as soon as it is live again: its last input number, and refusals, oldest first. */
  owedThrough: number
  owedNacks: NackMessage[]
  wantsTables: boolean
  /** Rooms that its join has been sent to, and those of them that were full. */
  routes: number
  full: readonly string[]
  /** When its Join came, and when it last went to the room's owner. */
  joiningMs: number
  sentInMs: number
  /** The generation of the token that its Welcome has brought, until the client says that it has it; 0: none. */
  issued: number
  /** The newest generation that it was given. */
  generation: number
  /** Chunks still to be handed out, oldest first. */
  chunks: Uint8Array[]
  /** A resync is with the worker. */
  asked: boolean
  /** Token bucket of inputs: what is left, and when it was filled. */
  budget: number
  budgetMs: number
}

/** What a room is opened with. */
export interface Opening {
  readonly options: Uint8Array; readonly match: Uint8Array; readonly stays: boolean
  /** Of who opened it; empty for the server's own. */
  readonly address: string
  /** Opened by somebody who comes back, where only the server opens rooms: if nothing is stored of it, it stays closed. */
  readonly onlyStored: boolean
  /** Opened by a join that named none: nobody else can have it yet. */
  readonly isMatched: boolean
}

/** An input as it is handed on: its index and its packed fields. */
export interface InputBody { readonly index: number; data: Uint8Array }

/** Other instances, as a room's clients and messages need them. */
export interface Peers {
  /** This instance's number; 0: nobody else can be there. */
  readonly instance: number
  /** Best effort. False: it surely does not arrive. */
  send(to: number, room: RoomEntry, body: PeerBody): boolean
}

/** What the store has of a room: a snapshot, and the records behind it; where they lead to. */
export interface StoredRoom { readonly state: Uint8Array | undefined; readonly records: readonly Uint8Array[]; readonly position: Position; readonly lineage: Lineage }

/** A room of this instance, which runs it or follows it: from the first join that names it until nobody here needs it. */
export interface RoomEntry {
  readonly id: string
  readonly type: CatalogEntry
  readonly peers: Peers
  readonly ownership: Ownership<Uint8Array>
  readonly forwarding: Forwarding<InputBody, number>
  /** Of its block; a replica that begins anew has another. */
  key: number
  /** `open`: its worker has a block that runs or follows the room. */
  state: 'opening' | 'open' | 'closed'
  link: WorkerLink
  /** Its worker was asked for a block. */
  isPlaced: boolean
  /** Workers to try when this one has no space. */
  places: number[]
  /** Address of the room's block, once it is open. */
  base: number
  /** The last record that its worker has published, and the last one that clients were handed. */
  heardSeq: number
  readonly at: { epoch: number; seq: number }
  tick: number
  parentEpoch: number
  forkSeq: number
  /** Where its worker was asked to begin, for a worker that has to be asked again. */
  begin: { readonly epoch: number; readonly parentEpoch: number; readonly forkSeq: number; readonly seq: number; readonly follows: boolean; readonly stored: Pick<StoredRoom, 'state' | 'records'> | undefined } | undefined
  /** Joins that wait for the room to open, or for somebody who runs it. */
  readonly pending: Set<Client>
  readonly clients: Map<number, Client>
  /** Clients that have a slot; how many of them are in step, and the others (broadcast.ts). */
  readonly bySlot: Map<number, Client>
  inStep: number
  readonly apart: Set<Client>
  /** What clients in step subscribe to. */
  readonly topic: string
  /** Sent since their queues were looked at. */
  unlookedBytes: number
  readonly opening: Opening
  /** What the room says of itself, as far as this thread was told. */
  listing: Readonly<Record<string, unknown>>
  isLocked: boolean
  /** Of all instances, while this one runs the room. */
  sessions: number
  /** When it was last entered in the directory; -Infinity: it is not to be there. */
  enlistedMs: number
  /** Own records that clients may not be handed yet, oldest first: their log does not have them. */
  readonly undelivered: { readonly seq: number; readonly address: number }[]
  /** Copies of own records on their way to others, by seq. */
  readonly outgoing: Map<number, Uint8Array>
  /** Up to which record the room is durable, and up to which it is stored. */
  durableSeq: number
  storedSeq: number
  /** What the store gave, until the room runs. */
  loaded: StoredRoom | undefined
  /** To be done when the store has answered to a snapshot at this seq, or behind it. */
  afterStore: { readonly seq: number; done(): void } | undefined
  /** Questions of others that its worker is answering, and answers whose records may not be told yet. */
  readonly fetches: Map<number, { readonly to: number; readonly request: number }>
  readonly answers: { readonly seq: number; readonly send: () => void }[]
  /** Parts of an answer that have arrived. */
  arriving: { readonly request: number; readonly parts: (Uint8Array | undefined)[] } | undefined
  /** Its clients were told that it plays on alone. */
  isDetached: boolean
  /** The epoch for which its owner was last told who is here. */
  attachedEpoch: number
  /** Ends the hearing of its channel. */
  unfollow: () => void
  /** Since when nobody here needs it; Infinity: somebody does. */
  idleSinceMs: number
}

export const createClient = (socket: Socket, instance: number, budget: number, nowMs: number): Client => ({
  socket, connection: connectionOf(instance, socket.id), state: 'new', request: undefined, room: undefined, slot: -1, sessionId: '', userId: '', identity: undefined, openedMs: nowMs,
  at: start, holeAt: 0, appliedThrough: 0, ownSeq: 0, durableTold: 0, due: undefined, owedThrough: 0, owedNacks: [], wantsTables: false, routes: 0, full: [], joiningMs: 0, sentInMs: 0, issued: 0, generation: 0,
  chunks: [], asked: false, budget, budgetMs: nowMs,
})
