/**
 * Redis as one room sees it: the scripts, each atomic; keys with a TTL; Pub/Sub at most once; a copy that may be promoted and has forgotten the last
 * moments. The data are replaced, never changed, so that an older state is a reference.
 */
import { nextInt } from '../../src/base/prng.js'
import { epochOf } from '../../src/backplane/backplane.js'
import { continues, extend, isNewer, isSame, start, type Position } from '../../src/base/lineage.js'
import type { Event, Take } from '../../src/backplane/protocol.js'
import { count, grant, must, show } from './checker.js'
import { applyEntries, emptyState, parentOf, type Body, type RoomCopy, type RoomRecord } from './room-state.js'
import { at, chance, delay, type World } from './world.js'

export interface Data {
  readonly owner: { readonly instance: number; readonly epoch: number; readonly untilMs: number } | undefined
  readonly epoch: number
  readonly version: number
  readonly isReleased: boolean
  readonly snapshot: RoomCopy | undefined
  /** The owner that stored it. */
  readonly storedBy: number
  readonly log: readonly RoomRecord[]
}

export interface Server {
  data: Data
  /** What it was, for whoever is promoted. */
  past: { readonly atMs: number; readonly data: Data }[]
  isUp: boolean
  pausedUntilMs: number
  /** Its clock: skewed, and not of the world's speed. */
  readonly clock: { readonly offsetMs: number; readonly rate: number }
  subscribers: Subscriber[]
}

/** One subscriber connection of an instance. */
export interface Subscriber { readonly topics: readonly string[]; readonly lastMs: Record<string, number>; isOpen: boolean; hear(topic: string, message: unknown): void }

export const emptyData: Data = { owner: undefined, epoch: 0, version: 0, isReleased: false, snapshot: undefined, storedBy: 0, log: [] }
export const createServer = (offsetMs: number, rate: number): Server => ({ data: emptyData, past: [], isUp: true, pausedUntilMs: 0, clock: { offsetMs, rate }, subscribers: [] })

const timeOf = ({ clock }: Server, world: World): number => 1_800_000_000_000 + world.nowMs * clock.rate + clock.offsetMs

export function write(world: World, server: Server, change: Partial<Data>): void {
  server.data = { ...server.data, ...change }
  if (!world.mayForget) return
  server.past.push({ atMs: world.nowMs, data: server.data })
  if (server.past.length > 400) server.past.splice(0, 200)
}

/** What a copy that lags by so much would have. */
export const forgetting = (server: Server, beforeMs: number): Data => server.past.findLast(({ atMs }) => atMs <= beforeMs)?.data ?? emptyData

export function publish(world: World, server: Server, topic: string, message: unknown): void {
  for (const subscriber of server.subscribers) {
    if (!subscriber.isOpen || !subscriber.topics.includes(topic)) continue
    for (let times = world.isFaulty && chance(world, 0.01) ? 2 : 1; times > 0; times--) {
      const atMs = subscriber.lastMs[topic] = Math.max(subscriber.lastMs[topic] ?? 0, world.nowMs + delay(world))
      at(world, atMs, () => { if (subscriber.isOpen) subscriber.hear(topic, message) })
    }
  }
}

const ownerOf = (server: Server, world: World): Data['owner'] => {
  const { owner } = server.data
  return owner !== undefined && timeOf(server, world) < owner.untilMs ? owner : undefined
}

const leased = (world: World, server: Server, instance: number, epoch: number): NonNullable<Data['owner']> =>
  ({ instance, epoch, untilMs: timeOf(server, world) + world.settings.leaseMs })

const stale = (server: Server, world: World, epoch: number): Event<Body> =>
  ({ kind: 'stale', epoch, by: server.data.epoch, owner: ownerOf(server, world)?.instance ?? 0 })

/** Where snapshot and log lead to. */
function reach({ snapshot, log }: Data): Position {
  let position = snapshot?.position ?? start
  for (const { head } of log) if (continues(position, head)) position = { epoch: head.epoch, seq: head.seq }
  return position
}

/** The room as snapshot and log have it. */
export function rebuild({ snapshot, log }: Data): RoomCopy | undefined {
  let copy = snapshot ?? (log[0]?.head.parentEpoch === 0 && log[0].head.seq === 1 ? { position: start, lineage: [], state: emptyState } : undefined)
  if (copy === undefined) return undefined
  for (const record of log) {
    if (!continues(copy.position, record.head)) continue
    copy = { position: { epoch: record.head.epoch, seq: record.head.seq }, lineage: extend(copy.lineage, record.head), state: applyEntries(copy.state, record.entries) }
  }
  return copy
}

export function claimScript(world: World, server: Server, by: { id: number; version: number }, take: Take, seen: number, sentMs: number): Event<Body> {
  const { data } = server, { leaseMs } = world.settings
  let owner = ownerOf(server, world)
  // A copy is told expiries as times of day, and its clock may be behind: no lease has more left than a lease.
  if (owner !== undefined && owner.untilMs - timeOf(server, world) > leaseMs) {
    owner = { ...owner, untilMs: timeOf(server, world) + leaseMs }
    write(world, server, { owner })
  }
  if (owner !== undefined && owner.instance !== by.id) return { kind: 'held', owner: owner.instance, epoch: owner.epoch, leftMs: owner.untilMs - timeOf(server, world) }
  const isFree = data.epoch === 0 || data.isReleased || owner !== undefined
  if (take === 'nothing' || (take === 'free' && !isFree)) return { kind: 'unowned', epoch: data.epoch }
  if (by.version < data.version) return { kind: 'versionOlder' }
  if (!isFree) checkOutage(world, data.epoch)
  const epoch = epochOf(data.epoch, seen, Math.floor(timeOf(server, world)), by.id, nextInt(world.random, 1024))
  grant(world.checker, epoch)
  if (!world.mayForget) must(by.version >= world.checker.highestVersion, `version ${by.version} was granted a room of version ${world.checker.highestVersion}`)
  world.checker.highestVersion = Math.max(world.checker.highestVersion, by.version)
  write(world, server, { owner: leased(world, server, by.id, epoch), epoch, version: by.version, isReleased: false })
  return { kind: 'granted', epoch, previous: data.epoch, sentMs, stored: rebuild(data)?.position, ended: 0 }
}

