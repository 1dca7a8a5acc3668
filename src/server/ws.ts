/**
 * The server's only door to the package `ws`: WebSockets over Node's own HTTP server behind the interface of sockets.ts, for where
 * uWebSockets.js has no binary. Main thread. It does what uws.ts does, and after the same order of calls.
 */
import { readFileSync } from 'node:fs'
import { createServer, ServerResponse, type IncomingMessage, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Socket as Stream } from 'node:net'
import { WebSocketServer, type WebSocket } from 'ws'
import { KasagiError } from '../base/errors.js'
import {
  answerHeaders, answerHttp, closeReason, idleTimeoutSeconds, nextSocketId, originRefusal, payloadBytesMax, portBusy,
  type HttpAnswer, type Socket, type SocketHandlers, type SocketOptions, type SocketServer,
} from './sockets.js'

interface Held {
  readonly ws: WebSocket
  readonly stream: Stream
  readonly socket: Socket
  /** Tells `closed`, once. */
  finish(): void
  bytesHeard: number
  silentSeconds: number
}

interface Parts {
  readonly options: SocketOptions
  readonly handlers: SocketHandlers
  readonly upgrader: WebSocketServer
  readonly open: Set<Held>
  /** Who subscribes to what. */
  readonly topics: Map<string, Set<Socket>>
}

/** How often connections are looked at, and after how much silence they are asked for a sign of life. */
const sweepSeconds = 10
const pingAfterSeconds = idleTimeoutSeconds - sweepSeconds

/** Listens. Rejects with KasagiError `port-busy`, or `bad-option` where this address cannot be listened on. */
export async function listenSockets(options: SocketOptions, handlers: SocketHandlers): Promise<SocketServer> {
  const upgrader = new WebSocketServer({ noServer: true, clientTracking: false, perMessageDeflate: false, maxPayload: payloadBytesMax(options) })
  const parts: Parts = { options, handlers, upgrader, open: new Set(), topics: new Map() }
  const server = createHttpServer(options)
  const streams = new Set<Stream>()
  server.on('connection', (stream: Stream) => {
    streams.add(stream)
    stream.on('close', () => streams.delete(stream))
  })
  server.on('upgrade', (request, stream, head) => upgrade(parts, request, stream as Stream, head))
  const port = await listen(server, options)
  const sweeping = setInterval(sweep, sweepSeconds * 1000, parts.open).unref()
  return {
    publish: (topic, bytes) => { for (const socket of parts.topics.get(topic) ?? []) socket.send(bytes) },
    port, kind: 'ws', stopListening: () => { server.close() },
    close: () => {
      clearInterval(sweeping)
      server.close()
      for (const { ws, finish } of [...parts.open]) { ws.terminate(); finish() }
      for (const stream of streams) stream.destroy()
    },
  }
}

function createHttpServer(options: SocketOptions): Server {
  const serve = (request: IncomingMessage, response: ServerResponse): void => serveHttp(options, request, response)
  if (options.tls === undefined) return createServer(serve)
  return createTlsServer({ cert: readFileSync(options.tls.certFile), key: readFileSync(options.tls.keyFile) }, serve)
}

function listen(server: Server, { host, port }: SocketOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    // It stays: a connection that cannot be accepted, for want of descriptors, must not end those that are open.
    server.on('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'EADDRINUSE' ? portBusy(port) : new KasagiError('bad-option', `cannot listen on ${host}, port ${port}: ${error.message}`))
    })
    server.listen({ host, port, exclusive: true }, () => resolve((server.address() as AddressInfo).port))
  })
}

function upgrade(parts: Parts, request: IncomingMessage, stream: Stream, head: Buffer): void {
  const { options, handlers, upgrader, open } = parts
  stream.on('error', () => stream.destroy())
  const { upgrade: protocol, origin = '', host = '', 'sec-websocket-key': key } = request.headers
  // Node hands over every request that asks for any other protocol; such as ask for another than ours are plain HTTP.
  if (protocol?.toLowerCase() !== 'websocket' || key === undefined) return serveHttp(options, request, lastResponse(request, stream))
  if (!options.originAllowed(origin, host)) {
    options.onOriginRefused(origin)
    lastResponse(request, stream).writeHead(403, { 'Content-Length': originRefusal.length }).end(originRefusal)
    return
  }
  upgrader.handleUpgrade(request, stream, head, (ws) => {
    const held = createHeld(ws, stream, parts)
    open.add(held)
    apart(() => handlers.open(held.socket))
  })
}

