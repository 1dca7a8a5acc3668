/** What rooms ask of the backplane, and which event each answer is; and what driver.ts needs of the rest of the main thread. */
import { StaleError, type Backplane, type StoredSnapshot } from '../backplane/backplane.js'
import type { Effect, Event } from '../backplane/protocol.js'
import { KasagiError } from '../base/errors.js'
import { continues, extend, isNewer, start, type Lineage, type Position } from '../base/lineage.js'
import { toWorker } from '../memory/crossing.js'
import { writePeer, type PeerBody } from '../wire/peer-messages.js'
import { delist, enlist } from './directory.js'
import { openPeerRecord } from './peer-record.js'
import type { RoomEntry, StoredRoom } from './client.js'
import { tellSurely } from './worker-link.js'

export type RoomEvent = Event<Uint8Array>
export type RoomEffect = Effect<Uint8Array>
export type EffectOf<K extends RoomEffect['kind']> = Extract<RoomEffect, { kind: K }>

/** What the rest of the main thread does about a room. */
export interface DriverHooks {
  /** It is to be run from here on, from what `room.begin` says; its worker has no block of it yet. */
  open(room: RoomEntry): void
  /** Its replica begins anew with this state. */
  adopt(room: RoomEntry, state: Uint8Array): void
  /** The block is given back. */
  drop(room: RoomEntry): void
  /** Own records up to `seq` may go to clients. */
  deliver(room: RoomEntry, seq: number): void
  /** Inputs up to `room.durableSeq` need not be kept any more. */
  durable(room: RoomEntry): void
  /** Who runs it has changed, or whether anybody does. */
  ownerChanged(room: RoomEntry): void
  /** The replica is run from here on. */
  tookOver(room: RoomEntry, epoch: number, seq: number): void
  discarded(room: RoomEntry, count: number): void
  detached(room: RoomEntry, isDetached: boolean): void
  /** It cannot be opened here. */
  notOpened(room: RoomEntry, code: 'room-failed' | 'session-gone' | 'no-owner', cause: string): void
  /** The channel may have been silent: it is heard anew. */
  subscribe(room: RoomEntry): void
  onStored(room: RoomEntry, bytes: number, seconds: number): void
  onStoreFailed(room: RoomEntry, error: Error): void
}

export interface Driver {
  readonly backplane: Backplane
  readonly hooks: DriverHooks
  lastFetch: number
  /** Something has happened to a room. */
  happen(room: RoomEntry, event: RoomEvent): void
}

/** To everybody who follows the room, as long as `epoch` is the last one granted. */
export function say({ backplane }: Driver, room: RoomEntry, epoch: number, body: PeerBody): void {
  if (backplane.instance === 0) return
  // Refused, it is void; and whoever has the room now says so itself.
  backplane.publish(room.id, { epoch, seq: 0, record: writePeer(backplane.instance, room.id, body), isLogged: false }).catch(() => {})
}

/** Lets an answer happen, unless the room is gone by then. */
function answer<T>(driver: Driver, room: RoomEntry, asked: Promise<T>, done: (value: T) => RoomEvent | undefined, failed: (code: string, error: Error) => RoomEvent | undefined): void {
  const take = (event: RoomEvent | undefined): void => { if (event !== undefined && room.state !== 'closed') driver.happen(room, event) }
  asked.then((value) => take(done(value)), (error: Error) => take(failed(error instanceof KasagiError ? error.code : '', error)))
}

export function askClaim(driver: Driver, room: RoomEntry, { take, seen, sentMs }: EffectOf<'claim'>): void {
  const { backplane, hooks } = driver
  answer(driver, room, backplane.claim(room.id, { take, seen, version: room.type.version }), (claimed) => {
    switch (claimed.kind) {
      case 'granted': return { kind: 'granted', epoch: claimed.epoch, previous: claimed.previous, stored: room.type.durability === 'none' ? undefined : claimed.stored, ended: claimed.ended, sentMs }
      case 'held': return { kind: 'held', owner: claimed.lease.instance, epoch: claimed.lease.epoch, leftMs: claimed.ttlMs }
      case 'unowned': return { kind: 'unowned', epoch: claimed.epoch }
    }
  }, (code, { message }) => {
    // Nobody here can run it, and nobody else does; of a later version somebody else may come.
    const isOlder = code === 'version-older', isHopeless = code === 'data-bad' || code === 'store-failed' || (isOlder && backplane.instance === 0)
    if (isHopeless) hooks.notOpened(room, 'room-failed', message)
    else if (isOlder && !room.isPlaced) hooks.notOpened(room, 'no-owner', message)
    return { kind: code === 'version-older' ? 'versionOlder' : 'claimFailed' }
  })
}

/** A write of `epoch` was refused; in a store that has forgotten, the last one granted lies below. */
const staleOf = (epoch: number, error: Error): RoomEvent =>
  error instanceof StaleError ? { kind: 'stale', epoch, by: error.by, owner: error.owner } : { kind: 'renewFailed' }

