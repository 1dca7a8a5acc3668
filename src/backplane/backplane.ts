/**
 * The backplane: what of a room outlives its process, and what instances tell each other. Main thread; nothing here is slow for the caller, and
 * nothing reads a room's state: snapshots, records and messages are opaque bytes.
 *
 * What every implementation guarantees, and test/suites/backplane.ts holds it to:
 *
 *  - **Epochs only grow.** An epoch that `claim` or `handOver` grants is above every one that was ever granted for that room, as far as the store, its
 *    snapshot, its log and the caller (`seen`) know, and above the clock's milliseconds. It carries bits of its owner's instance, so that two stores that
 *    do not know of each other do not grant the same, and is a random step ahead in a store that may forget. It is durable in the store before the
 *    promise resolves.
 *  - **One lease at a time.** While a lease runs, claims are answered with `held`; of many that claim a free room at once, one is granted it. Whoever has a
 *    lease may claim again: it gets a new epoch. A lease runs for `leaseMs` from when the store took the claim, renewal or hand-over; after that it
 *    is gone, but its epoch stays the last one, and its owner may renew until somebody else is granted the room. A lease that is found to run longer is
 *    cut to `leaseMs`: expiries are times of day, and the clock of a promoted copy may be behind.
 *  - **A claim takes no more than it says.** A room that nobody owns is taken only as far as `take` goes; else the answer is `unowned`, and nothing has
 *    changed. A room is free if it never had an owner, if its last owner released it and has not renewed since, or if the lease is the claimant's own. Where
 *    nobody else can be, every claim is granted. A claim that is granted says which epoch was granted before, and how far snapshot and log lead.
 *  - **One writer counts.** Every write (`publish`, `store`, `remove`, `release`, `handOver`) names an epoch, and is refused as `stale` unless that is the
 *    last one granted. What is refused is seen by nobody. A {@link StaleError} says who has the room instead. One whose `by` is lower than the writer's epoch
 *    comes of a store that has forgotten (it was lost, or its copy took over): it refuses all writes until `renew` has put back what it should know.
 *  - **No going back.** A claim or a hand-over by a lower room version than the room has known is refused as `version-older`, and changes nothing. A
 *    snapshot is refused as `stale` if the same owner has stored one at a higher seq, or a later owner has stored one. Else it replaces what is stored,
 *    though it may stand at a lower position: that is what the room's owner has.
 *  - **In order.** Calls about one room take effect in the order in which they were made, whether or not anybody waits for them.
 *  - **A snapshot is whole or not there.** What `load` gives back is the last stored snapshot, byte for byte, or undefined if there is none.
 *  - **A log without doubles and holes.** A logged record must be the next of its epoch: behind the last logged one, or behind the stored snapshot if that is
 *    newer. One that the log has already, or that comes before what it has, is refused as `log-older`; one that leaves out some as `log-gap`; neither is
 *    seen by anybody. The first logged record of an epoch may have any seq. Storing a snapshot cuts the log: what stays is the storing owner's own records
 *    behind it. What earlier owners logged beyond it is on no line any more.
 *  - **A channel in order, at most once.** A follower gets what is published of its room, in order, from the `gap` on that says it is heard. Whatever might
 *    have been missed is told as another `gap`, before anything that was published later. Messages to an instance are best effort, in order per sender.
 *  - **Nobody is believed.** What the store gives back is bounded in size and checked before use: `data-bad`, and it is left as it is.
 *  - **No queue without end.** Beyond a bound of unanswered calls, `publish` rejects with `backplane-busy` at once: the caller's history is the queue.
 *  - Every failure rejects with a KasagiError whose code is named here, or with `store-failed` and the cause: the store has refused it. `store-lost`: it
 *    cannot be reached or does not answer; what was asked for may have happened or not, or may still happen as long as its epoch is the last. Nothing is tried
 *    again in silence.
 */
import { KasagiError } from '../base/errors.js'
import type { Lineage, Position } from '../base/lineage.js'
import type { Take } from './protocol.js'

/** Of one record among all of a room: later epochs are behind all seqs of earlier ones. */
export type { Position, Take }

export const isBehind = (a: Position, b: Position): boolean => a.epoch < b.epoch || a.epoch === b.epoch && a.seq < b.seq

/** Whether a log may go on with `next` behind `last`, the record before it that was read: within an epoch nothing is left out. */
export const isNext = (last: Position | undefined, next: Position): boolean =>
  last === undefined || isBehind(last, next) && (last.epoch !== next.epoch || last.seq + 1 === next.seq)

/** A room at a position, which may be of an epoch below that of the owner that stores it: an epoch without records is no part of any position. */
export interface StoredSnapshot extends Position {
  /** The forks that lead to the position; of more than `lineageForksMax`, the newest are kept. */
  readonly lineage: Lineage
  /** Opaque here: workers/stored-room.ts writes and reads it. */
  readonly data: Uint8Array
  readonly tick: number
  /** When it was stored, ms since 1970. */
  readonly ts: number
  /** Of the room module that wrote it. */
  readonly version: number
}

/** Who runs a room, and where it was when it last said so. */
export interface Lease extends Position { readonly instance: number }

