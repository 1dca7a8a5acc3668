/**
 * Carries out what the ownership machine of each room wants (backplane/ownership.ts): asks the backplane, tells the room's worker, speaks to peers, and
 * brings back every answer as an event. Main thread. Nothing is decided here.
 *
 * Invariant: effects are carried out in the order in which the machine gave them; an answer for a room that is gone is dropped.
 */
import type { Backplane, StoredSnapshot } from '../backplane/backplane.js'
import { step } from '../backplane/ownership.js'
import type { Effect, Event } from '../backplane/protocol.js'
import { monotonicMs } from '../base/clock.js'
import { KasagiError } from '../base/errors.js'
import { positionOf, upTo, type Position } from '../base/lineage.js'
import { holds, toWorker, wideWords } from '../memory/crossing.js'
import type { PeerBody } from '../wire/peer-messages.js'
import type { RoomEntry } from './client.js'
import { tellSurely } from './worker-link.js'

export type RoomEvent = Event<Uint8Array>
export type RoomEffect = Effect<Uint8Array>
type Of<K extends RoomEffect['kind']> = Extract<RoomEffect, { kind: K }>

/** What the driver needs of the rest of the main thread. */
export interface DriverHooks {
  /** Opens the room on its worker, from what `room.begin` says. */
  open(room: RoomEntry): void
  /** The replica's block is given back, and a new one is opened with this state. */
  adopt(room: RoomEntry, state: Uint8Array, position: Position): void
  /** The room, or its replica, is no longer needed here. */
  drop(room: RoomEntry): void
  /** Own records up to `seq` may go to clients. */
  deliver(room: RoomEntry, seq: number): void
  /** The very bytes of an own record, until `settled` is called; undefined if history has lost it. */
  recordOf(room: RoomEntry, seq: number): Uint8Array | undefined
  settled(room: RoomEntry, seq: number): void
  /** Inputs may go somewhere, or no longer. */
  ownerChanged(room: RoomEntry): void
  /** It cannot be opened at all. */
  notOpened(room: RoomEntry, code: 'room-failed', cause: string): void
  discarded(room: RoomEntry, count: number): void
  detached(room: RoomEntry, isDetached: boolean): void
  send(to: number, room: RoomEntry, body: PeerBody): void
  say(room: RoomEntry, epoch: number, body: PeerBody): void
  subscribe(room: RoomEntry): void
}

export interface Driver { readonly backplane: Backplane; readonly hooks: DriverHooks; nextFetch: number }

/** Something has happened to a room. */
export function happen(driver: Driver, room: RoomEntry, event: RoomEvent): void {
  const { role, isOwnerRunning } = room.ownership
  for (const effect of step(room.ownership, event, monotonicMs())) carryOut(driver, room, effect)
  if (role !== room.ownership.role || isOwnerRunning !== room.ownership.isOwnerRunning) driver.hooks.ownerChanged(room)
}

/** Lets the answer of the backplane happen, unless the room is gone by then. */
function answer<T>(driver: Driver, room: RoomEntry, asked: Promise<T>, done: (value: T) => RoomEvent | undefined, failed: (code: string, error: Error) => RoomEvent | undefined): void {
  const take = (event: RoomEvent | undefined): void => { if (event !== undefined && room.state !== 'closed') happen(driver, room, event) }
  asked.then((value) => take(done(value)), (error: Error) => take(failed(error instanceof KasagiError ? error.code : '', error)))
}

