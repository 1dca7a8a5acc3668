/**
 * A connection and its room as the main thread holds them: plain data that names each other. session.ts drives a client by what it sends,
 * outbox.ts by what its room sends, rooms.ts opens rooms and forgets them. Main thread.
 */
import type { CatalogEntry } from '../memory/crossing.js'
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
  /** It comes back to a session, with this token, position and first input it still holds. */
  readonly resume: { readonly claims: ResumeClaims; readonly epoch: number; readonly seq: number; readonly firstHeld: number } | undefined
}

export interface Client {
  readonly socket: Socket
  /** Equal to the socket's id: what worker and route list call this connection. */
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
  /** Position: the last frame it got. */
  epoch: number
  seq: number
  /** The next input number that is accepted, and the last one that went to the worker. */
  nextInput: number
  lastForwarded: number
  /** The input number that was last asked for again: a hole is answered once, not for each input behind it. */
  holeAt: number
  /** Last input number that an Own has told it. */
  appliedThrough: number
  /** What it is to be told as soon as it is live again: its last input number, and refusals, oldest first. */
  owedThrough: number
  owedNacks: NackMessage[]
  wantsTables: boolean
  /** Rooms that its join has been sent to. */
  routes: number
  /** The generation of the token that its Welcome has brought, until the client says that it has it; 0: none. */
  issued: number
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
}

/** A room of this instance, from the first join that names it to the release of its block. */
export interface RoomEntry {
  readonly id: string
  readonly key: number
  readonly type: CatalogEntry
  epoch: number
  state: 'opening' | 'open' | 'closed'
  link: WorkerLink
  /** Workers to try when this one has no space. */
  places: number[]
  /** Address of the room's block, once it is open. */
  base: number
  lastSeq: number
  tick: number
  parentEpoch: number
  forkSeq: number
  /** Joins that wait for the room to open. */
  readonly pending: Client[]
  readonly clients: Map<number, Client>
  /** Clients that get every frame, by slot. */
  readonly bySlot: Map<number, Client>
  readonly opening: Opening
  /** What the room says of itself, as far as this thread was told. */
  listing: Readonly<Record<string, unknown>>
  isLocked: boolean
  /** What its store holds, until the room is open. */
  stored: Uint8Array | undefined
}

export const createClient = (socket: Socket, budget: number, nowMs: number): Client => ({
  socket, connection: socket.id, state: 'new', request: undefined, room: undefined, slot: -1, sessionId: '', userId: '', identity: undefined, openedMs: nowMs, epoch: 0, seq: 0, nextInput: 1, lastForwarded: 0, holeAt: 0,
  appliedThrough: 0, owedThrough: 0, owedNacks: [], wantsTables: false, routes: 0, issued: 0, chunks: [], asked: false, budget, budgetMs: nowMs,
})
