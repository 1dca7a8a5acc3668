/**
 * How each contestant is spoken to by a raw client: how it comes in, what of what it hears is a turn, what an acknowledgement, and how it is told to go and
 * to steer. Load process. Nothing is decoded beyond what tells one message from another; that is the viewers' part.
 */
import { writeInput, writeJoin, writePing, writeReady } from '../../src/wire/client-messages.js'
import { readServerMessage } from '../../src/wire/server-messages.js'
import { moversOf, type RoomType } from './project/shared/place.js'
import { opcodes, wholeBytes, type RawClient } from '../raw-client.js'

export type DialectName = 'engine' | 'floor' | 'colyseus' | 'socketio'

/** One client of a contestant. `sent`: its last input's number, the engine's go included; `acked`: the last that was acknowledged. */
export interface Player {
  readonly raw: RawClient
  isIn: boolean
  deliveries: number
  sent: number
  acked: number
  /** When its last input was sent; 0 once that was acknowledged. */
  sentMs: number
}

export interface Place { readonly port: number; readonly name: string; readonly type: RoomType }

/** What a message is to the count. */
export const heard = { nothing: 0, delivery: 1, acknowledged: 2, both: 3 } as const
export type Heard = typeof heard[keyof typeof heard]

export interface Dialect {
  /** Where the WebSocket is; it may have to be asked for. */
  pathOf(place: Place): Promise<string> | string
  opened(player: Player, place: Place): void
  message(player: Player, bytes: number, opcode: number): Heard
  /** What makes the player's room move for so many turns. */
  go(player: Player, turns: number): Uint8Array
  steer(player: Player): Uint8Array
  /** What a client says now and then to be known to live; undefined: answering pings is enough. */
  beat?: Uint8Array
}

const none = new Uint8Array(0), latin1 = 'latin1'
const inputOf = { go: 0, steer: 1 } as const

/** Bytes 4 to 8 tell a section. With one stream, and nobody joining, each is one turn's. */
const isSection = (head: Buffer): boolean => head[4] === 0x4b && head[5] === 0x53 && head[6] === 0x45 && head[7] === 0x43

function engineMessage(player: Player, bytes: number): Heard {
  const { head } = player.raw
  if (isSection(head)) {
    player.isIn = true
    return heard.delivery
  }
  if (bytes > wholeBytes) throw new Error(`fanout: the engine says ${bytes} bytes that are no section`)
  const said = readServerMessage(new Uint8Array(head.subarray(0, bytes)))
  switch (said?.kind) {
    case 'welcome': player.raw.send(writeReady(said.welcome.generation)); return heard.nothing
    case 'notice': throw new Error(`fanout: the engine says ${said.code}: ${said.text}`)
    case 'own': {
      const { lastInput, nacks = [], wanted } = said.own
      if (nacks.length > 0 || wanted !== 0) throw new Error(`fanout: the engine refused an input: ${nacks.map(({ code }) => code).join(', ')}, wants ${wanted}`)
      player.acked = lastInput
      return heard.acknowledged
    }
    default: return heard.nothing
  }
}

/** Packed fields of an input: numbers of two and of four bytes, as this machine has them. */
const u16 = (value: number): Uint8Array => new Uint8Array(new Uint16Array([value]).buffer)
const u32 = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer)

const engine: Dialect = {
  pathOf: () => '/',
  opened: (player, { name, type }) => player.raw.send(writeJoin({ schema: type, schemaHash: 0, name, open: 0, join: none, options: none })),
  message: engineMessage,
  go: (player, turns) => writeInput(++player.sent, inputOf.go, u16(turns)),
  steer: (player) => writeInput(++player.sent, inputOf.steer, u32(player.sent)),
  beat: writePing(0),
}

/** The bare server: a message as long as the engine's is echoed; two bytes make the room move. */
const floor: Dialect = {
  pathOf: ({ name }) => `/${name}`,
  opened: (player) => { player.isIn = true },
  message: (player, bytes) => {
    if (bytes !== echoBytes) return heard.delivery
    player.acked = player.raw.head.readUInt32LE(0)
    return heard.acknowledged
  },
  go: (_, turns) => u16(turns),
  steer: (player) => {
    const message = new Uint8Array(echoBytes)
    message.set(u32(++player.sent))
    return message
  },
}
export const echoBytes = writeInput(1, inputOf.steer, u32(1)).length

