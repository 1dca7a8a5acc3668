/**
 * What instances say to each other, as it arrives: on a room's channel (records, and its owner's words) and in this instance's inbox (questions, answers,
 * and what clients of other instances say to rooms that run here). Main thread. Everything is hostile: read by a verifier, and checked before a worker is told.
 */
import { claimants } from '../backplane/backplane.js'
import { lineageOf } from '../backplane/stored-lineage.js'
import { wallMs } from '../base/clock.js'
import { instanceOf } from '../base/connection-number.js'
import { KasagiError } from '../base/errors.js'
import { isOn, type Head } from '../base/lineage.js'
import { epochAheadMsMax, inputNumbersPassedMax, storedBytesMax } from '../base/limits.js'
import { inputWords, joinWords, resumeWords, toWorker } from '../memory/crossing.js'
import { readPeer, type PeerMessage } from '../wire/peer-messages.js'
import type { RoomEntry } from './client.js'
import type { RoomEvent } from './driver-calls.js'
import { takeNack, turnAway, type Hearers } from './from-workers.js'
import { openPeerRecord } from './peer-record.js'
import { tellRoom } from './tell-owner.js'

type Of<K extends PeerMessage['kind']> = Extract<PeerMessage, { kind: K }>

/** What comes from other instances; rejects when another one has this one's number. */
export function listenToPeers(hearers: Hearers): Promise<never> {
  const { rooms, reports, metrics } = hearers, { backplane } = rooms.driver
  metrics.redisReachable.set(1)
  return new Promise((_, reject) => {
    backplane.listen({
      message: (bytes) => hearInbox(hearers, bytes),
      reachable: (isReachable) => {
        rooms.isReachable = isReachable
        reports.redisReachable(isReachable, backplane.place)
        for (const room of [...rooms.byKey.values()]) rooms.driver.happen(room, { kind: isReachable ? 'reachable' : 'unreachable' })
      },
      lost: () => { reports.instanceLost(); reject(new KasagiError('instance-lost', 'another instance has the number of this one')) },
    })
  })
}

/** Came on the channel of a room. */
export function hearChannel(hearers: Hearers, room: RoomEntry, bytes: Uint8Array): void {
  if (room.state === 'closed') return
  const happen = (event: RoomEvent): void => hearers.rooms.driver.happen(room, event)
  const record = openPeerRecord(bytes)
  if (record !== undefined) {
    const { head } = record
    if (!isNear(room, head.epoch)) return hearers.reports.peerRefused(room.id)
    if (head.instance !== room.peers.instance) happen({ kind: 'record', head, owner: head.instance, body: record.bytes })
    return
  }
  const said = readPeer(bytes)
  if (said === undefined || said.room !== room.id || !isNear(room, epochOf(said))) return hearers.reports.peerRefused(room.id)
  if (said.from === room.peers.instance) return
  switch (said.kind) {
    case 'beat': return happen({ kind: 'beat', head: said.head, owner: said.from, durableSeq: said.durableSeq })
    case 'announced': return happen({ kind: 'announced', epoch: said.epoch, owner: said.from, position: said.position })
    case 'handed': return happen({ kind: 'handed', epoch: said.epoch, owner: said.to, position: said.position })
    case 'released': return hearReleased(hearers, room, said.epoch)
    default: return hearers.reports.peerRefused(room.id)
  }
}

/** Whether Redis may have granted it. */
const isNear = ({ ownership: { seen } }: RoomEntry, epoch: number): boolean => epoch <= Math.max(seen, wallMs() * claimants) + epochAheadMsMax * claimants

/** The highest epoch that a message speaks of; what breaks the order of epochs is no message. */
function epochOf(said: PeerMessage): number {
  switch (said.kind) {
    case 'beat': return said.head.parentEpoch < said.head.epoch && said.head.forkSeq <= said.head.seq ? said.head.epoch : Infinity
    case 'asked': return Math.max(said.seen, said.position?.epoch ?? 0)
    case 'announced': case 'handed': case 'offered': return (said.position?.epoch ?? 0) < said.epoch ? said.epoch : Infinity
    case 'released': return said.epoch
    case 'state': case 'proposed': return said.position.epoch
    default: return 0
  }
}

/** Nobody runs the room: it is left to others, or to the store, unless somebody here needs it. */
function hearReleased({ rooms: { driver } }: Hearers, room: RoomEntry, epoch: number): void {
  const isNeeded = room.clients.size > 0 || room.opening.stays
  driver.happen(room, isNeeded || epoch < room.ownership.seen ? { kind: 'released', epoch } : { kind: 'unwanted' })
}

