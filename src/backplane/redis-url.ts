/** The address of a Redis: what is written in settings, and what may be shown. Imports nothing that connects. */
import type { ConnectionOptions } from 'node:tls'

export interface RedisAddress {
  readonly host: string
  readonly port: number
  readonly username: string | undefined
  readonly password: string | undefined
  readonly tls: ConnectionOptions | undefined
}

/**
 * `redis://user:password@host:port` or `rediss://…`; undefined for what is none. Databases other than 0 are refused: they share their channels, so
 * instances of different databases would hear each other.
 */
export function parseRedisUrl(text: string): RedisAddress | undefined {
  try {
    const { protocol, hostname, port, username, password, pathname, search, hash } = new URL(text)
    if (protocol !== 'redis:' && protocol !== 'rediss:' || hostname === '') return undefined
    if (!['', '/', '/0'].includes(pathname) || search !== '' || hash !== '') return undefined
    const host = hostname.replace(/^\[(.*)\]$/, '$1')
    return {
      host, port: port === '' ? 6379 : Number(port), tls: protocol === 'rediss:' ? { servername: /^[\d.:]+$/.test(host) ? undefined : host } : undefined,
      username: username === '' ? undefined : decodeURIComponent(username), password: password === '' ? undefined : decodeURIComponent(password),
    }
  } catch {
    return undefined
  }
}

/** For people: without user and password. */
export const showAddress = ({ host, port, tls }: RedisAddress): string =>
  `${tls === undefined ? 'redis' : 'rediss'}://${host.includes(':') ? `[${host}]` : host}:${port}`
