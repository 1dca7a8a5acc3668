/** A WebSocket client without a library: a bare connection that can stop reading, send what no library would, and count what came. */
import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

export interface RawClient {
  readonly stream: Socket
  /** The server has ended the connection. */
  readonly ended: Promise<void>
  /** What came behind the answer to the handshake. */
  received(): Uint8Array
  receivedBytes(): number
  frame(opcode: number, payload: Uint8Array, isLast?: boolean): void
}

/** Connects and shakes hands. */
export async function openRaw(port: number, isTls: boolean): Promise<RawClient> {
  // Half open: that the server ends does not end this side, which takes nobody at their word.
  const address = { port, host: '127.0.0.1', allowHalfOpen: true }
  const stream = isTls ? connectTls({ ...address, rejectUnauthorized: false }) : connect(address)
  // Characters 0 to 255, so that adding to it is cheap. `headEnd`: where the answer to the handshake ends.
  let received = '', headEnd = 0
  stream.on('error', () => {})
  const ended = new Promise<void>((resolve) => { stream.once('end', resolve).once('close', resolve) })
  const answered = new Promise<void>((resolve) => {
    stream.on('data', (data: Buffer) => {
      received += data.toString('latin1')
      if (headEnd > 0 || !received.includes('\r\n\r\n')) return
      headEnd = received.indexOf('\r\n\r\n') + 4
      resolve()
    })
  })
  const key = randomBytes(16).toString('base64')
  stream.write(`GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`)
  await answered
  return {
    stream, ended, received: () => new Uint8Array(Buffer.from(received.slice(headEnd), 'latin1')), receivedBytes: () => received.length - headEnd,
    frame: (opcode, payload, isLast = true) => { stream.write(maskedFrame(opcode, payload, isLast)) },
  }
}

/** At most 125 bytes of payload. */
function maskedFrame(opcode: number, payload: Uint8Array, isLast: boolean): Uint8Array {
  const mask = randomBytes(4)
  return new Uint8Array([(isLast ? 0x80 : 0) | opcode, 0x80 | payload.length, ...mask, ...payload.map((byte, at) => byte ^ mask[at % 4])])
}