/** Came in the inbox of this instance. */
export function hearInbox(hearers: Hearers, bytes: Uint8Array): void {
  const said = readPeer(bytes)
  if (said === undefined) return hearers.reports.peerRefused('')
  const room = hearers.rooms.byId.get(said.room)
  // Asked too late, or about a room that is gone: who asks, asks again.
  if (room === undefined || room.state === 'closed' || said.from === room.peers.instance) return
  if (!isNear(room, epochOf(said))) return hearers.reports.peerRefused(room.id)
  const happen = (event: RoomEvent): void => hearers.rooms.driver.happen(room, event)
  switch (said.kind) {
    case 'asked': return happen({ kind: 'asked', from: said.from, request: said.request, position: said.position, seen: said.seen, isFetch: said.isFetch })
    case 'records': return hearRecords(hearers, room, said)
    case 'state': return hearState(hearers, room, said)
    case 'offered': return happen({ kind: 'offered', from: said.from, epoch: said.epoch, position: said.position })
    case 'present': return happen({ kind: 'present', from: said.from, version: said.version, isDraining: said.isDraining, hasReplica: said.hasReplica })
    case 'proposed': return happen({ kind: 'proposed', from: said.from, request: said.request, position: said.position })
    case 'confirmed': return happen({ kind: 'confirmed', request: said.request })
    case 'declined': return happen({ kind: 'refused', request: said.request })
    case 'forward': return takeForward(hearers, room, said)
    case 'turnedAway': return turnAway(hearers, room, said.connection, said.code)
    case 'unjournaled': return takeNack(hearers.sessions, room, said.connection, said.number, said.code)
    default: return hearers.reports.peerRefused(room.id)
  }
}

/** Records behind the position that was asked with: each behind its length and a zero word, padded to 8. */
function hearRecords({ rooms, reports }: Hearers, room: RoomEntry, { request, data }: Of<'records'>): void {
  const view = new DataView(data.buffer, data.byteOffset, data.length), records: { head: Head; owner: number; body: Uint8Array }[] = []
  for (let at = 0; at + 8 <= data.length;) {
    const bytes = view.getUint32(at, true), record = at + 8 + bytes <= data.length ? openPeerRecord(data.subarray(at + 8, at + 8 + bytes)) : undefined
    if (record === undefined) return reports.peerRefused(room.id)
    records.push({ head: record.head, owner: record.head.instance, body: record.bytes })
    at += 8 + (bytes + 7 & ~7)
  }
  rooms.driver.happen(room, { kind: 'records', request, records })
}

/** A part of a room's whole state; the last one that arrives makes it whole. */
function hearState({ rooms, reports }: Hearers, room: RoomEntry, { request, position, lineage, part, parts, data }: Of<'state'>): void {
  if (room.ownership.question?.number !== request || parts < 1 || parts > storedBytesMax / 1024 || part >= parts) return
  const isLine = lineageOf(lineage.map(({ epoch, parentEpoch, forkSeq }) => [epoch, parentEpoch, forkSeq]), position.epoch) !== undefined
  if (!isLine || !isOn(lineage, position)) return reports.peerRefused(room.id)
  if (room.arriving?.request !== request || room.arriving.parts.length !== parts) room.arriving = { request, parts: new Array<Uint8Array | undefined>(parts).fill(undefined) }
  const { arriving } = room
  arriving.parts[part] = data
  if (arriving.parts.includes(undefined)) return
  room.arriving = undefined
  rooms.driver.happen(room, { kind: 'state', request, position, lineage, body: new Uint8Array(Buffer.concat(arriving.parts as Uint8Array[])) })
}

/** A word of another instance's client to the room's worker, which believes what this thread says: its lengths and names are checked here. */
function takeForward({ reports }: Hearers, room: RoomEntry, { from, word, words, data }: Of<'forward'>): void {
  if (!isForward(from, word, words, data)) return reports.peerRefused(room.id)
  // Nobody runs it here (any more): who waits for an answer asks again.
  if (room.ownership.role !== 'owning' || room.state !== 'open') return
  tellRoom(room, word, words, data)
}

/** Words of each kind without the room's key, and where the connection stands in them. */
const forwardWords: Readonly<Record<number, readonly [count: number, connectionAt: number]>> = {
  [toWorker.join]: [joinWords - 1, 0], [toWorker.input]: [inputWords - 1, 1], [toWorker.leave]: [3, 0], [toWorker.resume]: [resumeWords - 1, 0], [toWorker.ready]: [3, 0],
}

function isForward(from: number, word: number, words: readonly number[], data: Uint8Array): boolean {
  if (word === toWorker.present) return words[0] === from && data.length === 0
  const rule = forwardWords[word]
  if (rule === undefined || words.length !== rule[0] || instanceOf(words[rule[1]] + words[rule[1] + 1] * 0x1_0000_0000) !== from) return false
  switch (word) {
    case toWorker.input: return words[4] <= words[3] && words[3] - words[4] <= inputNumbersPassedMax
    case toWorker.join: return words[2] > 0 && words[2] + words[3] <= data.length
    case toWorker.resume: return data.length > 0
    case toWorker.leave: return words[2] <= 1 && data.length === 0
    case toWorker.ready: return data.length === 0
    default: return true
  }
}
