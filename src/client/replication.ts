/**
 * A room's replication on the client: frames in, replicas brought up to a position. Browser and Node; knows nothing of sockets.
 *
 * Invariant: a client has one position, the last frame it applied whole. A section whose prevSeq lies beyond it, or of another epoch, is a
 * gap: one Resync is asked for, and nothing is applied until it is answered. Streams 5 << 24 (addressed events) have no position.
 * A snapshot is kept until its last chunk is in: until then the old world is shown.
 */
import { unknownBytesMax } from '../base/limits.js'
import type { EntityTable, MessageTable, PublicTables } from '../schema/field-tables.js'
import { unpackFields } from '../wire/fields.js'
import { applySection, BadSection, eventsOf, isChunk, isLastChunk, openSection, type SectionView } from './apply.js'
import { differingColumns, hasHashes } from './hashes.js'
import type { Numbering } from './numbering.js'
import { createReplica, fitReplica, type Replica } from './table.js'

const ownRowEvent = 65535
const addressedKind = 5
const streamKind = (stream: number): number => stream >>> 24

export interface ReplicationHandlers {
  /** A frame or a snapshot was applied whole; what happened to rows stands in the replicas. */
  flushed(): void
  /** An event of the frame that `flushed` then tells of. */
  event(name: string, data: Record<string, unknown>): void
  missed(events: number): void
  /** Ask the server for what is missing behind the position. */
  resync(): void
  /** The room's state is complete: after a join, or a resync. */
  complete(): void
  differs(columns: readonly { table: string; field: string }[]): void
  nowMs(): number
}

export interface Replication {
  readonly tables: PublicTables
  readonly replicas: readonly Replica[]
  /** 0 and 0 as long as there is no state that can be trusted. */
  readonly position: { epoch: number; seq: number }
  tick: number
  /** Measured time between frames, ms: what smoothing spreads a change over. */
  intervalMs: number
  /** The ref of the session's own row, or undefined. */
  ownRow: { readonly row: number; readonly generation: number } | undefined
  state: 'snapshot' | 'live' | 'waiting'
  sections: number
  frames: number
}

interface Inside extends Replication {
  readonly handlers: ReplicationHandlers
  /** Replicas and events by the server's numbers: null, and a hole, is what this client does not know. */
  numbered: readonly (Replica | null)[]
  events: readonly MessageTable[]
  readonly verify: boolean
  /** What has come of the frame that an Own opened, or of a snapshot; its bytes, and how many they may become. */
  open: SectionView[]
  openBytes: number
  openBytesMax: number
  /** Sections of the open frame. */
  expected: number
  /** The snapshot that is on its way, and the kinds of stream whose last chunk has not come yet. */
  arriving: { epoch: number; seq: number }
  unfinished: Set<number>
  /** The last seq applied of each kind of stream: a client has one stream of each. */
  readonly applied: Map<number, number>
  lastFrameMs: number
}

export function createReplication(tables: PublicTables, flushHz: number, verify: boolean, handlers: ReplicationHandlers): Replication {
  const replicas = tables.tables.map((table: EntityTable) => createReplica(table))
  const inside: Inside = {
    tables, handlers, verify, replicas, numbered: replicas, events: tables.events,
    position: { epoch: 0, seq: 0 }, tick: 0, intervalMs: flushHz > 0 ? 1000 / flushHz : 50, ownRow: undefined, state: 'snapshot',
    sections: 0, frames: 0, open: [], openBytes: 0, openBytesMax: openBytesMax(replicas), expected: 0, arriving: { epoch: 0, seq: 0 }, unfinished: new Set(), applied: new Map(),
    lastFrameMs: 0,
  }
  return inside
}

/** No frame and no snapshot is larger than twice all rows that the tables can hold, with their ids, and a megabyte of events. */
const openBytesMax = (replicas: readonly Replica[]): number =>
  replicas.reduce((sum, { capacity, table }) => sum + capacity * table.fields.reduce((bytes, field) => bytes + field.bytes, 66), 2 ** 19) * 2

/** The server's numbers, from here on; whoever comes back to another one of its room may find another version of it. */
export function renumber(replication: Replication, { tables, fields, capacities, events }: Numbering): void {
  const inside = replication as Inside
  inside.numbered = tables.map((number, at) => {
    if (number < 0) return null
    const replica = inside.replicas[number]
    fitReplica(replica, capacities[at])
    replica.numbered = fields[at].map((field) => replica.columns[field] ?? null)
    return replica
  })
  inside.events = events.map((number) => inside.tables.events[number])
  const isAllKnown = ![tables, ...fields].some((numbers) => numbers.includes(-1))
  inside.openBytesMax = openBytesMax(inside.replicas) + (isAllKnown ? 0 : unknownBytesMax)
}

/** A snapshot at this position follows: the chunks of the room's stream and of the session's own. */
export function expectSnapshot(replication: Replication, epoch: number, seq: number): void {
  const inside = replication as Inside
  inside.arriving = { epoch, seq }
  inside.unfinished = new Set([0, 2])
  inside.state = 'snapshot'
  inside.open = []
  inside.expected = 0
}

/** Missing sections follow: frames like any other. `epoch`: the one that the position goes on in, which may have begun at or behind it. */
export function expectSections(replication: Replication, epoch: number): void {
  const inside = replication as Inside
  inside.position.epoch = epoch
  inside.state = 'live'
  inside.open = []
  inside.expected = 0
  inside.handlers.complete()
}

