/** The load of the frame bench: clients that count what they get, in a process of their own. Arguments: port, count. */
import { WebSocket } from 'ws'

const [port, count] = process.argv.slice(2).map(Number)
let received = 0, open = 0
for (let n = 0; n < count; n++) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}`)
  socket.on('open', () => { if (++open === count) process.send?.('open') })
  socket.on('message', (data: Buffer) => { received++; if (data.length !== 1200) process.exit(3) })
}
process.on('message', () => { process.send?.(received) })
process.on('disconnect', () => process.exit(0))
