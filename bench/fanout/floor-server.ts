/**
 * The floor of the fan-out bench: what no server on this library can undercut. Bare uWebSockets.js publishes messages that the engine's clients have got, from
 * shared memory, 20 times a second, and echoes what is as long as an input. A process of its own. Arguments: the bytes of an echo.
 *
 * A room is a topic, by the path of its clients. Asked with messages in base64, it plays those from then on.
 */
import { App, us_socket_local_port, type WebSocket } from 'uWebSockets.js'
import { tickMs } from './project/shared/place.js'

interface Room { left: number; turn: number }

const echoBytes = Number(process.argv[2])
const rooms = new Map<string, Room>()
let messages: Uint8Array[] = []

function roomOf(path: string): Room {
  let room = rooms.get(path)
  if (room === undefined) rooms.set(path, room = { left: 0, turn: 0 })
  return room
}

const app = App().ws<{ path: string }>('/*', {
  maxBackpressure: 0, idleTimeout: 0,
  upgrade: (response, request, context) => response.upgrade(
    { path: request.getUrl() }, request.getHeader('sec-websocket-key'), request.getHeader('sec-websocket-protocol'), request.getHeader('sec-websocket-extensions'), context,
  ),
  open: (socket) => { socket.subscribe(socket.getUserData().path) },
  message: (socket: WebSocket<{ path: string }>, message) => {
    if (message.byteLength === echoBytes) socket.send(message, true)
    else roomOf(socket.getUserData().path).left = new DataView(message).getUint16(0, true)
  },
})
const listening = await new Promise<unknown>((resolve) => { app.listen('127.0.0.1', 0, resolve) })

let next = performance.now()
function tick(): void {
  for (const [path, room] of rooms) {
    if (room.left === 0) continue
    room.left--
    app.publish(path, messages[room.turn++ % messages.length] as Uint8Array<ArrayBuffer>, true)
  }
  // On an absolute schedule; turns that were missed are not made up for.
  next = Math.max(next + tickMs, performance.now())
  setTimeout(tick, next - performance.now())
}
tick()

process.on('message', (texts: readonly string[]) => {
  messages = texts.map((text) => {
    const bytes = Buffer.from(text, 'base64'), shared = new Uint8Array(new SharedArrayBuffer(bytes.length))
    shared.set(bytes)
    return shared
  })
  process.send?.(us_socket_local_port(listening as Parameters<typeof us_socket_local_port>[0]))
})
process.on('disconnect', () => process.exit(0))
process.send?.('ready')
