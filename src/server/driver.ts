/**
 * Carries out what the ownership of each room wants (backplane/ownership.ts): asks the backplane, tells the room's worker, speaks to other instances, and
 * brings back every answer as an event. Main thread. Nothing is decided here.
 *
 * Invariant: effects are carried out in the order in which the machine gave them; every question is answered by one event, unless its room is gone by then.
 */
import { StaleError, type Backplane, type StoredSnapshot } from '../backplane/backplane.js'
import { hasOwner, step } from '../backplane/ownership.js'
import { monotonicMs } from '../base/clock.js'
import { isOn, positionOf, upTo } from '../base/lineage.js'
import { holds, toWorker, wideWords } from '../memory/crossing.js'
import { atDurableSeq } from '../memory/room-layout.js'
import { storeWide } from '../memory/views.js'
import { standAt } from './broadcast.js'
import type { RoomEntry } from './client.js'
import { delist } from './directory.js'
import { askClaim, askHandOver, askLoad, askRelease, askRenew, publishRecord, say, type Driver, type DriverHooks, type EffectOf, type RoomEffect, type RoomEvent } from './driver-calls.js'
import { tell, tellSurely } from './worker-link.js'

/** Events that come while effects are carried out wait until those are done: so effects of one room never overtake each other. */
export function createDriver(backplane: Backplane, hooks: DriverHooks): Driver {
  const waiting: (() => void)[] = []
  let isRunning = false
  const driver: Driver = {
    backplane, hooks, lastFetch: 0,
    happen: (room, event) => {
      waiting.push(() => takeEvent(driver, room, event))
      if (isRunning) return
      isRunning = true
      try {
        for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) next()
      } finally {
        isRunning = false
      }
    },
  }
  return driver
}

function takeEvent(driver: Driver, room: RoomEntry, event: RoomEvent): void {
  if (room.state === 'closed') return
  const { ownership } = room, { role, seen } = ownership, hadOwner = hasOwner(ownership)
  for (const effect of step(ownership, event, monotonicMs())) carryOut(driver, room, effect)
  if (role !== ownership.role || seen !== ownership.seen || hadOwner !== hasOwner(ownership)) driver.hooks.ownerChanged(room)
}

function carryOut(driver: Driver, room: RoomEntry, effect: RoomEffect): void {
  const { hooks } = driver, { link, key, peers } = room
  switch (effect.kind) {
    case 'claim': return askClaim(driver, room, effect)
    case 'renew': return askRenew(driver, room, effect)
    case 'load': return askLoad(driver, room, effect)
    case 'store': return tellSurely(link, toWorker.save, [key])
    case 'release': return askRelease(driver, room, effect)
    case 'handOver': return askHandOver(driver, room, effect)
    case 'publish': return publishRecord(driver, room, effect)
    case 'announce': return say(driver, room, effect.epoch, { kind: 'announced', epoch: effect.epoch, position: effect.position })
    case 'beat': return say(driver, room, effect.head.epoch, { kind: 'beat', head: effect.head, durableSeq: effect.durableSeq })
    case 'subscribe': return hooks.subscribe(room)
    case 'ask': return void peers.send(effect.to, room, { kind: 'asked', request: effect.request, position: effect.position, seen: effect.seen, isFetch: effect.isFetch })
    case 'answer': return askWorker(driver, room, effect)
    case 'offer': return void peers.send(effect.to, room, { kind: 'offered', epoch: effect.epoch, position: effect.position })
    case 'present': return sayPresent(room, effect)
    case 'propose': return void peers.send(effect.to, room, { kind: 'proposed', request: effect.request, position: effect.position })
    case 'confirm': return void peers.send(effect.to, room, { kind: 'confirmed', request: effect.request })
    case 'refuse': return void peers.send(effect.to, room, { kind: 'declined', request: effect.request })
    case 'run': return run(driver, room, effect)
    case 'pause': return tellSurely(link, toWorker.hold, [key, holds.pause])
    case 'goOn': return tellSurely(link, toWorker.hold, [key, holds.goOn])
    case 'halt': return tellSurely(link, toWorker.hold, [key, holds.halt])
    case 'follow': return follow(driver, room)
    case 'apply': return apply(driver, room, effect.body)
    case 'adopt': return hooks.adopt(room, effect.body)
    case 'drop': return hooks.drop(room)
    case 'deliver':
      // Without a log nobody asks for it again.
      if (!room.type.durability.startsWith('ops')) room.outgoing.clear()
      return hooks.deliver(room, effect.seq)
    case 'durable': return hearDurable(driver, room, effect.seq)
    case 'detached': case 'attached': return hooks.detached(room, effect.kind === 'detached')
    case 'discard': return hooks.discarded(room, effect.count)
    case 'sweep': return tellSurely(link, toWorker.sweep, [key, ...effect.alive])
  }
}

