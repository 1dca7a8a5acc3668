/**
 * What instances say to each other (schema/peer.fbs), beside records: on a room's channel, and in an instance's inbox. One table for all, because most
 * say little; one writer and one reader. The reader verifies before it reads. Main thread.
 */
import { Builder, ByteBuffer } from 'flatbuffers'
import type { Fork, Head, Position } from '../base/lineage.js'
import { roomIdBytesMax } from '../base/limits.js'
import { Fork as ForkStruct } from '../../schema/generated/kasagi/wire/fork.js'
import { Peer } from '../../schema/generated/kasagi/wire/peer.js'
import { Position as PositionStruct } from '../../schema/generated/kasagi/wire/position.js'
import { bytesVector, scalar, string, struct, structVector, verify, type TableRule } from './verifier.js'

/** What each message says. */
export type PeerBody =
  // On a room's channel: its owner lives; somebody has won the lease, is given it, or has let go of it
  | { readonly kind: 'beat'; readonly head: Head; readonly durableSeq: number }
  | { readonly kind: 'announced'; readonly epoch: number; readonly position: Position | undefined }
  | { readonly kind: 'handed'; readonly epoch: number; readonly to: number; readonly position: Position }
  | { readonly kind: 'released'; readonly epoch: number }
  // In an inbox: questions about a room, and their answers
  /** `seen`: the highest epoch that the asker knows of; `isFetch`: from whoever has won the lease. */
  | { readonly kind: 'asked'; readonly request: number; readonly position: Position | undefined; readonly seen: number; readonly isFetch: boolean }
  /** `data`: records, each behind its length (u32) and a zero word, padded to 8. */
  | { readonly kind: 'records'; readonly request: number; readonly data: Uint8Array }
  /** `data`: a part of the room in its stored form. */
  | { readonly kind: 'state'; readonly request: number; readonly position: Position; readonly lineage: readonly Fork[]; readonly tick: number; readonly part: number; readonly parts: number; readonly data: Uint8Array }
  | { readonly kind: 'offered'; readonly epoch: number; readonly position: Position }
  /** Follows the room, with so many clients. */
  | { readonly kind: 'present'; readonly version: number; readonly isDraining: boolean; readonly hasReplica: boolean; readonly clients: number }
  | { readonly kind: 'proposed'; readonly request: number; readonly position: Position }
  | { readonly kind: 'confirmed'; readonly request: number }
  | { readonly kind: 'declined'; readonly request: number }
  // In an inbox: clients of a room that another instance runs
  /** A word to the room's worker, as memory/crossing.ts has it, without the room's key. */
  | { readonly kind: 'forward'; readonly word: number; readonly words: readonly number[]; readonly data: Uint8Array }
  /** A join or resume that the room refuses. */
  | { readonly kind: 'turnedAway'; readonly connection: number; readonly code: string }
  /** An input that never reached the journal: refused, or, with code `wanted`, missing, and everything behind it. */
  | { readonly kind: 'unjournaled'; readonly slot: number; readonly connection: number; readonly number: number; readonly code: string }

export type PeerMessage = PeerBody & { readonly from: number; readonly room: string }

const kinds = [
  'beat', 'announced', 'handed', 'released', 'asked', 'records', 'state', 'offered', 'present', 'proposed', 'confirmed', 'declined', 'forward', 'turnedAway', 'unjournaled',
] as const satisfies readonly PeerBody['kind'][]
const flag = { fetch: 1, draining: 2, replica: 4 } as const

const rule: TableRule = {
  fields: [
    scalar(1), scalar(4), string(roomIdBytesMax, true), scalar(4), scalar(4), scalar(4), struct(16), structVector(24), scalar(4), scalar(4), scalar(1), scalar(4),
    scalar(4), scalar(4), structVector(4), string(256), bytesVector,
  ],
}
const identifier = 'KPER'

const high = (value: number): number => Math.floor(value / 0x1_0000_0000)
const wide = (low: number, upper: number): number => low + upper * 0x1_0000_0000

/** What a kind puts into the table's fields. */
interface Fields {
  request?: number; epoch?: number; position?: Position; lineage?: readonly Fork[]; durableSeq?: number; flags?: number; version?: number
  part?: number; parts?: number; words?: readonly number[]; text?: string; data?: Uint8Array
}

function fieldsOf(body: PeerBody): Fields {
  switch (body.kind) {
    case 'beat': return { position: { epoch: body.head.epoch, seq: body.head.seq }, lineage: [body.head], durableSeq: body.durableSeq }
    case 'handed': return { epoch: body.epoch, position: body.position, words: [body.to] }
    case 'asked': return { request: body.request, position: body.position, epoch: body.seen, flags: body.isFetch ? flag.fetch : 0 }
    case 'state': return { ...body, version: body.tick }
    case 'present': return { version: body.version, flags: (body.isDraining ? flag.draining : 0) | (body.hasReplica ? flag.replica : 0), words: [body.clients] }
    case 'forward': return { request: body.word, words: body.words, data: body.data }
    case 'turnedAway': return { words: [body.connection >>> 0, high(body.connection)], text: body.code }
    case 'unjournaled': return { words: [body.slot, body.connection >>> 0, high(body.connection), body.number], text: body.code }
    default: return body
  }
}

