/** The latency bench's floor: a bare uWebSockets.js server that answers every message. Arguments: bytes of what comes, bytes of what goes back. It is asked for its port. */
import { App, us_socket_local_port } from 'uWebSockets.js'

const [length, back] = process.argv.slice(2).map(Number), answer = new Uint8Array(back)
const app = App().ws('/*', {
  message: (socket, message) => {
    if (message.byteLength !== length) process.exit(3)
    socket.send(answer, true)
  },
})
const listening = await new Promise<unknown>((resolve) => { app.listen('127.0.0.1', 0, resolve) })
process.on('message', () => { process.send?.(us_socket_local_port(listening as Parameters<typeof us_socket_local_port>[0])) })
process.on('disconnect', () => process.exit(0))
process.send?.('ready')
