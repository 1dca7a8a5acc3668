/** What a client says (schema/client.fbs): writers for the SDK, one reader for the server. The reader verifies before it reads. */
import { Builder, ByteBuffer } from 'flatbuffers'
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
    return readVerified(ClientMessageTable.getRootAsClientMessage(new ByteBuffer(bytes)))
  } catch {
    // Only the fatal decoder of texts throws on verified bytes: a name that is no UTF-8.
    return undefined
  }
}

const text = (value: Uint8Array | string | null): string | undefined =>
  value === null ? undefined : typeof value === 'string' ? value : decoder.decode(value)
const wide = (low: number, high: number): number => low + high * 0x1_0000_0000
/** FlatBuffers' own decoder is not fatal: texts are taken as bytes. */
const asBytes = 1

function readVerified(message: ClientMessageTable): ClientMessage | undefined {
  switch (message.bodyType()) {
    case ClientBody.Join: return readJoin(message.body(new Join()) as Join)
    case ClientBody.Input: {
      const body = message.body(new Input()) as Input
      return { kind: 'input', number: body.number(), input: body.input(), data: body.dataArray() ?? none }
    }
    case ClientBody.Resync: {
      const at = (message.body(new Resync()) as Resync).position()!
      return { kind: 'resync', epoch: wide(at.epochLow(), at.epochHigh()), seq: wide(at.seqLow(), at.seqHigh()) }
    }
    case ClientBody.Leave: return { kind: 'leave' }
    case ClientBody.Ping: return { kind: 'ping', sent: (message.body(new Ping()) as Ping).sent() }
    case ClientBody.Ready: return { kind: 'ready', generation: (message.body(new Ready()) as Ready).generation() }
    case ClientBody.Skip: return { kind: 'skip', to: (message.body(new Skip()) as Skip).to() }
    default: return undefined
  }
}

const readJoin = (body: Join): JoinMessage => ({
  kind: 'join', protocol: body.protocol(), schema: text(body.schema(asBytes))!, schemaHash: body.schemaHash(),
  name: text(body.name(asBytes)), open: body.open(), join: body.joinArray() ?? none, options: body.optionsArray() ?? none,
  match: body.matchArray() ?? none, userToken: text(body.userToken(asBytes)), resume: readResume(body),
})

function readResume(body: Join): ResumeFields | undefined {
  const token = text(body.resumeToken(asBytes)), at = body.position()
  if (token === undefined) return undefined
  const epoch = at === null ? 0 : wide(at.epochLow(), at.epochHigh()), seq = at === null ? 0 : wide(at.seqLow(), at.seqHigh())
  // Clients of before `last_sent` do not say it; nobody has sent less than all that is before what it holds.
  const firstHeld = body.firstHeld(), lastSent = Math.max(body.lastSent(), firstHeld - 1)
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
