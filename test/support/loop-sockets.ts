/** Sockets without a network, in the place of src/server/listen.ts: what a test says goes straight to the handlers that the engine listens with. See loopback.ts. */
import { nextSocketId, type Socket, type SocketHandlers, type SocketOptions, type SocketServer } from '../../src/server/sockets.js'

export interface LoopSocket extends Socket {
  isOpen: boolean
  closeCode: number
  /** What the server has said, newest last; kept for as long as somebody wants it. */
  readonly heard: Uint8Array[]
  /** Hands over one message. The bytes are gone when this returns, as the library's are. */
  say(message: Uint8Array): void
  /** The connection is lost. */
  cut(): void
}

interface Listening { readonly options: SocketOptions; readonly handlers: SocketHandlers }
let newest: Listening | undefined

/** What the engine that was started last listens with. */
export const listening = (): Listening => newest!

export async function listenSockets(options: SocketOptions, handlers: SocketHandlers): Promise<SocketServer> {
  newest = { options, handlers }
  const topics = new Map<string, Set<Socket>>()
  topicsOf.set(handlers, topics)
  const publish = (topic: string, bytes: Uint8Array): void => { for (const socket of topics.get(topic) ?? []) socket.send(bytes) }
  return { port: 0, kind: 'loopback', publish, stopListening: () => {}, close: () => {} }
}

/** Who subscribes to what, of an engine. */
const topicsOf = new WeakMap<SocketHandlers, Map<string, Set<Socket>>>()

/** `onMessage`: hears the server instead of `heard`. */
export function connectSocket(handlers: SocketHandlers, onMessage?: (bytes: Uint8Array) => void, onClosed?: (code: number) => void): LoopSocket {
  const socket: LoopSocket = {
    id: nextSocketId(), address: '127.0.0.1', data: undefined, isOpen: true, closeCode: 0, heard: [],
    send: (bytes) => {
      if (!socket.isOpen) return false
      if (onMessage === undefined) socket.heard.push(bytes.slice())
      else onMessage(bytes.slice())
      return true
    },
    subscribe: (topic) => {
      const topics = topicsOf.get(handlers)!
      topics.set(topic, (topics.get(topic) ?? new Set()).add(socket))
    },
    unsubscribe: (topic) => { topicsOf.get(handlers)!.get(topic)?.delete(socket) },
    cork: (write) => { if (socket.isOpen) write() },
    buffered: () => 0,
    end: (code) => close(code),
    say: (message) => {
      if (!socket.isOpen) return
      // In the middle of other bytes, and at an odd place: messages of libraries lie so.
      const bytes = new Uint8Array(message.length + 16).fill(0xee).subarray(3, 3 + message.length)
      bytes.set(message)
      try { handlers.message(socket, bytes) } finally { bytes.fill(0xff) }
    },
    cut: () => close(1006),
  }
  const close = (code: number): void => {
    if (!socket.isOpen) return
    socket.isOpen = false
    socket.closeCode = code
    handlers.closed(socket)
    onClosed?.(code)
  }
  handlers.open(socket)
  return socket
}
