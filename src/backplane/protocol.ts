/**
 * The words of the ownership protocol: settings, state, events and effects of one room on one instance. Types only. `B` is whatever the driver
 * carries for a record or a state; the machine hands it on and never looks inside.
 *
 * The machine speaks only of positions; who hands bytes to the worker and back is the driver.
 *
 * Every effect that asks Redis something is answered by exactly one event, which brings back the `sentMs` of the effect: a lease counts from before
 * its claim was sent, however long the answer took.
 */
import type { continues, Head, Lineage, Position } from '../base/lineage.js'

export interface Settings {
  /** This instance's id. */
  readonly instance: number
  /** Of the room module that this instance runs. */
  readonly version: number
  readonly leaseMs: number
  readonly durability: 'none' | 'snapshot' | 'ops' | 'ops-sync'
  readonly whenDetached: 'continue' | 'freeze'
  /** Uniform in [0, 1). */
  random(): number
  /** The receiver rule; another than lineage.ts has is for planting a bug. */
  readonly continues: typeof continues
}

/**
 * idle: nobody here needs the room. following: an edge, with a replica or still without one; looks for an owner, and may become it. gathering: the
 * lease is won, and what is newest among those who live is being fetched. owning: runs the room. handing: runs it no more, and has not let go yet.
 */
export type Role = 'idle' | 'following' | 'gathering' | 'owning' | 'handing'

/** A question under way; an answer to any other number is dropped. */
export interface Question { readonly number: number; readonly of: number; readonly untilMs: number; readonly tries: number }

export interface HeardRecord<B> { readonly head: Head; readonly owner: number; readonly body: B }

/** `store` and `own` beside the instances that said they have something. */
export interface Candidate { readonly who: number | 'own' | 'store'; readonly position: Position }

export interface Peer { readonly heardMs: number; readonly version: number; readonly isDraining: boolean; readonly hasReplica: boolean }

export interface Ownership<B> {
  readonly settings: Settings
  role: Role
  isReachable: boolean
  isDraining: boolean
  /** Where the room, or its replica, stands: what was handed to the worker, in order. Undefined: there is neither. */
  position: Position | undefined
  lineage: Lineage
  /** Where a copy stood that broke: what the next one does not have of it is given up. */
  broken: { readonly position: Position; readonly lineage: Lineage } | undefined
  /** The highest epoch heard of: what lower ones say is void. */
  seen: number
  requests: number

  // An edge
  /** Who owns the room, as far as is known; 0: nobody. */
  owner: number
  /** The owner has been heard since it took over: inputs may go to it. */
  isOwnerRunning: boolean
  heardMs: number
  /** Nothing was heard for a lease's time. */
  isSilent: boolean
  question: Question | undefined
  /** Records that came while a question is open, behind a gap. */
  waiting: HeardRecord<B>[]
  presentAtMs: number
  /** A proposal to take the room over at a position that is not reached yet. */
  proposal: { readonly from: number; readonly request: number; readonly position: Position; readonly untilMs: number } | undefined
  /** The room was handed over to this instance, at this position and with this epoch. */
  handed: { readonly epoch: number; readonly position: Position } | undefined

  // Claiming
  isClaiming: boolean
  claimAtMs: number
  /** Behind an outage, rooms of others are left to them until then. */
  claimNotBeforeMs: number
  /** The room has been run by a later version: this instance only follows. */
  isOlder: boolean
  /** A room whose owner died may be claimed from then on by somebody without a replica. */
  orphanedAtMs: number

  // An owner
  /** The epoch that this instance was granted; 0 while it holds none. */
  epoch: number
  leaseEndMs: number
  isRenewing: boolean
  renewAtMs: number
  /** Its clients were told that it plays on alone, and not yet otherwise, whatever it is by now. */
  isDetached: boolean
  /** What the room was last told. */
  isPaused: boolean
  readonly peers: Map<number, Peer>
  /** Edges may be called dead from then on; before, their silence may be ours. */
  sweepFromMs: number
  gather: { untilMs: number; candidates: readonly Candidate[]; isLoading: boolean; readonly ended: number } | undefined
  handing: { readonly to: number; readonly request: number; stage: 'halting' | 'halted' | 'confirming' | 'moving'; readonly untilMs: number } | undefined
  /** Records up to here are in the op log, or in a stored snapshot. */
  loggedSeq: number
  /** Records up to here were sent to the op log. */
  sentSeq: number
  isStoring: boolean
  retryLogAtMs: number
  /** The newest position that was stored when the lease was won. */
  stored: Position | undefined
}

