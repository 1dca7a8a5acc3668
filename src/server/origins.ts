/**
 * Which web pages may connect. Pure. Browsers send Origin and cannot be told otherwise by a page; scripts send none and are let in: an
 * Origin check protects users' browsers, not the server.
 */

/** Rule for an allow-list: empty lets in the server's own host and this machine; `*` everybody; else exactly what is listed. */
export function originRule(allowed: readonly string[]): (origin: string, host: string) => boolean {
  const listed = new Set(allowed.map((origin) => origin.toLowerCase().replace(/\/$/, '')))
  return (origin, host) => {
    if (origin === '' || listed.has('*')) return true
    if (listed.size > 0) return listed.has(origin.toLowerCase())
    const from = URL.canParse(origin) ? new URL(origin) : undefined
    // Browsers write an Origin as `origin` does. A user, a path or an address in other words is none, and of no page that is ours.
    if (from === undefined || !/^https?:$/.test(from.protocol) || from.origin !== origin.toLowerCase()) return false
    return from.host === host.toLowerCase() || isThisMachine(from.hostname)
  }
}

const isThisMachine = (name: string): boolean => name === 'localhost' || name === '127.0.0.1' || name === '[::1]'
