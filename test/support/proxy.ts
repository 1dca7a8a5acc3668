/** A TCP proxy of the test's own: cuts connections, holds bytes back, slows them down. Both ways are watched by bytes, not by messages. */
import { connect as connectTcp, createServer, type Socket } from 'node:net'

export interface Proxy {
  readonly url: string
  /** Connections that are open through it. */
  readonly open: () => number
  /** Ends every connection with a reset, as a network that is gone. */
  cut(): void
  /** True: what servers say is swallowed, as if it got lost. */
  deaf: boolean
  /** Bytes a second from server to client; Infinity: as fast as they come. */
  bytesPerSecond: number
  /** No new connections. */
  closed: boolean
  /** Called with all that goes to clients. */
  onBytes: ((bytes: Uint8Array) => void) | undefined
  stop(): Promise<void>
}

export async function startProxy(target: string): Promise<Proxy> {
  const { hostname, port } = new URL(target)
  const pairs = new Set<{ client: Socket; server: Socket }>()
  const proxy: Proxy = {
    url: '', open: () => pairs.size, deaf: false, bytesPerSecond: Infinity, closed: false, onBytes: undefined,
    cut: () => { for (const { client, server } of pairs) { client.resetAndDestroy(); server.resetAndDestroy() } },
    stop: () => new Promise((resolve) => { proxy.cut(); listener.close(() => resolve()) }),
  }
  const listener = createServer((client) => {
    if (proxy.closed) return void client.resetAndDestroy()
    const server = connectTcp(Number(port), hostname)
    const pair = { client, server }
    pairs.add(pair)
    const end = (): void => { pairs.delete(pair); client.destroy(); server.destroy() }
    for (const socket of [client, server]) socket.setNoDelay(true).on('error', end).on('close', end)
    client.on('data', (bytes: Uint8Array) => { server.write(bytes) })
    server.on('data', (bytes: Uint8Array) => pass(proxy, bytes, server, client))
  })
  await new Promise<void>((resolve) => { listener.listen(0, '127.0.0.1', resolve) })
  return Object.assign(proxy, { url: `ws://127.0.0.1:${(listener.address() as { port: number }).port}` })
}

function pass(proxy: Proxy, bytes: Uint8Array, server: Socket, client: Socket): void {
  proxy.onBytes?.(bytes)
  if (proxy.deaf) return
  client.write(bytes)
  if (proxy.bytesPerSecond === Infinity) return
  server.pause()
  setTimeout(() => server.resume(), bytes.length / proxy.bytesPerSecond * 1000)
}