export function askRenew(driver: Driver, room: RoomEntry, { epoch, sentMs }: EffectOf<'renew'>): void {
  const { ownership, type } = room
  enlist(driver, room)
  answer(driver, room, driver.backplane.renew(room.id, { epoch, seq: ownership.position?.seq ?? 0, version: type.version }), (how) => {
    // It may have lost the log with the lease.
    if (how === 'restored' && type.durability.startsWith('ops')) driver.happen(room, { kind: 'logGap', epoch })
    return { kind: 'renewed', sentMs }
  }, (_, error) => staleOf(epoch, error))
}

/** What is stored, up to where snapshot and log lead. */
export function askLoad(driver: Driver, room: RoomEntry, { from }: EffectOf<'load'>): void {
  answer(driver, room, load(driver, room), (stored) => {
    room.loaded = stored !== undefined && isNewer(stored.position, from) ? stored : undefined
    return { kind: 'loaded', position: stored?.position, lineage: stored?.lineage ?? [] }
  }, (code, { message }) => {
    if (code === 'data-bad') driver.hooks.notOpened(room, 'room-failed', message)
    return { kind: 'loadFailed' }
  })
}

const load = ({ backplane }: Driver, { id, type }: RoomEntry): Promise<StoredRoom | undefined> => loadStored(backplane, id, type.durability.startsWith('ops'), Infinity)

/** What is stored of a room; with `isLogged` also the records behind it, up to seq `through`. Rejects with KasagiError `data-bad`. */
export async function loadStored(backplane: Backplane, roomId: string, isLogged: boolean, through: number): Promise<StoredRoom | undefined> {
  const snapshot: StoredSnapshot | undefined = await backplane.load(roomId)
  let position: Position = snapshot ?? start, lineage: Lineage = snapshot?.lineage ?? []
  const records: Uint8Array[] = []
  if (isLogged) {
    for await (const { record } of backplane.readLog(roomId, position)) {
      const opened = openPeerRecord(record)
      if (opened === undefined) throw new KasagiError('data-bad', `a record in the log of ${roomId} is none`)
      if (!continues(position, opened.head)) continue
      if (opened.head.seq > through) break
      // A copy: it is posted to the worker, and a view would take along all that it is a view of.
      records.push(new Uint8Array(opened.bytes))
      position = { epoch: opened.head.epoch, seq: opened.head.seq }
      lineage = extend(lineage, opened.head)
    }
  }
  return snapshot === undefined && records.length === 0 ? undefined : { state: snapshot?.data, records, position, lineage }
}

/** An own record, to everybody who follows the room, and to its log. */
export function publishRecord(driver: Driver, room: RoomEntry, { epoch, seq }: EffectOf<'publish'>): void {
  const { backplane } = driver, isLogged = room.type.durability.startsWith('ops'), record = room.outgoing.get(seq)
  if (backplane.instance === 0 && !isLogged) return
  if (record === undefined) return isLogged ? driver.happen(room, { kind: 'logGap', epoch }) : undefined
  answer(driver, room, backplane.publish(room.id, { epoch, seq, record, isLogged }), () => {
    room.outgoing.delete(seq)
    return isLogged ? { kind: 'logged', epoch, seq } : undefined
  }, (code, error) => {
    if (code === 'stale') return staleOf(epoch, error)
    if (!isLogged) return undefined
    return code === 'log-older' ? { kind: 'logged', epoch, seq } : code === 'log-gap' ? { kind: 'logGap', epoch } : { kind: 'logFailed', epoch }
  })
}

/** Gives the lease back: who follows the room may take it at once. */
export function letGo(driver: Driver, room: RoomEntry, epoch: number): void {
  delist(driver, room)
  driver.backplane.release(room.id, epoch).then(() => say(driver, room, epoch, { kind: 'released', epoch }), () => {})
}

/** Lets go of the lease; first what is committed is stored, if it is not. */
export function askRelease(driver: Driver, room: RoomEntry, { epoch, stored }: EffectOf<'release'>): void {
  const isSaved = stored === undefined || room.type.durability === 'none' || room.state !== 'open' || room.storedSeq >= stored.position.seq
  if (isSaved) return letGo(driver, room, epoch)
  room.afterStore = { seq: stored.position.seq, done: () => letGo(driver, room, epoch) }
  tellSurely(room.link, toWorker.save, [room.key])
}

export function askHandOver(driver: Driver, room: RoomEntry, { to, epoch, position }: EffectOf<'handOver'>): void {
  const version = room.ownership.peers.get(to)?.version ?? room.type.version
  answer(driver, room, driver.backplane.handOver(room.id, { epoch, seq: position.seq, to, version }), (granted) => {
    say(driver, room, granted, { kind: 'handed', epoch: granted, to, position })
    return { kind: 'handedOver', epoch: granted }
  }, () => ({ kind: 'handOverFailed' }))
}
