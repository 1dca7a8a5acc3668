/**
 * How a frame leaves the main thread: a loop of sends over the room's clients against the library's `publish`, end to end: real sockets,
 * clients in another process, 1,200 bytes from shared memory 20 times a second. CPU of this process per delivery; the contestants take
 * turns in short windows. `make bench ONLY=frame`.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { App, us_socket_local_port, type WebSocket } from 'uWebSockets.js'
import { createSteal, printSteal, takeWindows } from './paired.js'
import { figure, isSmoke, median, printFigures, writeReport, type Measured } from './report.js'

const windowMs = isSmoke ? 200 : 750, tickMs = 50

const frame = new Uint8Array(new SharedArrayBuffer(1200)).fill(7)
const sockets = new Set<WebSocket<unknown>>()
const app = App().ws('/*', {
  maxBackpressure: 0,
  open: (socket) => { sockets.add(socket); socket.subscribe('room') },
  close: (socket) => { sockets.delete(socket) },
})
const listening = await new Promise<unknown>((resolve) => { app.listen(0, resolve) })
const port = us_socket_local_port(listening as Parameters<typeof us_socket_local_port>[0])

const ways = {
  loop: () => { for (const socket of sockets) if (socket.getBufferedAmount() < 1_000_000) socket.send(frame, true) },
  publish: () => { app.publish('room', frame, true) },
}

/** CPU microseconds per delivery over one window. */
async function measure(send: () => void, clients: ReturnType<typeof fork>): Promise<number> {
  const ask = async (): Promise<number> => { clients.send('count'); return (await once(clients, 'message') as [number])[0] }
  const before = await ask(), cpu = process.cpuUsage(), end = performance.now() + windowMs
  while (performance.now() < end) {
    send()
    await new Promise((resolve) => { setTimeout(resolve, tickMs) })
  }
  const { user, system } = process.cpuUsage(cpu)
  const delivered = await ask() - before
  if (delivered === 0) throw new Error('frame: nothing was delivered')
  return (user + system) / delivered
}

const steal = createSteal(), parts: Measured[] = []
for (const count of isSmoke ? [20] : [200, 1000]) {
  const clients = fork(fileURLToPath(new URL('frame-clients.js', import.meta.url)), [String(port), String(count)])
  await once(clients, 'message')
  const window = async (): Promise<readonly [number, number]> => [await measure(ways.loop, clients), await measure(ways.publish, clients)]
  await window()
  const id = `frame/${count}-clients`, windows = await takeWindows(id, steal, window)
  parts.push({
    figures: [figure(id, 'loop of sends', 'CPU per delivery', 'us', windows.map(([loop]) => loop)), figure(id, 'publish', 'CPU per delivery', 'us', windows.map(([, publish]) => publish))],
    ratios: { [id]: median(windows.map(([loop, publish]) => loop / publish)) }, targets: [],
  })
  clients.disconnect()
  await once(clients, 'exit')
}
printFigures(parts.flatMap(({ figures }) => figures))
printSteal(steal)
writeReport('frame', parts)
process.exit(0)
