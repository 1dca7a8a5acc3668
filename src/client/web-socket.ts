/** The only door to WebSockets: the platform's own, or the package `ws` on a Node that has none. */

/** What the SDK needs of a connection. */
export interface Transport {
  send(bytes: Uint8Array): void
  close(code?: number): void
}

export interface TransportHandlers {
  open(): void
  message(bytes: ArrayBuffer): void
  closed(code: number): void
}

export type OpenTransport = (url: string, handlers: TransportHandlers) => Promise<Transport>

export const openWebSocket: OpenTransport = async (url, handlers) => {
  const Socket = globalThis.WebSocket ?? (await import('ws')).WebSocket as unknown as typeof WebSocket
  // A page's own origin is an address too.
  const socket = new Socket(url.replace(/^http/, 'ws'))
  socket.binaryType = 'arraybuffer'
  socket.onopen = () => handlers.open()
  socket.onmessage = ({ data }: MessageEvent) => { if (data instanceof ArrayBuffer) handlers.message(data) }
  socket.onclose = ({ code }: CloseEvent) => handlers.closed(code)
  socket.onerror = () => {}
  return {
    send: (bytes) => { if (socket.readyState === 1) socket.send(bytes as Uint8Array<ArrayBuffer>) },
    close: (code) => socket.close(code ?? 1000),
  }
}