/** That this instance follows the room, and which of its sockets are in it: the rest is lost. */
function sayPresent(room: RoomEntry, { to, version, isDraining, hasReplica }: EffectOf<'present'>): void {
  const { clients, peers } = room
  peers.send(to, room, { kind: 'present', version, isDraining, hasReplica, clients: clients.size })
  peers.send(to, room, { kind: 'forward', word: toWorker.present, words: [peers.instance, ...[...clients.keys()].map((connection) => connection >>> 0)], data: new Uint8Array(0) })
}

/** From what the store gave, from the replica that is here, or anew. */
function run({ hooks }: Driver, room: RoomEntry, { epoch, parentEpoch, forkSeq, isNew }: EffectOf<'run'>): void {
  const { loaded } = room
  standAt(room, forkSeq)
  Object.assign(room, { parentEpoch, forkSeq, heardSeq: forkSeq })
  room.durableSeq = Math.max(room.durableSeq, forkSeq)
  if (loaded === undefined && room.isPlaced && !isNew) {
    tellSurely(room.link, toWorker.own, [room.key, ...wideWords(epoch)])
    return hooks.tookOver(room, epoch, forkSeq)
  }
  if (isNew && room.opening.onlyStored) return hooks.notOpened(room, 'session-gone', 'nothing is stored of it')
  if (room.isPlaced) hooks.drop(room)
  room.begin = { epoch, parentEpoch, forkSeq, seq: forkSeq, follows: false, stored: loaded }
  room.loaded = undefined
  hooks.open(room)
}

/** The room is no longer this instance's to run. */
function follow(driver: Driver, room: RoomEntry): void {
  room.undelivered.length = 0
  room.outgoing.clear()
  delist(driver, room)
  tellSurely(room.link, toWorker.follow, [room.key])
}

/** Another instance's record, to the replica. */
function apply(driver: Driver, room: RoomEntry, record: Uint8Array): void {
  if (!tell(room.link, toWorker.record, [room.key, 0], record)) replicaBroke(driver, room)
}

/** The replica is not where it should be: it begins anew. */
export function replicaBroke(driver: Driver, room: RoomEntry): void {
  if (room.ownership.role === 'following' || room.ownership.role === 'gathering') driver.happen(room, { kind: 'failed' })
}

function hearDurable({ hooks }: Driver, room: RoomEntry, seq: number): void {
  if (seq <= room.durableSeq) return
  room.durableSeq = seq
  if (room.base !== 0) storeWide(room.link.arena, room.base + atDurableSeq, seq)
  hooks.durable(room)
}

/** Asks the worker for what another instance has missed. */
function askWorker(driver: Driver, room: RoomEntry, { to, request, from }: EffectOf<'answer'>): void {
  const id = ++driver.lastFetch
  room.fetches.set(id, { to, request })
  tellSurely(room.link, toWorker.fetch, [room.key, id, ...wideWords(from?.epoch ?? 0), ...wideWords(from?.seq ?? 0)])
}

/** What a worker has written of a room goes to the store, with the lineage that leads there, so that a copy that was away can tell what it must give up. */
export function storeRoom(driver: Driver, room: RoomEntry, written: Pick<StoredSnapshot, 'data' | 'epoch' | 'seq' | 'tick' | 'ts'>, onDone: (isStored: boolean) => void): void {
  const { ownership, type } = room, began = monotonicMs()
  const { epoch, data, seq } = written, { parentEpoch, forkSeq } = ownership.lineage.findLast((fork) => fork.epoch === epoch) ?? room
  const position = positionOf({ epoch, parentEpoch, forkSeq, seq })
  const { afterStore } = room, isAwaited = afterStore !== undefined && seq >= afterStore.seq
  // It stands until then: who waits for the room to be given away looks at it.
  const settle = (): void => {
    if (!isAwaited || room.afterStore !== afterStore) return
    room.afterStore = undefined
    afterStore.done()
  }
  const done = (event: RoomEvent): void => {
    onDone(event.kind === 'stored')
    driver.happen(room, event)
  }
  // Written before the worker has heard that the room is another's, which went on from somewhere else.
  if (!isOn(ownership.lineage, position)) {
    driver.hooks.onStoreFailed(room, new StaleError(`${room.id} went on elsewhere`, ownership.seen, ownership.owner))
    done({ kind: 'storeFailed' })
    return settle()
  }
  driver.backplane.store(room.id, epoch, { ...written, ...position, version: type.version, lineage: upTo(ownership.lineage, position) }).then(() => {
    room.storedSeq = Math.max(room.storedSeq, seq)
    driver.hooks.onStored(room, data.length, (monotonicMs() - began) / 1000)
    done({ kind: 'stored', epoch, seq })
  }, (error: Error) => {
    // A later one of the same owner is there already: it was carried out first.
    if (error instanceof StaleError && error.by === epoch) return done({ kind: 'stored', epoch, seq })
    driver.hooks.onStoreFailed(room, error)
    done({ kind: 'storeFailed' })
  }).finally(settle)
}
