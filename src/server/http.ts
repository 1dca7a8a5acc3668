/** The engine's own pages: /healthz (the process runs), /readyz (rooms may be joined), /metrics; all else is the program's. Main thread. */
import { KasagiError } from '../base/errors.js'
import type { HttpAnswer, HttpRequest } from './sockets.js'

export interface HttpParts {
  /** Why rooms may not be joined; undefined: they may. */
  notReady(): string | undefined
  metrics(): Promise<string>
  /** Open rooms of a type as JSON; undefined: no such type. Rejects with a KasagiError if the caller may not know. */
  rooms(type: string, match: Uint8Array, token: string | undefined): Promise<string | undefined>
  originAllowed(origin: string, host: string): boolean
  other(request: HttpRequest): HttpAnswer | undefined
}

const plain = (status: number, body: string): HttpAnswer => ({ status, type: 'text/plain; charset=utf-8', body: `${body}\n` })

const readiness = (why: string | undefined): HttpAnswer => why === undefined ? plain(200, 'ready') : plain(503, `not ready: ${why}`)

const listPath = '/_kasagi/rooms/'

export const createHttp = (parts: HttpParts) => async (request: HttpRequest): Promise<HttpAnswer> => {
  if (request.path.startsWith(listPath)) return listRooms(parts, request)
  if (request.method !== 'GET' && request.method !== 'HEAD') return plain(405, 'only GET')
  switch (request.path) {
    case '/healthz': return plain(200, 'ok')
    case '/readyz': return readiness(parts.notReady())
    case '/metrics': return { status: 200, type: 'text/plain; version=0.0.4; charset=utf-8', body: await parts.metrics() }
    default: return parts.other(request) ?? plain(404, 'no such page')
  }
}

/** What `list` of the SDK asks, from any page that may connect. */
async function listRooms(parts: HttpParts, request: HttpRequest): Promise<HttpAnswer> {
  const origin = request.header('origin')
  if (!parts.originAllowed(origin, request.header('host'))) return plain(403, 'origin-refused')
  const headers: Record<string, string> = origin === '' ? {} : { 'Access-Control-Allow-Origin': origin, 'Access-Control-Allow-Headers': 'authorization', Vary: 'Origin' }
  if (request.method === 'OPTIONS') return { ...plain(200, ''), headers }
  if (request.method !== 'GET') return plain(405, 'only GET')
  const [, token] = /^Bearer (.+)$/.exec(request.header('authorization')) ?? []
  const match = new Uint8Array(Buffer.from(new URLSearchParams(request.query).get('match') ?? '', 'base64url'))
  try {
    const body = await parts.rooms(decodeURIComponent(request.path.slice(listPath.length)), match, token)
    return body === undefined ? { ...plain(404, 'unknown-type'), headers } : { status: 200, type: 'application/json', body, headers }
  } catch (error) {
    return { ...plain(403, error instanceof KasagiError ? error.code : 'bad-message'), headers }
  }
}