/**
 * What a claim may take. nothing: it only asks who owns the room. free: a room that never had an owner, or was released. orphaned: also one whose
 * owner's lease ran out.
 */
export type Take = 'nothing' | 'free' | 'orphaned'

export type Event<B> =
  | { readonly kind: 'time' }
  /** Somebody here needs the room, or nobody does any more. */
  | { readonly kind: 'wanted' } | { readonly kind: 'unwanted' }
  /** The owner's room is to be stored and closed. */
  | { readonly kind: 'close' }
  | { readonly kind: 'reachable' } | { readonly kind: 'unreachable' }
  /** A subscriber connection came back: messages may have been lost. */
  | { readonly kind: 'subscribed' }
  // Answers of Redis
  /** `previous`: the epoch granted before; `stored`: the newest position that snapshot and log lead to; `ended`: copies of up to this epoch are of a room that was closed for good. */
  | { readonly kind: 'granted'; readonly epoch: number; readonly previous: number; readonly sentMs: number; readonly stored: Position | undefined; readonly ended: number }
  | { readonly kind: 'held'; readonly owner: number; readonly epoch: number; readonly leftMs: number }
  /** Nobody owns the room, and `take` did not allow to take it. */
  | { readonly kind: 'unowned'; readonly epoch: number }
  | { readonly kind: 'versionOlder' }
  | { readonly kind: 'claimFailed' }
  | { readonly kind: 'renewed'; readonly sentMs: number } | { readonly kind: 'renewFailed' }
  /** A write of `epoch` was refused: `owner` has the room, with epoch `by`. */
  | { readonly kind: 'stale'; readonly epoch: number; readonly by: number; readonly owner: number }
  | { readonly kind: 'loaded'; readonly position: Position | undefined; readonly lineage: Lineage } | { readonly kind: 'loadFailed' }
  | { readonly kind: 'stored'; readonly epoch: number; readonly seq: number } | { readonly kind: 'storeFailed' }
  | { readonly kind: 'logged'; readonly epoch: number; readonly seq: number }
  /** The log does not reach up to the record before `seq`; or nobody knows. */
  | { readonly kind: 'logGap'; readonly epoch: number } | { readonly kind: 'logFailed'; readonly epoch: number }
  | { readonly kind: 'handedOver'; readonly epoch: number } | { readonly kind: 'handOverFailed' }
  // On the room's channel
  | { readonly kind: 'record'; readonly head: Head; readonly owner: number; readonly body: B }
  | { readonly kind: 'beat'; readonly head: Head; readonly owner: number; readonly durableSeq: number }
  | { readonly kind: 'announced'; readonly epoch: number; readonly owner: number; readonly position: Position | undefined }
  | { readonly kind: 'handed'; readonly epoch: number; readonly owner: number; readonly position: Position }
  | { readonly kind: 'released'; readonly epoch: number }
  // In this instance's inbox
  | {
    readonly kind: 'asked'; readonly from: number; readonly request: number; readonly position: Position | undefined; readonly seen: number
    /** It is a winner's, for what was offered. */
    readonly isFetch: boolean
  }
  | { readonly kind: 'records'; readonly request: number; readonly records: readonly HeardRecord<B>[] }
  | { readonly kind: 'state'; readonly request: number; readonly position: Position; readonly lineage: Lineage; readonly body: B }
  | { readonly kind: 'offered'; readonly from: number; readonly epoch: number; readonly position: Position }
  | { readonly kind: 'present'; readonly from: number; readonly version: number; readonly isDraining: boolean; readonly hasReplica: boolean }
  | { readonly kind: 'proposed'; readonly from: number; readonly request: number; readonly position: Position }
  | { readonly kind: 'confirmed'; readonly request: number } | { readonly kind: 'refused'; readonly request: number }
  // From the local room
  | { readonly kind: 'flushed'; readonly seq: number }
  /** It has stopped applying, and everything is flushed. */
  | { readonly kind: 'halted' }
  /** It could not be opened, or lost its state. */
  | { readonly kind: 'failed' }
  // From the operator
  | { readonly kind: 'drain' }
  | { readonly kind: 'move'; readonly to: number }