export type Claim =
  /** `previous`: the epoch granted before, 0: none; `stored`: the newest position that snapshot and log lead to. */
  | { readonly kind: 'granted'; readonly epoch: number; readonly previous: number; readonly stored: Position | undefined; readonly ended: number }
  /** `ttlMs`: the lease runs so much longer unless it is renewed. */
  | { readonly kind: 'held'; readonly lease: Lease; readonly ttlMs: number }
  /** Nobody owns the room, and `take` did not allow to take it. `epoch`: the last one granted. */
  | { readonly kind: 'unowned'; readonly epoch: number }

/**
 * A write was refused. `by`: the last epoch granted, as the store knows; the writer's own if it has stored a later snapshot itself. `owner`: the instance
 * that holds the lease; 0: none, or nobody else can be there.
 */
export class StaleError extends KasagiError {
  constructor(text: string, readonly by: number, readonly owner: number) {
    super('stale', text)
  }
}

export interface LoggedRecord extends Position { readonly record: Uint8Array }

/** An open room, for those who look for one. */
export interface DirectoryEntry {
  readonly roomId: string
  /** Its owner. */
  readonly instance: number
  readonly sessions: number
  /** JSON. */
  readonly listing: string
}

export interface Follower {
  message(bytes: Uint8Array): void
  /** Anything published before now may be missing; from now on nothing is, until the next gap. Also told once when following has begun. */
  gap(): void
}

export interface BackplaneEvents {
  /** Came to this instance's inbox. */
  message(bytes: Uint8Array): void
  /** The store is lost or back; it is there to begin with. */
  reachable(isReachable: boolean): void
  /** Another process has this instance's number: this one was away for too long, and must end. */
  lost(): void
}

export interface Backplane {
  /** For people: where rooms are kept. */
  readonly place: string
  /** This instance's number among those that run now: 1 to 2^20 - 1; 0: nobody else can be there. */
  readonly instance: number
  /** How long a lease runs that is not renewed; Infinity: as long as the process. */
  readonly leaseMs: number
  /** Sets who is told. */
  listen(events: BackplaneEvents): void

  /**
   * Asks for a room's lease. `seen`: the highest epoch that the caller knows of it, or 0; `version`: of its module; `take`: what may be taken. Rejects:
   * version-older, unless somebody else holds it or it may not be taken; data-bad.
   */
  claim(roomId: string, asked: { readonly seen: number; readonly version: number; readonly take: Take }): Promise<Claim>
  /** Lengthens the lease, and says where the room is. `restored`: the store had forgotten the room, and may have lost snapshot and log too. Rejects: stale. */
  renew(roomId: string, at: Position & { readonly version: number }): Promise<'renewed' | 'restored'>
  /** Gives the lease back: the room is free, and the next claim is granted at once. Rejects: stale. */
  release(roomId: string, epoch: number): Promise<void>
  /** Moves the lease to instance `to`, which runs `version`, at this position: resolves to the epoch granted to it. Rejects: stale, version-older. */
  handOver(roomId: string, at: Position & { readonly to: number; readonly version: number }): Promise<number>

  /** What is stored of a room. Rejects: data-bad. */
  load(roomId: string): Promise<StoredSnapshot | undefined>
  /** Stores what the owner of `epoch` has of a room, and cuts its log below. Rejects: stale. */
  store(roomId: string, epoch: number, snapshot: StoredSnapshot): Promise<void>
  /** Ends the room: forgets snapshot and log, and later claims are told that nothing up to this epoch counts any more. Its epochs go on growing. Rejects: stale. */
  remove(roomId: string, epoch: number): Promise<void>

  /**
   * Tells all followers; with `isLogged` also the log, and resolves when the log has it durably. The bytes must stay as they are until it settles.
   * Rejects: stale, log-older, log-gap, backplane-busy.
   */
  publish(roomId: string, record: LoggedRecord & { readonly isLogged: boolean }): Promise<void>
  /** The log behind a position, in order and without holes, up to where it ends when its end is reached. Throws: data-bad, also if it is cut meanwhile. */
  readLog(roomId: string, after: Position): AsyncIterable<LoggedRecord>
  /** Hears a room's channel until the function that it gives back is called. */
  follow(roomId: string, follower: Follower): () => void
  /** Sends bytes to an instance's inbox, best effort. False: they surely do not arrive. */
  send(instance: number, bytes: Uint8Array): boolean

  /** Enters an open room in the directory of its type, for as long as a lease runs; undefined takes it out again. Best effort: an entry is a hint. */
  enlist(type: string, roomId: string, entry: Omit<DirectoryEntry, 'roomId' | 'instance'> | undefined): Promise<void>
  /** The directory of a type. */
  list(type: string): Promise<DirectoryEntry[]>

  /** Resolves when everything asked for before is done. */
  close(): Promise<void>
}

/**
 * Milliseconds above ten bits of the claimant's, so that two that claim at once do not get the same. `ahead`: up to a second, drawn at random where a
 * store may forget what it granted, so that the same claimant does not get the same again.
 */
export const epochOf = (stored: number, seen: number, wallMs: number, claimant: number, ahead = 0): number =>
  (Math.max(high(stored) + 1, high(seen) + 1, wallMs) + ahead) * claimants + claimant % claimants

/** True for an epoch that others can follow, below 2^53. */
export const isEpoch = (value: unknown): boolean => Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 52

export const claimants = 1024
const high = (epoch: number): number => Math.floor(epoch / claimants)