function carryOut(driver: Driver, room: RoomEntry, effect: RoomEffect): void {
  const { hooks } = driver, { link, key } = room
  switch (effect.kind) {
    case 'claim': return claim(driver, room, effect)
    case 'renew': return renew(driver, room, effect)
    case 'load': return load(driver, room)
    case 'store': return tellSurely(link, toWorker.save, [key])
    case 'release': return release(driver, room, effect)
    case 'handOver': return handOver(driver, room, effect)
    case 'publish': return publish(driver, room, effect)
    case 'announce': return hooks.say(room, effect.epoch, { kind: 'announced', epoch: effect.epoch, position: effect.position })
    case 'beat': return hooks.say(room, effect.head.epoch, { kind: 'beat', head: effect.head, durableSeq: effect.durableSeq })
    case 'subscribe': return hooks.subscribe(room)
    case 'ask': return hooks.send(effect.to, room, { kind: 'asked', request: effect.request, position: effect.position, seen: effect.seen, isFetch: effect.isFetch })
    case 'answer': return fetch(driver, room, effect)
    case 'offer': return hooks.send(effect.to, room, { kind: 'offered', epoch: effect.epoch, position: effect.position })
    case 'present': return hooks.send(effect.to, room, { ...effect, sockets: [...room.clients.keys()].map((connection) => connection >>> 0) })
    case 'propose': return hooks.send(effect.to, room, { kind: 'proposed', request: effect.request, position: effect.position })
    case 'confirm': return hooks.send(effect.to, room, { kind: 'confirmed', request: effect.request })
    case 'refuse': return hooks.send(effect.to, room, { kind: 'declined', request: effect.request })
    case 'run': return run(driver, room, effect)
    case 'pause': return tellSurely(link, toWorker.hold, [key, holds.pause])
    case 'goOn': return tellSurely(link, toWorker.hold, [key, holds.goOn])
    case 'halt': return tellSurely(link, toWorker.hold, [key, holds.halt])
    case 'follow': return tellSurely(link, toWorker.follow, [key])
    case 'apply': return tellSurely(link, toWorker.record, [key, 0], effect.body)
    case 'adopt': return hooks.adopt(room, effect.body, effect.position)
    case 'drop': return hooks.drop(room)
    case 'deliver': return hooks.deliver(room, effect.seq)
    case 'durable': room.durableSeq = Math.max(room.durableSeq, effect.seq); return
    case 'detached': case 'attached': return hooks.detached(room, effect.kind === 'detached')
    case 'discard': return hooks.discarded(room, effect.count)
    case 'sweep': return tellSurely(link, toWorker.sweep, [key, ...effect.alive])
  }
}

function claim(driver: Driver, room: RoomEntry, { take, seen, sentMs }: Of<'claim'>): void {
  const { backplane, hooks } = driver
  answer(driver, room, backplane.claim(room.id, { take, seen, version: room.type.version }), (claimed) => {
    switch (claimed.kind) {
      case 'granted': return { kind: 'granted', epoch: claimed.epoch, previous: claimed.previous, stored: claimed.stored, sentMs }
      case 'held': return { kind: 'held', owner: claimed.lease.instance, epoch: claimed.lease.epoch, leftMs: claimed.ttlMs }
      case 'unowned': return { kind: 'unowned', epoch: claimed.epoch }
    }
  }, (code, { message }) => {
    if (code === 'data-bad' || (code === 'version-older' && room.ownership.owner === 0)) hooks.notOpened(room, 'room-failed', message)
    return { kind: code === 'version-older' ? 'versionOlder' : 'claimFailed' }
  })
}

/** A write of `epoch` was refused: the last one granted may be above, or, in a Redis that has forgotten, below. */
const staleOf = (epoch: number, error: Error): RoomEvent => {
  const { by, owner } = error as Error & { by?: number; owner?: number }
  return { kind: 'stale', epoch, by: by ?? epoch, owner: owner ?? 0 }
}

function renew(driver: Driver, room: RoomEntry, { epoch, sentMs }: Of<'renew'>): void {
  const at = { epoch, seq: room.ownership.position?.seq ?? 0, version: room.type.version }
  answer(driver, room, driver.backplane.renew(room.id, at), () => ({ kind: 'renewed', sentMs }), (code, error) => code === 'stale' ? staleOf(epoch, error) : { kind: 'renewFailed' })
}

function load(driver: Driver, room: RoomEntry): void {
  answer(driver, room, driver.backplane.load(room.id), (snapshot) => {
    if (snapshot === undefined) return { kind: 'loaded', position: undefined, lineage: [] }
    room.stored = snapshot
    return { kind: 'loaded', position: snapshot, lineage: snapshot.lineage }
  }, (code, { message }) => {
    if (code === 'data-bad') driver.hooks.notOpened(room, 'room-failed', message)
    return { kind: 'loadFailed' }
  })
}

