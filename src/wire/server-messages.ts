/** What a server says beside sections (schema/server.fbs): writers for the server, one reader for the SDK. */
import { Builder } from 'flatbuffers'
import { Nack } from '../../schema/generated/kasagi/wire/nack.js'
import { Notice } from '../../schema/generated/kasagi/wire/notice.js'
import { Own } from '../../schema/generated/kasagi/wire/own.js'
import { Pong } from '../../schema/generated/kasagi/wire/pong.js'
import { Position } from '../../schema/generated/kasagi/wire/position.js'
import { Resynced } from '../../schema/generated/kasagi/wire/resynced.js'
import { ServerBody } from '../../schema/generated/kasagi/wire/server-body.js'
import { ServerMessage as ServerMessageTable } from '../../schema/generated/kasagi/wire/server-message.js'
import { Welcome } from '../../schema/generated/kasagi/wire/welcome.js'
import { readF32, readF64, readTable, readTables, readText, readU32, readU8, readWide, rootTable, type Table } from './reader.js'
import { scalar, string, struct, verify, type TableRule } from './verifier.js'

export interface NackMessage { readonly number: number; readonly code: string; readonly text: string }
export interface PositionFields { readonly epoch: number; readonly seq: number }
export interface WelcomeMessage extends PositionFields {
  readonly parentEpoch: number; readonly forkSeq: number; readonly tick: number; readonly tickHz: number; readonly flushHz: number
  readonly roomId: string; readonly sessionId: string; readonly slot: number; readonly lastInput: number
  readonly schemaHash: number; readonly schema: string; readonly token: string; readonly generation: number
}
export interface OwnMessage extends PositionFields {
  readonly durableSeq: number
  /** Inputs up to here are applied, or were refused with a nack. */
  readonly lastInput: number
  /** Not 0: send again from this number. */
  readonly wanted: number
  /** Section messages that follow and belong to this frame. */
  readonly sections: number
  readonly nacks?: readonly NackMessage[]
}
export interface ResyncedMessage extends PositionFields { readonly kind: number; readonly rewound?: boolean }
export interface PongMessage { readonly sent: number; readonly serverMs: number; readonly tickMs: number }
export type ServerMessage =
  | { readonly kind: 'welcome'; readonly welcome: WelcomeMessage }
  | { readonly kind: 'own'; readonly own: OwnMessage }
  | { readonly kind: 'notice'; readonly code: string; readonly text: string }
  | { readonly kind: 'resynced'; readonly resynced: ResyncedMessage }
  | { readonly kind: 'pong'; readonly pong: PongMessage }

// A server's texts are as long as it likes: only the message bounds them.
const text = string(Infinity), requiredText = string(Infinity, true)
const position = struct(16, true), u32 = scalar(4), f32 = scalar(4), f64 = scalar(8)
// In order of the fields in schema/server.fbs, and of the union ServerBody.
const welcomeRule: TableRule = {
  fields: [position, u32, u32, u32, u32, u32, f32, f32, requiredText, requiredText, u32, u32, u32, text, text, u32],
}
const nackRule: TableRule = { fields: [u32, requiredText, text] }
const ownRule: TableRule = { fields: [position, u32, u32, u32, u32, u32, { kind: 'tables', rule: nackRule }] }
const members = [
  undefined, welcomeRule, ownRule, { fields: [requiredText, text] }, { fields: [scalar(1), position] }, { fields: [f64, f64, f32] },
]
const rule: TableRule = { fields: [scalar(1), { kind: 'union', members, required: true }] }
const identifier = 'KSRV'

/** True if `bytes` is a server's message that can be read safely. */
export const verifyServerMessage = (bytes: Uint8Array): boolean => verify(bytes, identifier, rule)

const low32 = 0x1_0000_0000
const high = (value: number): number => Math.floor(value / low32)
const wide = (low: number, top: number): number => low + top * low32

