/** A load balancer of the test's own: each connection goes to the next instance in turn, or always to the first; or to the next one that takes it. */
import { connect as connectTcp, createServer, type Socket } from 'node:net'

export interface Door {
  readonly url: string
  /** Ports that connections go to. */
  ports: number[]
  /** Ends every connection with a reset. */
  cut(): void
  /** What clients of the connections that there are send stays on its way, or goes on. What they are sent arrives. */
  hold(isHeld: boolean): void
  stop(): Promise<void>
}

export async function startDoor(ports: readonly number[], isInTurn = true): Promise<Door> {
  const sockets = new Set<Socket>(), through = new Map<Socket, Socket>()
  let turn = 0
  const door: Door = {
    url: '', ports: [...ports],
    cut: () => { for (const socket of sockets) socket.resetAndDestroy() },
    hold: (isHeld) => {
      for (const [client, server] of through) {
        if (isHeld) client.unpipe(server).pause()
        else client.pipe(server)
      }
    },
    stop: () => new Promise((resolve) => { door.cut(); listener.close(() => resolve()) }),
  }
  const keep = (socket: Socket): void => {
    sockets.add(socket)
    socket.setNoDelay(true).on('error', () => {}).on('close', () => sockets.delete(socket))
  }
  const tryNext = (client: Socket, left: number): void => {
    const { ports: open } = door
    if (left === 0 || open.length === 0) return void client.resetAndDestroy()
    const server = connectTcp(open[(isInTurn ? turn++ : open.length - left) % open.length], '127.0.0.1')
    keep(server)
    let isThrough = false
    server.on('connect', () => {
      isThrough = true
      client.pipe(server).pipe(client)
      client.resume()
      through.set(client, server)
    })
    server.on('close', () => { if (isThrough) client.destroy(); else tryNext(client, left - 1) })
    client.on('close', () => { through.delete(client); server.destroy() })
  }
  const listener = createServer({ pauseOnConnect: true }, (client) => {
    keep(client)
    tryNext(client, door.ports.length)
  })
  await new Promise<void>((resolve) => { listener.listen(0, '127.0.0.1', resolve) })
  return Object.assign(door, { url: `ws://127.0.0.1:${(listener.address() as { port: number }).port}` })
}
