/**
 * The interface to WebSockets and HTTP, so that nothing but one file knows the library behind it (uws.ts). Main thread; every handler runs
 * there, one at a time.
 */

/** One connection. After `closed` every call is harmless. */
export interface Socket {
  /** Unique in this process, 1 to 2^32 - 1: what workers call the connection. */
  readonly id: number
  readonly address: string
  /** Owned by session.ts. */
  data: unknown
  /** Sends one binary message; `bytes` may be a view of shared memory and is copied before this returns. False once closed. */
  send(bytes: Uint8Array): boolean
  /** Sends inside `write` leave together. */
  cork(write: () => void): void
  /** Bytes that the kernel has not yet taken. */
  buffered(): number
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

export interface SocketOptions {
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  /** Larger messages are told to `message` up to four times this; beyond, the connection is cut. */
  readonly messageBytesMax: number
  originAllowed(origin: string, host: string): boolean
  onOriginRefused(origin: string): void
  http(request: HttpRequest): HttpAnswer | Promise<HttpAnswer>
}

export interface SocketServer {
  readonly port: number
  /** The library's name, for people. */
  readonly kind: string
  /** Takes no more connections; those that are open go on. */
  stopListening(): void
  /** Ends everything. */
  close(): void
}