// Colyseus' protocol: the first byte says what a message is; 0x80 with it, the room's time and the last input applied come behind it.
const colyseusSays = { join: 10, error: 11, data: 13, patch: 15, input: 19, timed: 0x80, codes: 31 } as const

async function colyseusPath({ port, name, type }: Place): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${port}/matchmake/joinOrCreate/crowd`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ room: name, movers: moversOf[type] }),
  })
  const { processId, roomId, sessionId } = await answer.json() as Record<string, string | undefined>
  if (roomId === undefined) throw new Error(`fanout: Colyseus gives no seat: ${answer.status}`)
  return `/${processId}/${roomId}?sessionId=${sessionId}`
}

function colyseusMessage(player: Player): Heard {
  const { head } = player.raw, code = head[0] & colyseusSays.codes
  if (code === colyseusSays.error) throw new Error(`fanout: Colyseus says ${head.toString(latin1, 1, 100)}`)
  if (code === colyseusSays.join) {
    player.raw.send(new Uint8Array([colyseusSays.join]))
    player.isIn = true
  }
  if (code !== colyseusSays.patch) return heard.nothing
  if ((head[0] & colyseusSays.timed) === 0) return heard.delivery
  const acked = head.readUInt32LE(5)
  if (acked === player.acked) return heard.delivery
  player.acked = acked
  return heard.both
}

const colyseus: Dialect = {
  pathOf: colyseusPath,
  opened: () => {},
  message: colyseusMessage,
  // A short text, and an unsigned number of one or two bytes in MessagePack.
  go: (_, turns) => new Uint8Array([colyseusSays.data, 0xa2, 0x67, 0x6f, 0xcd, turns >> 8, turns & 255]),
  // Its input encoder's bytes: field 0, and its value.
  steer: (player) => new Uint8Array([colyseusSays.input, 0x80, ...u32(++player.sent)]),
}

// Packets of Socket.IO in MessagePack, whose maps are written as its own parser writes them: connect, and an event with one argument.
const text = (value: string): number[] => [0xa0 | value.length, ...Buffer.from(value, latin1)]
const connectPacket = new Uint8Array([0x82, ...text('type'), 0, ...text('nsp'), ...text('/')])
const eventPacket = (name: string, value: number): Uint8Array =>
  new Uint8Array([0x83, ...text('type'), 2, ...text('nsp'), ...text('/'), ...text('data'), 0x92, ...text(name), 0xce, value >>> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255])

function socketioMessage(player: Player, bytes: number, opcode: number): Heard {
  const { raw } = player, { head } = raw
  if (opcode === opcodes.text) {
    // Engine.IO: 0 opens, 2 asks whether somebody is there.
    if (head[0] === 0x30) raw.send(connectPacket)
    else if (head[0] === 0x32) raw.send(new Uint8Array([0x33]), opcodes.text)
    return heard.nothing
  }
  const type = head[6], data = head.indexOf('data', 0, latin1)
  if (type === 0) { player.isIn = true; return heard.nothing }
  if (type !== 2) throw new Error(`fanout: socket.io says ${head.toString(latin1, 0, Math.min(bytes, 64))}`)
  // Behind it an array of two, and a text of one letter.
  if (head[data + 6] === 0x74) return heard.delivery
  player.acked = numberAt(head, data + 7)
  return heard.acknowledged
}

/** An unsigned number in MessagePack. */
const numberAt = (head: Buffer, at: number): number =>
  head[at] === 0xcc ? head[at + 1] : head[at] === 0xcd ? head.readUInt16BE(at + 1) : head[at] === 0xce ? head.readUInt32BE(at + 1) : head[at]

const socketio: Dialect = {
  pathOf: ({ name, type }) => `/socket.io/?EIO=4&transport=websocket&name=${name}&movers=${moversOf[type]}`,
  opened: () => {},
  message: socketioMessage,
  go: (_, turns) => eventPacket('go', turns),
  steer: (player) => eventPacket('s', ++player.sent),
}

export const dialects: Readonly<Record<DialectName, Dialect>> = { engine, floor, colyseus, socketio }
