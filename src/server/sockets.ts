/**
 * The interface to WebSockets and HTTP, and what the two libraries behind it (uws.ts, ws.ts; listen.ts picks) do alike, so that nothing else
 * knows them. Main thread; every handler runs there, one at a time. Both are held to one spec: test/suites/sockets.ts.
 */
import { errorTexts } from '../base/error-texts.js'
import { KasagiError } from '../base/errors.js'

/** One connection. After `closed` every call is harmless. */
export interface Socket {
  /** Unique in this process, 1 to 2^32 - 1: what workers call the connection. */
  readonly id: number
  readonly address: string
  /** Owned by session.ts. */
  data: unknown
  /** Sends one binary message; `bytes` may be a view of shared memory and is copied before this returns. False once closed. */
  send(bytes: Uint8Array): boolean
  /** Gets what is published to `topic` from now on, in order with what is sent to it. */
  subscribe(topic: string): void
  /** What was published before still comes. */
  unsubscribe(topic: string): void
  /** Sends inside `write` leave together. */
  cork(write: () => void): void
  /** Bytes that the kernel has not yet taken. */
  buffered(): number
  /** Closes behind what was sent. `closed` is told before this returns; nothing that comes later is. */
  end(closeCode: number, reason: string): void
}

export interface SocketHandlers {
  open(socket: Socket): void
  /** `bytes` are valid during the call only. */
  message(socket: Socket, bytes: Uint8Array): void
  text(socket: Socket): void
  /** What was queued has been taken, in part or whole. */
  drain(socket: Socket): void
  closed(socket: Socket): void
}

export interface HttpRequest { readonly method: string; readonly path: string; readonly query: string; header(name: string): string }
export interface HttpAnswer { readonly status: number; readonly type: string; readonly body: string | Uint8Array; readonly headers?: Readonly<Record<string, string>> }

/** Paths of a certificate and its key, both PEM. */
export interface TlsFiles { readonly certFile: string; readonly keyFile: string }

export interface SocketOptions {
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  /** Larger messages are told to `message` up to four times this; beyond, the connection is cut. */
  readonly messageBytesMax: number
  readonly tls?: TlsFiles
  originAllowed(origin: string, host: string): boolean
  onOriginRefused(origin: string): void
  http(request: HttpRequest): HttpAnswer | Promise<HttpAnswer>
}

export interface SocketServer {
  readonly port: number
  /** The library's name, for people. */
  readonly kind: string
  /** Sends one binary message to all who subscribe to `topic`; `bytes` as for `send`. It leaves at the end of this turn of the event loop at the latest. */
  publish(topic: string, bytes: Uint8Array): void
  /** Takes no more connections; those that are open go on. */
  stopListening(): void
  /** Ends everything. */
  close(): void
}

/** What a message may exceed the limit by and still get a close code rather than a cut. */
const oversizeFactor = 4
export const payloadBytesMax = ({ messageBytesMax }: SocketOptions): number => messageBytesMax * oversizeFactor + 1024

/** A connection that says nothing for so long, not even a pong, is cut; it is pinged before. */
export const idleTimeoutSeconds = 60

export const originRefusal = `origin-refused: ${errorTexts['origin-refused']}`
export const portBusy = (port: number): KasagiError => new KasagiError('port-busy', `port ${port} is taken by another program`)

/** Go with every answer. */
export const answerHeaders: Readonly<Record<string, string>> = { 'X-Content-Type-Options': 'nosniff', 'Cache-Control': 'no-cache' }

const answerFailed: HttpAnswer = { status: 500, type: 'text/plain', body: 'the server could not answer\n' }

/** The program's answer; one that throws is a 500. */
export const answerHttp = (options: SocketOptions, request: HttpRequest): Promise<HttpAnswer> =>
  Promise.resolve().then(() => options.http(request)).catch(() => answerFailed)

let lastId = 0
export const nextSocketId = (): number => (lastId = lastId % 0xffff_ffff + 1)

/** A close frame holds 123 bytes of reason; more are cut off, at a whole character. */
const reasonBytesMax = 123
export const closeReason = (reason: string): string =>
  new TextDecoder().decode(new TextEncoder().encode(reason).subarray(0, reasonBytesMax), { stream: true })
