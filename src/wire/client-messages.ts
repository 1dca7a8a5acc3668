/** What a client says (schema/client.fbs): writers for the SDK, one reader for the server. The reader verifies before it reads. */
import { Builder } from 'flatbuffers'
import { roomIdBytesMax, typeBytesMax } from '../base/limits.js'
import { ClientBody } from '../../schema/generated/kasagi/wire/client-body.js'
import { ClientMessage as ClientMessageTable } from '../../schema/generated/kasagi/wire/client-message.js'
import { Input } from '../../schema/generated/kasagi/wire/input.js'
import { Join } from '../../schema/generated/kasagi/wire/join.js'
import { Leave } from '../../schema/generated/kasagi/wire/leave.js'
import { Ping } from '../../schema/generated/kasagi/wire/ping.js'
import { Position } from '../../schema/generated/kasagi/wire/position.js'
import { Ready } from '../../schema/generated/kasagi/wire/ready.js'
import { Resync } from '../../schema/generated/kasagi/wire/resync.js'
import { Skip } from '../../schema/generated/kasagi/wire/skip.js'
import { protocolVersion } from './protocol.js'
import { isPresent, readBytes, readF64, readTable, readU16, readU32, readU8, readWide, rootTable, type Table } from './reader.js'
import { bytesVector, scalar, string, struct, verify, type TableRule } from './verifier.js'

export interface JoinMessage {
  readonly kind: 'join'
  readonly protocol: number
  readonly schema: string
  /** 0 asks for the field tables. */
  readonly schemaHash: number
  readonly name: string | undefined
  /** 0 if absent, 1 never, 2 always a new room. */
  readonly open: number
  /** Packed fields, each. A view of the message. */
  readonly join: Uint8Array
  readonly options: Uint8Array
  /** A bitmap of the listing fields that are asked for, then those packed; empty: any room. */
  readonly match: Uint8Array
  /** Who it is: a JWT. */
  readonly userToken: string | undefined
  readonly resume: ResumeFields | undefined
}

/**
 * What a client that comes back brings: its secret token, what it has, the first input number that it still holds, and the last one that it has sent,
 * to whatever server.
 */
export interface ResumeFields { readonly token: string; readonly epoch: number; readonly seq: number; readonly firstHeld: number; readonly lastSent: number }
export type ClientMessage =
  | JoinMessage
  | { readonly kind: 'input'; readonly number: number; readonly input: number; readonly data: Uint8Array }
  | { readonly kind: 'resync'; readonly epoch: number; readonly seq: number }
  | { readonly kind: 'leave' }
  | { readonly kind: 'ping'; readonly sent: number }
  | { readonly kind: 'ready'; readonly generation: number }
  | { readonly kind: 'skip'; readonly to: number }

const position = struct(16, true)
const tokenBytesMax = 4096
const joinRule: TableRule = {
  fields: [
    scalar(2), string(typeBytesMax, true), scalar(4), string(roomIdBytesMax * 4), scalar(1), bytesVector, bytesVector, bytesVector,
    string(tokenBytesMax), string(tokenBytesMax), struct(16), scalar(4), scalar(4),
  ],
}
const empty: TableRule = { fields: [] }
// In order of the union ClientBody.
const members = [
  undefined, joinRule, { fields: [scalar(4), scalar(2), bytesVector] }, { fields: [position] }, empty, { fields: [scalar(8)] },
  { fields: [scalar(4)] }, { fields: [scalar(4)] },
]
const rule: TableRule = { fields: [scalar(1), { kind: 'union', members, required: true }] }
const identifier = 'KCLI'

const decoder = new TextDecoder('utf-8', { fatal: true })
const none = new Uint8Array(0)

/** True if `bytes` is a client's message that can be read safely. */
export const verifyClientMessage = (bytes: Uint8Array): boolean => verify(bytes, identifier, rule)

/** Reads a message from bytes that may be hostile; undefined if it is none. Never throws. */
export function readClientMessage(bytes: Uint8Array): ClientMessage | undefined {
  if (!verifyClientMessage(bytes)) return undefined
  try {
    const message = rootTable(bytes)
    return readBody(readU8(message, 0), readTable(message, 1))
  } catch {
    // Only the fatal decoder of texts throws on verified bytes: a name that is no UTF-8.
    return undefined
  }
}

function readBody(type: ClientBody, body: Table): ClientMessage | undefined {
  switch (type) {
    case ClientBody.Join: return readJoin(body)
    case ClientBody.Input: return { kind: 'input', number: readU32(body, 0), input: readU16(body, 1), data: readBytes(body, 2) ?? none }
    case ClientBody.Resync: return { kind: 'resync', epoch: readWide(body, 0, 0), seq: readWide(body, 0, 1) }
    case ClientBody.Leave: return { kind: 'leave' }
    case ClientBody.Ping: return { kind: 'ping', sent: readF64(body, 0) }
    case ClientBody.Ready: return { kind: 'ready', generation: readU32(body, 0) }
    case ClientBody.Skip: return { kind: 'skip', to: readU32(body, 0) }
    default: return undefined
  }
}