export function writePeer(from: number, room: string, body: PeerBody): Uint8Array {
  const fields = fieldsOf(body), builder = new Builder(192 + (fields.data?.length ?? 0))
  const id = builder.createString(room)
  const text = fields.text === undefined ? 0 : builder.createString(fields.text)
  const words = fields.words === undefined ? 0 : Peer.createWordsVector(builder, [...fields.words])
  const data = fields.data === undefined ? 0 : Peer.createDataVector(builder, fields.data)
  const lineage = fields.lineage === undefined ? 0 : putLineage(builder, fields.lineage)
  Peer.startPeer(builder)
  Peer.addKind(builder, kinds.indexOf(body.kind))
  Peer.addFrom(builder, from)
  Peer.addRoom(builder, id)
  Peer.addRequest(builder, fields.request ?? 0)
  Peer.addEpochLow(builder, (fields.epoch ?? 0) >>> 0)
  Peer.addEpochHigh(builder, high(fields.epoch ?? 0))
  const { position } = fields
  if (position !== undefined) Peer.addPosition(builder, PositionStruct.createPosition(builder, position.epoch >>> 0, high(position.epoch), position.seq >>> 0, high(position.seq)))
  if (lineage !== 0) Peer.addLineage(builder, lineage)
  Peer.addDurableSeqLow(builder, (fields.durableSeq ?? 0) >>> 0)
  Peer.addDurableSeqHigh(builder, high(fields.durableSeq ?? 0))
  Peer.addFlags(builder, fields.flags ?? 0)
  Peer.addVersion(builder, fields.version ?? 0)
  Peer.addPart(builder, fields.part ?? 0)
  Peer.addParts(builder, fields.parts ?? 0)
  if (words !== 0) Peer.addWords(builder, words)
  if (text !== 0) Peer.addText(builder, text)
  if (data !== 0) Peer.addData(builder, data)
  builder.finish(Peer.endPeer(builder), identifier)
  return builder.asUint8Array()
}

function putLineage(builder: Builder, lineage: readonly Fork[]): number {
  Peer.startLineageVector(builder, lineage.length)
  for (const { epoch, parentEpoch, forkSeq } of [...lineage].reverse()) {
    ForkStruct.createFork(builder, epoch >>> 0, high(epoch), parentEpoch >>> 0, high(parentEpoch), forkSeq >>> 0, high(forkSeq))
  }
  return builder.endVector()
}

const none = new Uint8Array(0)

/** Reads a message from bytes that may be anything and lie anywhere; undefined if it is none. Never throws. `data` is a view of the bytes. */
export function readPeer(bytes: Uint8Array): PeerMessage | undefined {
  if (!verify(bytes, identifier, rule)) return undefined
  const peer = Peer.getRootAsPeer(new ByteBuffer(bytes)), kind = kinds[peer.kind()]
  const body = kind === undefined || !isWhole(peer) ? undefined : bodyOf(kind, peer)
  return body === undefined ? undefined : { ...body, from: peer.from(), room: peer.room()! }
}

/** Upper halves of whole numbers are below. */
const upperMax = 0x20_0000

/** Every number of two halves is a whole one. */
function isWhole(peer: Peer): boolean {
  const at = peer.position(), uppers = [peer.epochHigh(), peer.durableSeqHigh(), at?.epochHigh() ?? 0, at?.seqHigh() ?? 0]
  for (let n = 0; n < peer.lineageLength(); n++) {
    const fork = peer.lineage(n)!
    uppers.push(fork.epochHigh(), fork.parentEpochHigh(), fork.forkSeqHigh())
  }
  return uppers.every((upper) => upper < upperMax)
}

function bodyOf(kind: PeerBody['kind'], peer: Peer): PeerBody | undefined {
  const at = peer.position(), position = at === null ? undefined : { epoch: wide(at.epochLow(), at.epochHigh()), seq: wide(at.seqLow(), at.seqHigh()) }
  const request = peer.request(), epoch = wide(peer.epochLow(), peer.epochHigh()), words = Array.from({ length: peer.wordsLength() }, (_, index) => peer.words(index)!), code = peer.text() ?? ''
  const data = peer.dataArray() ?? none, has = (bit: number): boolean => (peer.flags() & bit) !== 0
  switch (kind) {
    case 'beat': {
      const [fork] = lineageOf(peer)
      return fork === undefined || position === undefined ? undefined : { kind, head: { ...fork, seq: position.seq }, durableSeq: wide(peer.durableSeqLow(), peer.durableSeqHigh()) }
    }
    case 'announced': return { kind, epoch, position }
    case 'handed': return position === undefined || words.length < 1 ? undefined : { kind, epoch, position, to: words[0] }
    case 'released': return { kind, epoch }
    case 'asked': return { kind, request, position, seen: epoch, isFetch: has(flag.fetch) }
    case 'records': return { kind, request, data }
    case 'state': return position === undefined ? undefined : { kind, request, position, lineage: lineageOf(peer), tick: peer.version(), part: peer.part(), parts: peer.parts(), data }
    case 'offered': return position === undefined ? undefined : { kind, epoch, position }
    case 'present': return words.length < 1 ? undefined : { kind, version: peer.version(), isDraining: has(flag.draining), hasReplica: has(flag.replica), clients: words[0] }
    case 'proposed': return position === undefined ? undefined : { kind, request, position }
    case 'confirmed': case 'declined': return { kind, request }
    case 'forward': return { kind, word: request, words, data }
    case 'turnedAway': return words.length < 2 ? undefined : { kind, connection: wide(words[0], words[1]), code }
    case 'unjournaled': return words.length < 4 ? undefined : { kind, slot: words[0], connection: wide(words[1], words[2]), number: words[3], code }
  }
}

function lineageOf(peer: Peer): Fork[] {
  return Array.from({ length: peer.lineageLength() }, (_, index) => {
    const fork = peer.lineage(index)!
    return { epoch: wide(fork.epochLow(), fork.epochHigh()), parentEpoch: wide(fork.parentEpochLow(), fork.parentEpochHigh()), forkSeq: wide(fork.forkSeqLow(), fork.forkSeqHigh()) }
  })
}