export type Effect<B> =
  // Asked of Redis
  | { readonly kind: 'claim'; readonly take: Take; readonly seen: number; readonly sentMs: number }
  | { readonly kind: 'renew'; readonly epoch: number; readonly sentMs: number }
  | { readonly kind: 'handOver'; readonly to: number; readonly epoch: number; readonly position: Position }
  /** Bring the replica up to what is stored, if that is newer than `from`: by the op log where it continues the replica, else by snapshot and log. */
  | { readonly kind: 'load'; readonly from: Position | undefined }
  | { readonly kind: 'store'; readonly epoch: number }
  /** Store the room as it stands at `stored`, if that is given, and let go of the lease. Not answered. */
  | { readonly kind: 'release'; readonly epoch: number; readonly stored: { readonly position: Position; readonly lineage: Lineage } | undefined }
  // On the channel, through the fence; not answered unless stale. With an op log, publish also appends, and is answered.
  | { readonly kind: 'publish'; readonly epoch: number; readonly seq: number }
  | { readonly kind: 'announce'; readonly epoch: number; readonly position: Position | undefined }
  | { readonly kind: 'beat'; readonly head: Head; readonly durableSeq: number }
  | { readonly kind: 'subscribe' }
  // To an instance's inbox
  | {
    readonly kind: 'ask'; readonly to: number; readonly request: number; readonly position: Position | undefined; readonly seen: number
    readonly isFetch: boolean
  }
  /**
   * From `from` on, records if history has all of them, else state; without `from`, state. An owner's answer leaves when `deliver` has reached what
   * it brings.
   */
  | { readonly kind: 'answer'; readonly to: number; readonly request: number; readonly from: Position | undefined }
  | { readonly kind: 'offer'; readonly to: number; readonly epoch: number; readonly position: Position }
  /** The driver adds which sessions are connected here. */
  | { readonly kind: 'present'; readonly to: number; readonly version: number; readonly isDraining: boolean; readonly hasReplica: boolean }
  | { readonly kind: 'propose'; readonly to: number; readonly request: number; readonly position: Position }
  | { readonly kind: 'confirm'; readonly to: number; readonly request: number } | { readonly kind: 'refuse'; readonly to: number; readonly request: number }
  // To the local room
  | { readonly kind: 'run'; readonly epoch: number; readonly parentEpoch: number; readonly forkSeq: number; readonly isNew: boolean }
  /** Apply nothing until told to go on. */
  | { readonly kind: 'pause' } | { readonly kind: 'goOn' }
  /** Apply nothing more, flush what is applied, say `halted`. */
  | { readonly kind: 'halt' }
  /** Committed state stays and follows; what is applied and not flushed goes. */
  | { readonly kind: 'follow' }
  | { readonly kind: 'apply'; readonly head: Head; readonly body: B }
  | { readonly kind: 'adopt'; readonly position: Position; readonly body: B }
  | { readonly kind: 'drop' }
  // To local clients, logs and metrics
  /** What this room holds up to `seq` may go to local clients. Edges wait for no such word: what they apply, they pass on. */
  | { readonly kind: 'deliver'; readonly seq: number }
  /** What is applied up to `seq` is durable, as `durability` means it. Records say the same of those before them. */
  | { readonly kind: 'durable'; readonly seq: number }
  | { readonly kind: 'detached' } | { readonly kind: 'attached' }
  /** The last `count` records of this copy are void: clients that saw them are told. */
  | { readonly kind: 'discard'; readonly count: number; readonly from: Position }
  /** Sessions of all other instances enter their grace time. */
  | { readonly kind: 'sweep'; readonly alive: readonly number[] }

/** What a function of the machine needs: the state, the time, and where its effects go. */
export interface Turn<B> { readonly room: Ownership<B>; readonly nowMs: number; readonly effects: Effect<B>[] }

export type Of<B, K extends Event<B>['kind']> = Extract<Event<B>, { kind: K }>