/** A room whose owner has had no other trouble than that Redis was away does not change hands. */
function checkOutage(world: World, epoch: number): void {
  const before = world.instances.find(({ isAlive, machine }) => isAlive && machine.epoch === epoch && machine.role === 'owning')
  if (before === undefined || before.isPaused || before.isCut || world.mayForget || world.nowMs - Math.max(before.ownTroubleMs, world.troubleMs) < 3000) return
  must(false, `the room was taken from ${before.name}, which had no trouble of its own`)
}

export function renewScript(world: World, server: Server, by: { id: number; version: number }, epoch: number, sentMs: number): Event<Body> {
  if (server.data.epoch > epoch) return stale(server, world, epoch)
  write(world, server, { owner: leased(world, server, by.id, epoch), epoch, version: Math.max(by.version, server.data.version), isReleased: false })
  return { kind: 'renewed', sentMs }
}

const isFenced = (server: Server, epoch: number): boolean => server.data.epoch === epoch

/** Whatever an owner says on the channel. */
export function publishScript(world: World, server: Server, epoch: number, message: unknown): Event<Body> | undefined {
  if (!isFenced(server, epoch) && world.plants.isUnfenced !== true) return stale(server, world, epoch)
  must(epoch >= server.data.epoch || world.mayForget, `Redis took a message of epoch ${epoch} after it had granted ${server.data.epoch}`)
  publish(world, server, 'channel', message)
  return undefined
}

/** A record goes to log and channel in one. */
export function logScript(world: World, server: Server, record: RoomRecord, message: unknown): Event<Body> {
  const { epoch, seq } = record.head, { log, snapshot } = server.data
  if (!isFenced(server, epoch) && world.plants.isUnfenced !== true) return stale(server, world, epoch)
  const before = parentOf(record.head)
  const top = log.at(-1)?.head
  const isThere = (top !== undefined && !isNewer(record.head, top)) || (snapshot?.position.epoch === epoch && snapshot.position.seq >= seq)
  if (!isThere) {
    // Behind a snapshot, if nothing of another line stands there already.
    const isFirst = top === undefined || (snapshot !== undefined && !isNewer(top, snapshot.position))
    const isNext = isSame(top, before) || (isFirst && isSame(snapshot?.position ?? start, before))
    if (!isNext) return { kind: 'logGap', epoch }
    must(epoch >= server.data.epoch || world.mayForget, `the log took ${show(record.head)} after epoch ${server.data.epoch} had been granted`)
    write(world, server, { log: [...log, record] })
    must(isSame(reach(server.data), { epoch, seq }), `the log has ${show(record.head)}, but snapshot and log lead to ${show(reach(server.data))} only`)
    count(world.checker, 'logged')
  }
  publish(world, server, 'channel', message)
  return { kind: 'logged', epoch, seq }
}

export function storeScript(world: World, server: Server, epoch: number, copy: RoomCopy): Event<Body> {
  if (!isFenced(server, epoch) && world.plants.isUnfenced !== true) return stale(server, world, epoch)
  must(epoch >= server.data.epoch || world.mayForget, `Redis took a snapshot of epoch ${epoch} after it had granted ${server.data.epoch}`)
  const { snapshot, storedBy } = server.data
  // An owner's older snapshot may come behind its newer one, over a connection that was given up.
  if (snapshot !== undefined && storedBy === epoch && snapshot.position.seq > copy.position.seq) return { kind: 'stored', epoch, seq: snapshot.position.seq }
  // XTRIM MINID <epoch>-<seq + 1>: what earlier owners logged beyond the snapshot is on no line any more.
  write(world, server, { snapshot: copy, storedBy: epoch, log: server.data.log.filter(({ head }) => !isNewer({ epoch, seq: copy.position.seq + 1 }, head)) })
  count(world.checker, 'stored')
  return { kind: 'stored', epoch, seq: copy.position.seq }
}

export function releaseScript(world: World, server: Server, epoch: number, copy: RoomCopy | undefined): void {
  if (!isFenced(server, epoch)) return
  if (copy !== undefined) storeScript(world, server, epoch, copy)
  write(world, server, { owner: undefined, isReleased: true })
  publish(world, server, 'channel', { kind: 'released', epoch } satisfies Event<Body>)
}

export function handOverScript(world: World, server: Server, to: number, epoch: number, position: Position): Event<Body> {
  if (!isFenced(server, epoch)) return stale(server, world, epoch)
  const next = epochOf(epoch, 0, Math.floor(timeOf(server, world)), to, nextInt(world.random, 1024))
  grant(world.checker, next)
  write(world, server, { owner: leased(world, server, to, next), epoch: next })
  publish(world, server, 'channel', { kind: 'handed', epoch: next, owner: to, position } satisfies Event<Body>)
  count(world.checker, 'handed over')
  return { kind: 'handedOver', epoch: next }
}