function finish(builder: Builder, type: ServerBody, body: number): Uint8Array {
  builder.finish(ServerMessageTable.createServerMessage(builder, type, body), identifier)
  return builder.asUint8Array()
}

const putPosition = (builder: Builder, { epoch, seq }: PositionFields): number =>
  Position.createPosition(builder, epoch >>> 0, high(epoch), seq >>> 0, high(seq))

export function writeWelcome(message: WelcomeMessage): Uint8Array {
  const builder = new Builder(512)
  const roomId = builder.createString(message.roomId), sessionId = builder.createString(message.sessionId)
  const schema = message.schema === '' ? 0 : builder.createString(message.schema)
  const token = message.token === '' ? 0 : builder.createString(message.token)
  Welcome.startWelcome(builder)
  Welcome.addPosition(builder, putPosition(builder, message))
  Welcome.addParentEpochLow(builder, message.parentEpoch >>> 0)
  Welcome.addParentEpochHigh(builder, high(message.parentEpoch))
  Welcome.addForkSeqLow(builder, message.forkSeq >>> 0)
  Welcome.addForkSeqHigh(builder, high(message.forkSeq))
  Welcome.addTick(builder, message.tick)
  Welcome.addTickHz(builder, message.tickHz)
  Welcome.addFlushHz(builder, message.flushHz)
  Welcome.addRoomId(builder, roomId)
  Welcome.addSessionId(builder, sessionId)
  Welcome.addSlot(builder, message.slot)
  Welcome.addLastInput(builder, message.lastInput)
  Welcome.addSchemaHash(builder, message.schemaHash)
  if (schema !== 0) Welcome.addSchema(builder, schema)
  if (token !== 0) Welcome.addToken(builder, token)
  Welcome.addGeneration(builder, message.generation)
  return finish(builder, ServerBody.Welcome, Welcome.endWelcome(builder))
}

export function writeOwn(message: OwnMessage): Uint8Array {
  const builder = new Builder(128)
  const nacks = (message.nacks ?? []).map(({ number, code, text }) => {
    const codeAt = builder.createString(code), textAt = text === '' ? 0 : builder.createString(text)
    return Nack.createNack(builder, number, codeAt, textAt)
  })
  const vector = nacks.length === 0 ? 0 : Own.createNacksVector(builder, nacks)
  Own.startOwn(builder)
  Own.addPosition(builder, putPosition(builder, message))
  Own.addDurableSeqLow(builder, message.durableSeq >>> 0)
  Own.addDurableSeqHigh(builder, high(message.durableSeq))
  Own.addLastInput(builder, message.lastInput)
  Own.addWanted(builder, message.wanted)
  Own.addSections(builder, message.sections)
  if (vector !== 0) Own.addNacks(builder, vector)
  return finish(builder, ServerBody.Own, Own.endOwn(builder))
}

/**
 * An Own without nacks, whose bytes differ in nine numbers only: a template, patched. Sent per client and flush, so it allocates nothing.
 * Returns its length; `target` begins 4-aligned in its buffer.
 */
export function writeOwnInto(target: Uint8Array, message: Omit<OwnMessage, 'nacks'>): number {
  target.set(ownTemplate.bytes)
  const put = (value: number, place: number): void => {
    const at = ownTemplate.places[place]
    target[at] = value
    target[at + 1] = value >>> 8
    target[at + 2] = value >>> 16
    target[at + 3] = value >>> 24
  }
  put(message.epoch >>> 0, 0)
  put(high(message.epoch), 1)
  put(message.seq >>> 0, 2)
  put(high(message.seq), 3)
  put(message.durableSeq >>> 0, 4)
  put(high(message.durableSeq), 5)
  put(message.lastInput, 6)
  put(message.wanted, 7)
  put(message.sections, 8)
  return ownTemplate.bytes.length
}