/** The answer to a request that Node's HTTP server has let go of; the connection ends with it. */
function lastResponse(request: IncomingMessage, stream: Stream): ServerResponse {
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  response.assignSocket(stream)
  return response.on('finish', () => stream.destroySoon())
}

/** What a handler throws is uncaught, as with uWebSockets.js, but does not stop the library in the middle of its work. */
function apart(run: () => void): void {
  try { run() } catch (error) { queueMicrotask(() => { throw error }) }
}

function createHeld(ws: WebSocket, stream: Stream, { handlers, open, topics }: Parts): Held {
  const socket = createSocket(ws, stream, topics, () => apart(() => handlers.drain(socket)), () => held.finish())
  const held: Held = {
    ws, stream, socket, bytesHeard: 0, silentSeconds: 0,
    finish: () => {
      if (!open.delete(held)) return
      socket.isOpen = false
      for (const topic of socket.subscribed) socket.unsubscribe(topic)
      apart(() => handlers.closed(socket))
    },
  }
  ws.on('message', (data: Buffer, isBinary) => {
    if (!socket.isOpen) return
    // No Buffer: its slice() does not copy.
    apart(() => isBinary ? handlers.message(socket, new Uint8Array(data.buffer, data.byteOffset, data.length)) : handlers.text(socket))
  })
  ws.on('error', () => ws.terminate())
  ws.on('close', held.finish)
  return held
}

interface WsSocket extends Socket { isOpen: boolean; readonly subscribed: Set<string> }

function createSocket(ws: WebSocket, stream: Stream, topics: Map<string, Set<Socket>>, drained: () => void, finish: () => void): WsSocket {
  // The most bytes that were seen waiting since `drain` was last told: whoever may have seen them is told of fewer.
  let waiting = 0
  const look = (): number => {
    const bytes = ws.bufferedAmount
    waiting = Math.max(waiting, bytes)
    return bytes
  }
  const taken = (error?: Error | null): void => {
    const left = ws.bufferedAmount
    if (error != null || !socket.isOpen || left >= waiting) return
    waiting = left
    drained()
  }
  // A pong behind the last message has no callback of ours; the stream tells when it too is taken.
  stream.on('drain', () => taken())
  const socket: WsSocket = {
    id: nextSocketId(), address: stream.remoteAddress ?? '', data: undefined, isOpen: true, subscribed: new Set(),
    send(bytes) {
      if (!this.isOpen || ws.readyState !== ws.OPEN) return false
      // A copy, because the library queues by reference what the kernel does not take at once.
      ws.send(Buffer.from(bytes), taken)
      // What waits for the end of a cork does not wait for the client.
      if (stream.writableCorked === 0) look()
      return true
    },
    subscribe(topic) {
      if (!this.isOpen) return
      this.subscribed.add(topic)
      if (!topics.has(topic)) topics.set(topic, new Set())
      topics.get(topic)!.add(socket)
    },
    unsubscribe(topic) {
      if (!this.subscribed.delete(topic)) return
      const subscribers = topics.get(topic)!
      subscribers.delete(socket)
      if (subscribers.size === 0) topics.delete(topic)
    },
    cork(write) {
      if (!this.isOpen) return
      stream.cork()
      try { write() } finally { stream.uncork() }
      look()
    },
    buffered() { return this.isOpen ? look() : 0 },
    end(code, reason) {
      if (!this.isOpen) return
      ws.close(code, closeReason(reason))
      finish()
    },
  }
  return socket
}

function sweep(open: ReadonlySet<Held>): void {
  for (const held of open) {
    const { bytesRead } = held.stream
    held.silentSeconds = bytesRead === held.bytesHeard ? held.silentSeconds + sweepSeconds : 0
    held.bytesHeard = bytesRead
    if (held.silentSeconds >= idleTimeoutSeconds) held.ws.terminate()
    else if (held.silentSeconds === pingAfterSeconds) held.ws.ping()
  }
}

function serveHttp(options: SocketOptions, request: IncomingMessage, response: ServerResponse): void {
  const { method = 'GET', url = '/', headers } = request
  const at = url.indexOf('?')
  const [path, query] = at < 0 ? [url, ''] : [url.slice(0, at), url.slice(at + 1)]
  const asked = { method, path, query, header: (name: string) => String(headers[name] ?? '') }
  answerHttp(options, asked).then((answer) => writeAnswer(response, answer, method === 'HEAD')).catch(() => response.destroy())
}

function writeAnswer(response: ServerResponse, { status, type, body, headers }: HttpAnswer, isHead: boolean): void {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  response.writeHead(status, { 'Content-Type': type, ...answerHeaders, ...headers, 'Content-Length': bytes.length })
  response.end(isHead ? undefined : bytes)
}
