/**
 * A WebSocket client on a bare TCP socket, as cheap as a client can be: it steps over frames and keeps the first bytes of each message alone. Any process that loads a server.
 *
 * Invariant: of a message of at most `wholeBytes` all bytes are kept, of a longer one the first `headBytes`. Nothing is allocated for what comes.
 */
import { connect, type Socket } from 'node:net'

export const wholeBytes = 2048
const headBytes = 64

export interface RawClient {
  readonly stream: Socket
  /** The first bytes of the message that came last. */
  readonly head: Buffer
  /** Bytes of all frames that came, heads of frames included. */
  bytes: number
  send(message: Uint8Array, opcode?: number): void
  end(): void
}

/** `message`: bytes of a whole message, whose beginning stands in `head`. */
export interface RawHandlers { open(client: RawClient): void; message(client: RawClient, bytes: number, opcode: number): void; lost(why: string): void }

export const opcodes = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

/** Shared by all: what comes is taken before the next socket reads. */
const incoming = new Uint8Array(256 * 1024)

/** Connects and asks for the upgrade. `path`: with the query. */
export function openRaw(port: number, path: string, handlers: RawHandlers): RawClient {
  const parser = createParser()
  const take = (bytes: number, data: Uint8Array): boolean => { parse(client, parser, handlers, data, bytes); return true }
  const stream = connect({ port, host: '127.0.0.1', noDelay: true, onread: { buffer: incoming, callback: take } })
  const client: RawClient = {
    stream, head: parser.head, bytes: 0,
    send: (message, opcode = opcodes.binary) => { stream.write(frameOf(message, opcode)) },
    end: () => { parser.isOver = true; stream.destroy() },
  }
  stream.on('connect', () => stream.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n`))
  stream.on('error', (error) => lose(parser, handlers, error.message))
  stream.on('close', () => lose(parser, handlers, 'the connection ended'))
  return client
}

interface Parser {
  readonly head: Buffer
  readonly frameHead: Buffer
  answer: string
  isUpgraded: boolean
  isOver: boolean
  frameHeadBytes: number
  opcode: number
  /** Of the payload that is being read: all, and what has come. */
  length: number
  come: number
  inPayload: boolean
}

const createParser = (): Parser => ({
  head: Buffer.alloc(wholeBytes), frameHead: Buffer.alloc(10), answer: '', isUpgraded: false, isOver: false, frameHeadBytes: 0, opcode: 0, length: 0, come: 0, inPayload: false,
})

function lose(parser: Parser, { lost }: RawHandlers, why: string): void {
  if (parser.isOver) return
  parser.isOver = true
  lost(why)
}

function parse(client: RawClient, parser: Parser, handlers: RawHandlers, data: Uint8Array, end: number): void {
  let at = parser.isUpgraded ? 0 : takeAnswer(client, parser, handlers, data, end)
  while (at < end && !parser.isOver) at = parser.inPayload ? takePayload(client, parser, handlers, data, at, end) : takeFrameHead(client, parser, handlers, data, at, end)
}

/** The answer to the upgrade; returns where frames begin. */
function takeAnswer(client: RawClient, parser: Parser, handlers: RawHandlers, data: Uint8Array, end: number): number {
  const before = parser.answer.length
  parser.answer += Buffer.from(data.buffer, data.byteOffset, end).toString('latin1')
  const ends = parser.answer.indexOf('\r\n\r\n')
  if (ends < 0) return end
  if (!parser.answer.startsWith('HTTP/1.1 101')) { lose(parser, handlers, parser.answer.slice(0, 200)); return end }
  parser.isUpgraded = true
  handlers.open(client)
  return ends + 4 - before
}

const headBytesOf = (lengthByte: number): number => lengthByte === 126 ? 4 : lengthByte === 127 ? 10 : 2

function takeFrameHead(client: RawClient, parser: Parser, handlers: RawHandlers, data: Uint8Array, at: number, end: number): number {
  const { frameHead } = parser
  while (at < end && (parser.frameHeadBytes < 2 || parser.frameHeadBytes < headBytesOf(frameHead[1]))) frameHead[parser.frameHeadBytes++] = data[at++]
  const wanted = parser.frameHeadBytes < 2 ? 2 : headBytesOf(frameHead[1])
  if (parser.frameHeadBytes < wanted) return at
  if ((frameHead[0] & 0xf0) !== 0x80) { lose(parser, handlers, 'a message came in parts, or compressed'); return end }
  parser.opcode = frameHead[0] & 15
  parser.length = wanted === 2 ? frameHead[1] : wanted === 4 ? frameHead.readUInt16BE(2) : frameHead.readUInt32BE(6)
  parser.frameHeadBytes = parser.come = 0
  parser.inPayload = true
  client.bytes += wanted + parser.length
  return parser.length === 0 ? takePayload(client, parser, handlers, data, at, at) : at
}

function takePayload(client: RawClient, parser: Parser, handlers: RawHandlers, data: Uint8Array, at: number, end: number): number {
  const { length, come, head } = parser, part = Math.min(length - come, end - at)
  const kept = Math.min(part, (length <= wholeBytes ? length : headBytes) - come)
  for (let n = 0; n < kept; n++) head[come + n] = data[at + n]
  parser.come += part
  if (parser.come < length) return at + part
  parser.inPayload = false
  if (parser.opcode === opcodes.ping) client.send(new Uint8Array(head.subarray(0, length)), opcodes.pong)
  else if (parser.opcode === opcodes.close) lose(parser, handlers, `closed: ${length < 2 ? '' : `${head.readUInt16BE(0)} ${head.toString('utf8', 2, Math.min(length, 100))}`}`)
  else handlers.message(client, length, parser.opcode)
  return at + part
}

/** A client's frame, masked with zeros: the server undoes it all the same. At most 65,535 bytes. */
function frameOf(message: Uint8Array, opcode: number): Uint8Array {
  const { length } = message, isShort = length < 126, headLength = isShort ? 6 : 8, frame = new Uint8Array(headLength + length)
  frame[0] = 0x80 | opcode
  frame[1] = 0x80 | (isShort ? length : 126)
  if (!isShort) {
    frame[2] = length >>> 8
    frame[3] = length
  }
  frame.set(message, headLength)
  return frame
}
