/** The only door to uWebSockets.js: its sockets and HTTP behind the interface of sockets.ts. Main thread. */
import { STATUS_CODES } from 'node:http'
import type { HttpRequest as UwsRequest, HttpResponse as UwsResponse, TemplatedApp, WebSocket } from 'uWebSockets.js'
import { KasagiError } from '../base/errors.js'
import {
  answerHeaders, answerHttp, closeReason, idleTimeoutSeconds, nextSocketId, originRefusal, payloadBytesMax, portBusy,
  type HttpAnswer, type Socket, type SocketHandlers, type SocketOptions, type SocketServer,
} from './sockets.js'

type Uws = typeof import('uWebSockets.js')

// The library's types declare these as const enums or not at all; they are part of its documented API.
const exclusive = 1 // LIBUS_LISTEN_EXCLUSIVE_PORT
const noCompression = 0 // DISABLED
const dropped = 2
type ListenOnHost = (this: TemplatedApp, host: string, port: number, options: number, done: (listening: unknown) => void) => void
interface Held { socket: UwsSocket }

/** Listens. Rejects with KasagiError `port-busy`, or `no-socket-library` where no binary fits this Node. */
export async function listenSockets(options: SocketOptions, handlers: SocketHandlers): Promise<SocketServer> {
  const uws = await loadLibrary()
  const app = options.tls === undefined ? uws.App() : uws.SSLApp({ cert_file_name: options.tls.certFile, key_file_name: options.tls.keyFile })
  serveSockets(app, options, handlers)
  app.any('/*', (response, request) => serveHttp(options, response, request))
  const listening = await new Promise<unknown>((resolve) => {
    ;(app.listen as unknown as ListenOnHost).call(app, options.host, options.port, exclusive, resolve)
  })
  if (listening === false) throw portBusy(options.port)
  const token = listening as Parameters<Uws['us_listen_socket_close']>[0]
  let closed = false
  const stopListening = (): void => { if (!closed) uws.us_listen_socket_close(token); closed = true }
  return {
    publish: (topic, bytes) => { if (!closed) app.publish(topic, bytes as Uint8Array<ArrayBuffer>, true) },
    port: uws.us_socket_local_port(token as Parameters<Uws['us_socket_local_port']>[0]), kind: 'uWebSockets.js', stopListening,
    close: () => { closed = true; app.close() },
  }
}

async function loadLibrary(): Promise<Uws> {
  try {
    return await import('uWebSockets.js')
  } catch (error) {
    // The package's own words come first, and what the system said of the binary behind them.
    const lines = String(error).split('\n')
    const reason = lines.findLast((line) => /^(\w*Error): /.test(line)) ?? lines[0]
    const { platform, arch, versions } = process
    throw new KasagiError('no-socket-library', `uWebSockets.js has no binary for Node ${versions.node} on ${platform} ${arch} (${reason}); Node 20 or 22 on glibc Linux has one`)
  }
}

const decoder = new TextDecoder()

interface UwsSocket extends Socket { isOpen: boolean }

function createSocket(ws: WebSocket<Held>): UwsSocket {
  const address = decoder.decode(ws.getRemoteAddressAsText())
  return {
    id: nextSocketId(), address, data: undefined, isOpen: true,
    send(bytes) {
      if (!this.isOpen) return false
      return ws.send(bytes as Uint8Array<ArrayBuffer>, true) !== dropped
    },
    subscribe(topic) { if (this.isOpen) ws.subscribe(topic) },
    unsubscribe(topic) { if (this.isOpen) ws.unsubscribe(topic) },
    cork(write) {
      if (this.isOpen) ws.cork(write)
    },
    buffered() { return this.isOpen ? ws.getBufferedAmount() : 0 },
    end(code, reason) { if (this.isOpen) ws.end(code, closeReason(reason)) },
  }
}

function serveSockets(app: TemplatedApp, options: SocketOptions, handlers: SocketHandlers): void {
  app.ws<Held>('/*', {
    compression: noCompression, maxBackpressure: 0, idleTimeout: idleTimeoutSeconds, sendPingsAutomatically: true,
    maxPayloadLength: payloadBytesMax(options),
    upgrade: (response, request, context) => {
      const origin = request.getHeader('origin')
      if (!options.originAllowed(origin, request.getHeader('host'))) {
        options.onOriginRefused(origin)
        response.writeStatus('403 Forbidden').end(originRefusal)
        return
      }
      response.upgrade<Held>(
        { socket: undefined as unknown as UwsSocket }, request.getHeader('sec-websocket-key'), request.getHeader('sec-websocket-protocol'),
        request.getHeader('sec-websocket-extensions'), context,
      )
    },
    open: (ws) => {
      const held = ws.getUserData()
      held.socket = createSocket(ws)
      handlers.open(held.socket)
    },
    message: (ws, message, isBinary) => {
      const { socket } = ws.getUserData()
      if (isBinary) handlers.message(socket, new Uint8Array(message))
      else handlers.text(socket)
    },
    drain: (ws) => handlers.drain(ws.getUserData().socket),
    close: (ws) => {
      const { socket } = ws.getUserData()
      Object.assign(socket, { isOpen: false })
      handlers.closed(socket)
    },
  })
}

function serveHttp(options: SocketOptions, response: UwsResponse, request: UwsRequest): void {
  // The request is gone once this returns: headers that an answer may want are read now.
  const headers: Record<string, string> = {}
  request.forEach((name, value) => { headers[name] = value })
  const asked = { method: request.getMethod().toUpperCase(), path: request.getUrl(), query: request.getQuery() ?? '', header: (name: string) => headers[name] ?? '' }
  let aborted = false
  response.onAborted(() => { aborted = true })
  const answer = (given: HttpAnswer): void => { if (!aborted) response.cork(() => writeAnswer(response, given, asked.method === 'HEAD')) }
  void answerHttp(options, asked).then(answer)
}

function writeAnswer(response: UwsResponse, { status, type, body, headers }: HttpAnswer, isHead: boolean): void {
  response.writeStatus(`${status} ${STATUS_CODES[status] ?? ''}`)
  for (const [name, value] of Object.entries({ 'Content-Type': type, ...answerHeaders, ...headers })) response.writeHeader(name, value)
  if (isHead) response.endWithoutBody(typeof body === 'string' ? Buffer.byteLength(body) : body.length)
  else response.end(body as string | Uint8Array<ArrayBuffer>)
}