/** An Own has opened a frame of so many sections; they are applied as a unit. */
export function expectFrame(replication: Replication, sections: number): void {
  const inside = replication as Inside
  inside.expected = sections
  inside.open = []
}

/** Takes a message that is no server message: a section, or nothing. */
export function receiveSection(replication: Replication, message: ArrayBuffer): boolean {
  const inside = replication as Inside
  const section = openSection(message)
  if (section === undefined) return false
  inside.sections++
  if (inside.state === 'waiting') return true
  if (isChunk(section)) takeChunk(inside, section)
  else {
    hold(inside, section)
    if (inside.open.length >= inside.expected) applyFrame(inside)
  }
  return true
}

function hold(inside: Inside, section: SectionView): void {
  inside.openBytes = (inside.open.length === 0 ? 0 : inside.openBytes) + section.u8.length
  if (inside.openBytes > inside.openBytesMax) throw new BadSection('more is on its way than the room can hold')
  inside.open.push(section)
}

function takeChunk(inside: Inside, section: SectionView): void {
  if (inside.state !== 'snapshot' || section.seq !== inside.arriving.seq || section.epoch !== inside.arriving.epoch) return
  // Blocks that have not changed since this client's position may be left out, but not since a later one.
  if (section.prevSeq > inside.position.seq) return askResync(inside)
  hold(inside, section)
  if (isLastChunk(section)) inside.unfinished.delete(streamKind(section.stream))
  if (inside.unfinished.size === 0) applySnapshot(inside)
}

function applySnapshot(inside: Inside): void {
  const chunks = inside.open
  inside.open = []
  inside.applied.clear()
  for (const chunk of chunks) apply(inside, chunk)
  Object.assign(inside.position, inside.arriving)
  inside.state = 'live'
  inside.handlers.complete()
  callBack(inside, [])
}

function apply(inside: Inside, section: SectionView): void {
  applySection(section, inside.numbered, timeOf(inside))
  takeOwnRow(inside, section)
  inside.applied.set(streamKind(section.stream), section.seq)
  inside.tick = section.tick
}

const timeOf = ({ handlers, intervalMs }: Inside): { nowMs: number; intervalMs: number } => ({ nowMs: handlers.nowMs(), intervalMs })

function applyFrame(inside: Inside): void {
  const frame = inside.open.filter((section) => !isRepeated(inside, section))
  inside.open = []
  inside.expected = 0
  if (frame.length === 0) return
  if (frame.some((section) => isGap(inside, section))) return askResync(inside)
  measureInterval(inside)
  for (const section of frame) {
    if (inside.verify && hasHashes(section)) compareHashes(inside, section)
    // A difference may have ended the trust in all this.
    if (inside.state !== 'live') return
    apply(inside, section)
  }
  inside.position.seq = Math.max(inside.position.seq, frame[0].seq)
  inside.frames++
  callBack(inside, frame)
}

/** Applied before. Addressed events have no position, and are never repeated. */
const isRepeated = ({ position, applied }: Inside, section: SectionView): boolean =>
  section.epoch === position.epoch && streamKind(section.stream) !== addressedKind && section.seq <= (applied.get(streamKind(section.stream)) ?? -1)

/** A section continues the position if its stream changed last at or before it. */
function isGap({ position, state }: Inside, section: SectionView): boolean {
  if (state !== 'live') return true
  if (section.epoch !== position.epoch) return true
  return streamKind(section.stream) !== addressedKind && section.prevSeq > position.seq
}

function askResync(inside: Inside): void {
  inside.state = 'waiting'
  inside.handlers.resync()
}

/** The connection is lost, or a new one has yet to say how it goes on: what still comes is not applied. The position stays good. */
export function holdSync(replication: Replication): void {
  const inside = replication as Inside
  inside.state = 'waiting'
  inside.open = []
  inside.expected = 0
}

/** For whoever finds that the state cannot be trusted: nobody's position asks for a snapshot, not for what came since. */
export function loseSync(replication: Replication): void {
  const inside = replication as Inside
  if (inside.state === 'waiting') return
  Object.assign(inside.position, { epoch: 0, seq: 0 })
  askResync(inside)
}

function compareHashes(inside: Inside, section: SectionView): void {
  const differing = differingColumns(section, inside.numbered)
  if (differing.length > 0) inside.handlers.differs(differing)
}

/** Frames come at the room's pace; one that comes much later says nothing about it. */
function measureInterval(inside: Inside): void {
  const now = inside.handlers.nowMs(), since = now - inside.lastFrameMs
  if (since > 1 && since < inside.intervalMs * 4) inside.intervalMs += (since - inside.intervalMs) * 0.1
  inside.lastFrameMs = now
}

function takeOwnRow(inside: Inside, section: SectionView): void {
  for (const { event, data, at, end } of eventsOf(section)) {
    if (event !== ownRowEvent) continue
    if (end - at !== 8) throw new BadSection('an own row is 8 bytes')
    const isPresent = data.getUint16(at + 6, true) === 1
    inside.ownRow = isPresent ? { row: data.getUint32(at, true), generation: data.getUint16(at + 4, true) } : undefined
  }
}

function callBack(inside: Inside, frame: readonly SectionView[]): void {
  for (const section of frame) {
    if (section.missedEvents > 0) inside.handlers.missed(section.missedEvents)
    for (const { event, data, at, end } of eventsOf(section)) {
      const table = inside.events[event]
      const values = table === undefined ? undefined : unpackFields(table.fields, data, at, end)
      if (values !== undefined) inside.handlers.event(table.name, values)
    }
  }
  inside.handlers.flushed()
}
