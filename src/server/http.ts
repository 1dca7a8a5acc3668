/** The engine's own pages: /healthz (the process runs), /readyz (rooms may be joined), /metrics; all else is the program's. Main thread. */
import type { HttpAnswer, HttpRequest } from './sockets.js'

export interface HttpParts {
  ready(): boolean
  metrics(): Promise<string>
  other(request: HttpRequest): HttpAnswer | undefined
}

const plain = (status: number, body: string): HttpAnswer => ({ status, type: 'text/plain; charset=utf-8', body: `${body}\n` })

export const createHttp = (parts: HttpParts) => async (request: HttpRequest): Promise<HttpAnswer> => {
  if (request.method !== 'GET' && request.method !== 'HEAD') return plain(405, 'only GET')
  switch (request.path) {
    case '/healthz': return plain(200, 'ok')
    case '/readyz': return parts.ready() ? plain(200, 'ready') : plain(503, 'not ready')
    case '/metrics': return { status: 200, type: 'text/plain; version=0.0.4; charset=utf-8', body: await parts.metrics() }
    default: return parts.other(request) ?? plain(404, 'no such page')
  }
}