/** A text that is UTF-8, or throws; undefined if it is absent. */
function textOf(table: Table, field: number): string | undefined {
  const bytes = readBytes(table, field)
  return bytes === undefined ? undefined : decoder.decode(bytes)
}

const readJoin = (body: Table): JoinMessage => ({
  kind: 'join', protocol: readU16(body, 0), schema: textOf(body, 1)!, schemaHash: readU32(body, 2), name: textOf(body, 3), open: readU8(body, 4),
  join: readBytes(body, 5) ?? none, options: readBytes(body, 6) ?? none, match: readBytes(body, 7) ?? none, userToken: textOf(body, 8), resume: readResume(body),
})

function readResume(body: Table): ResumeFields | undefined {
  const token = textOf(body, 9), hasPosition = isPresent(body, 10)
  if (token === undefined) return undefined
  const epoch = hasPosition ? readWide(body, 10, 0) : 0, seq = hasPosition ? readWide(body, 10, 1) : 0
  // Clients of before `last_sent` do not say it; nobody has sent less than all that is before what it holds.
  const firstHeld = readU32(body, 11), lastSent = Math.max(readU32(body, 12), firstHeld - 1)
  return { token, epoch, seq, firstHeld, lastSent }
}

function finish(builder: Builder, type: ClientBody, body: number): Uint8Array {
  builder.finish(ClientMessageTable.createClientMessage(builder, type, body), identifier)
  return builder.asUint8Array()
}

/** What a client says of itself; `match`, `userToken` and `resume` only where they apply. */
export type JoinFields = Omit<JoinMessage, 'kind' | 'protocol' | 'match' | 'userToken' | 'resume'> & Partial<Pick<JoinMessage, 'match' | 'userToken' | 'resume'>>

export function writeJoin(message: JoinFields): Uint8Array {
  const builder = new Builder(256)
  const schema = builder.createString(message.schema)
  const name = message.name === undefined ? 0 : builder.createString(message.name)
  const join = Join.createJoinVector(builder, message.join), options = Join.createOptionsVector(builder, message.options)
  const match = message.match === undefined || message.match.length === 0 ? 0 : Join.createMatchVector(builder, message.match)
  const userToken = message.userToken === undefined ? 0 : builder.createString(message.userToken)
  const { resume } = message
  const token = resume === undefined ? 0 : builder.createString(resume.token)
  Join.startJoin(builder)
  Join.addProtocol(builder, protocolVersion)
  Join.addSchema(builder, schema)
  Join.addSchemaHash(builder, message.schemaHash)
  if (message.name !== undefined) Join.addName(builder, name)
  Join.addOpen(builder, message.open)
  Join.addJoin(builder, join)
  Join.addOptions(builder, options)
  if (match !== 0) Join.addMatch(builder, match)
  if (userToken !== 0) Join.addUserToken(builder, userToken)
  if (resume !== undefined) {
    Join.addResumeToken(builder, token)
    Join.addPosition(builder, putPosition(builder, resume.epoch, resume.seq))
    Join.addFirstHeld(builder, resume.firstHeld)
    if (resume.lastSent >= resume.firstHeld) Join.addLastSent(builder, resume.lastSent)
  }
  return finish(builder, ClientBody.Join, Join.endJoin(builder))
}

export function writeInput(number: number, input: number, data: Uint8Array): Uint8Array {
  const builder = new Builder(64 + data.length)
  return finish(builder, ClientBody.Input, Input.createInput(builder, number, input, Input.createDataVector(builder, data)))
}

const high = (value: number): number => Math.floor(value / 0x1_0000_0000)
const putPosition = (builder: Builder, epoch: number, seq: number): number => Position.createPosition(builder, epoch >>> 0, high(epoch), seq >>> 0, high(seq))

export function writeResync(epoch: number, seq: number): Uint8Array {
  const builder = new Builder(64)
  Resync.startResync(builder)
  Resync.addPosition(builder, putPosition(builder, epoch, seq))
  return finish(builder, ClientBody.Resync, Resync.endResync(builder))
}

export function writeLeave(): Uint8Array {
  const builder = new Builder(32)
  return finish(builder, ClientBody.Leave, Leave.createLeave(builder))
}

export function writePing(sent: number): Uint8Array {
  const builder = new Builder(48)
  return finish(builder, ClientBody.Ping, Ping.createPing(builder, sent))
}

export function writeReady(generation: number): Uint8Array {
  const builder = new Builder(48)
  return finish(builder, ClientBody.Ready, Ready.createReady(builder, generation))
}

export function writeSkip(to: number): Uint8Array {
  const builder = new Builder(48)
  return finish(builder, ClientBody.Skip, Skip.createSkip(builder, to))
}