/** From the store, from the replica that is here, or anew. */
function run({ hooks }: Driver, room: RoomEntry, { epoch, parentEpoch, forkSeq }: Of<'run'>): void {
  Object.assign(room, { epoch, parentEpoch, forkSeq })
  if (room.hasReplica) return tellSurely(room.link, toWorker.own, [room.key, ...wideWords(epoch)])
  hooks.open(room)
}

/** The room's record to everybody who follows it, straight from the arena. */
function publish(driver: Driver, room: RoomEntry, { epoch, seq }: Of<'publish'>): void {
  const { backplane, hooks } = driver, isLogged = room.type.durability.startsWith('ops')
  // Nobody else can be there.
  if (backplane.instance === 0 && !isLogged) return hooks.settled(room, seq)
  const record = hooks.recordOf(room, seq)
  if (record === undefined) return isLogged ? happen(driver, room, { kind: 'logGap', epoch }) : undefined
  answer(driver, room, backplane.publish(room.id, { epoch, seq, record, isLogged }), () => {
    hooks.settled(room, seq)
    return isLogged ? { kind: 'logged', epoch, seq } : undefined
  }, (code, error) => {
    hooks.settled(room, seq)
    if (code === 'stale') return staleOf(epoch, error)
    if (!isLogged) return undefined
    return code === 'log-older' ? { kind: 'logged', epoch, seq } : code === 'log-gap' ? { kind: 'logGap', epoch } : { kind: 'logFailed', epoch }
  })
}

/** Lets go of the lease; first what is committed is stored, where that has not been done. */
function release(driver: Driver, room: RoomEntry, { epoch, stored }: Of<'release'>): void {
  const letGo = (): void => {
    driver.hooks.say(room, epoch, { kind: 'released', epoch })
    driver.backplane.release(room.id, epoch).catch(() => {})
  }
  if (stored === undefined || room.type.durability === 'none' || room.storedSeq >= stored.position.seq) return letGo()
  room.lastStore = { epoch, done: letGo }
  tellSurely(room.link, toWorker.save, [room.key])
}

function handOver(driver: Driver, room: RoomEntry, { to, epoch, position }: Of<'handOver'>): void {
  const version = room.ownership.peers.get(to)?.version ?? room.type.version
  answer(driver, room, driver.backplane.handOver(room.id, { epoch, seq: position.seq, to, version }), (granted) => {
    driver.hooks.say(room, granted, { kind: 'handed', epoch: granted, to, position })
    return { kind: 'handedOver', epoch: granted }
  }, () => ({ kind: 'handOverFailed' }))
}

/** Asks the worker for what a peer has missed. */
function fetch(driver: Driver, room: RoomEntry, { to, request, from }: Of<'answer'>): void {
  const id = ++driver.nextFetch
  room.fetches.set(id, { to, request })
  tellSurely(room.link, toWorker.fetch, [room.key, id, ...wideWords(from?.epoch ?? 0), ...wideWords(from?.seq ?? 0)])
}

/** What a worker has committed goes to the store; the lineage with it, so that a copy that was away can tell what it must give up. */
export function storeRoom(driver: Driver, room: RoomEntry, written: Omit<StoredSnapshot, 'version' | 'lineage'>, onStored: () => void, onFailed: (cause: string) => void): void {
  const { ownership, lastStore } = room
  const lineage = upTo(ownership.lineage, positionOf({ epoch: written.epoch, seq: written.seq, parentEpoch: room.parentEpoch, forkSeq: room.forkSeq }))
  room.lastStore = undefined
  driver.backplane.store(room.id, { ...written, version: room.type.version, lineage }).then(() => {
    room.storedSeq = Math.max(room.storedSeq, written.seq)
    onStored()
    if (room.state !== 'closed') happen(driver, room, { kind: 'stored', epoch: written.epoch, seq: written.seq })
  }, (error: Error) => {
    onFailed(error.message)
    if (room.state !== 'closed') happen(driver, room, { kind: 'storeFailed' })
  }).finally(() => lastStore?.done())
}
