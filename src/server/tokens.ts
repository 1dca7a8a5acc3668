/**
 * Resume tokens: what proves that a connection may go on with a session. Main thread. Signed by HMAC-SHA-256, so that any process with the
 * same secret can check them without asking anybody; which generation is still good only the room knows. A session's id is public, its token is not.
 *
 *   base64url(JSON [version, room id, session id, user id, generation, expiry in seconds since 1970]) . base64url(signature of that text)
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { wallMs } from '../base/clock.js'
import { resumeTokenSeconds } from '../base/limits.js'

export interface ResumeClaims { readonly roomId: string; readonly sessionId: string; readonly userId: string; readonly generation: number }

export interface Tokens {
  issue(claims: ResumeClaims): string
  /** The claims of a token that was signed with one of the secrets and has not expired; undefined for anything else. Never throws. */
  read(token: string): ResumeClaims | undefined
}

const version = 1

/** `secrets`: the first signs; the others are still accepted, so that one can be changed for another. */
export function createTokens(secrets: readonly string[]): Tokens {
  const sign = (secret: string, body: string): Uint8Array => new Uint8Array(createHmac('sha256', secret).update(body).digest())
  return {
    issue: ({ roomId, sessionId, userId, generation }) => {
      const expires = Math.floor(wallMs() / 1000) + resumeTokenSeconds
      const body = Buffer.from(JSON.stringify([version, roomId, sessionId, userId, generation, expires])).toString('base64url')
      return `${body}.${Buffer.from(sign(secrets[0], body)).toString('base64url')}`
    },
    read: (token) => {
      const [body, signature, ...rest] = token.split('.')
      if (signature === undefined || rest.length > 0) return undefined
      const given = new Uint8Array(Buffer.from(signature, 'base64url'))
      // Decoders accept several texts for the same bytes; a token has one.
      if (Buffer.from(given).toString('base64url') !== signature) return undefined
      const isSigned = secrets.some((secret) => { const own = sign(secret, body); return own.length === given.length && timingSafeEqual(own, given) })
      return isSigned ? claimsOf(body) : undefined
    },
  }
}

/** Only ever called on what one of our secrets has signed. */
function claimsOf(body: string): ResumeClaims | undefined {
  const [of, roomId, sessionId, userId, generation, expires] = JSON.parse(Buffer.from(body, 'base64url').toString()) as [number, string, string, string, number, number]
  return of === version && expires * 1000 > wallMs() ? { roomId, sessionId, userId, generation } : undefined
}