/** An Own of nine recognisable numbers, and where each of them stands. */
const ownTemplate = /* @__PURE__ */ createOwnTemplate()
function createOwnTemplate(): { readonly bytes: Uint8Array; readonly places: readonly number[] } {
  const marks = Array.from({ length: 9 }, (_, index) => 0x7a5a_0001 + index * 0x0101)
  const bytes = writeOwn({
    epoch: wide(marks[0], marks[1] & 0x1fffff), seq: wide(marks[2], marks[3] & 0x1fffff), durableSeq: wide(marks[4], marks[5] & 0x1fffff),
    lastInput: marks[6], wanted: marks[7], sections: marks[8],
  }).slice()
  const view = new DataView(bytes.buffer)
  const places = marks.map((mark, index) => {
    const value = index === 1 || index === 3 || index === 5 ? mark & 0x1fffff : mark
    for (let at = 8; at < bytes.length; at += 4) if (view.getUint32(at, true) === value) return at
    throw new Error('server-messages: the template of Own holds its marks')
  })
  return { bytes, places }
}

export function writeNotice(code: string, text: string): Uint8Array {
  const builder = new Builder(128)
  const codeAt = builder.createString(code), textAt = text === '' ? 0 : builder.createString(text)
  return finish(builder, ServerBody.Notice, Notice.createNotice(builder, codeAt, textAt))
}

export function writeResynced(message: ResyncedMessage): Uint8Array {
  const builder = new Builder(64)
  Resynced.startResynced(builder)
  Resynced.addKind(builder, message.kind)
  Resynced.addPosition(builder, putPosition(builder, message))
  Resynced.addRewound(builder, message.rewound ?? false)
  return finish(builder, ServerBody.Resynced, Resynced.endResynced(builder))
}

export function writePong({ sent, serverMs, tickMs }: PongMessage): Uint8Array {
  const builder = new Builder(64)
  return finish(builder, ServerBody.Pong, Pong.createPong(builder, sent, serverMs, tickMs))
}

const readPosition = (table: Table, field: number): PositionFields => ({ epoch: readWide(table, field, 0), seq: readWide(table, field, 1) })

/** Reads a server's message; undefined if it is none: a section, say, or broken. Clients do not trust blindly either. */
export function readServerMessage(bytes: Uint8Array): ServerMessage | undefined {
  if (!verifyServerMessage(bytes)) return undefined
  const message = rootTable(bytes), body = readTable(message, 1)
  switch (readU8(message, 0)) {
    case ServerBody.Welcome: return { kind: 'welcome', welcome: readWelcome(body) }
    case ServerBody.Own: return { kind: 'own', own: readOwn(body) }
    case ServerBody.Notice: return { kind: 'notice', code: readText(body, 0), text: readText(body, 1) }
    case ServerBody.Resynced: return { kind: 'resynced', resynced: { kind: readU8(body, 0), rewound: readU8(body, 2) !== 0, ...readPosition(body, 1) } }
    case ServerBody.Pong: return { kind: 'pong', pong: { sent: readF64(body, 0), serverMs: readF64(body, 1), tickMs: readF32(body, 2) } }
    default: return undefined
  }
}

const readWelcome = (body: Table): WelcomeMessage => ({
  ...readPosition(body, 0),
  parentEpoch: wide(readU32(body, 1), readU32(body, 2)), forkSeq: wide(readU32(body, 3), readU32(body, 4)),
  tick: readU32(body, 5), tickHz: readF32(body, 6), flushHz: readF32(body, 7), roomId: readText(body, 8), sessionId: readText(body, 9),
  slot: readU32(body, 10), lastInput: readU32(body, 11), schemaHash: readU32(body, 12), schema: readText(body, 13), token: readText(body, 14),
  generation: readU32(body, 15),
})

const readOwn = (body: Table): OwnMessage => ({
  ...readPosition(body, 0), durableSeq: wide(readU32(body, 1), readU32(body, 2)),
  lastInput: readU32(body, 3), wanted: readU32(body, 4), sections: readU32(body, 5),
  nacks: readTables(body, 6).map((nack) => ({ number: readU32(nack, 0), code: readText(nack, 1), text: readText(nack, 2) })),
})
