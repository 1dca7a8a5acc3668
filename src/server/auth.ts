/**
 * Who a client is: a JSON Web Token (RFC 7519) that its `connect` brings. Main thread; the only door to `jose`. Checked before any room is
 * looked at, and again every second for as long as the client stays: one that has expired or was revoked ends the stay.
 *
 * Two kinds of keys: a shared secret (HS256 … HS512), and a file with public keys (a JWK Set, RFC 7517). A token is checked with the kind that its
 * `alg` belongs to, so that a public key is never taken for a secret; `none` belongs to neither.
 */
import { readFileSync, statSync } from 'node:fs'
import { createLocalJWKSet, decodeProtectedHeader, errors, jwtVerify, type JSONWebKeySet, type JWTPayload, type JWTVerifyResult } from 'jose'
import { wallMs } from '../base/clock.js'
import { KasagiError, type ErrorCode } from '../base/errors.js'
import { userBytesMax } from '../base/limits.js'

/** Who somebody is, as far as the server knows. */
export interface Identity {
  /** The token's `sub`. */
  readonly id: string
  /** What room authors see as `session.user`: the claims, and `id`. At most userBytesMax bytes. */
  readonly json: string
  readonly expiresMs: number
  readonly tokenId: string | undefined
  readonly keyId: string | undefined
}

export interface AuthOptions {
  readonly secret: string | undefined
  /** A file with a JWK Set. */
  readonly keysFile: string | undefined
  /** A file with a `jti` or `sub` a line. */
  readonly revokedFile: string | undefined
  /** A file has changed, and cannot be used: what was read before stays. */
  onBadFile(text: string): void
}

export interface Auth {
  /** Rejects with KasagiError `auth-required`, `auth-invalid`, `auth-expired` or `auth-revoked`. */
  identify(token: string | undefined): Promise<Identity>
  /** What has come over an identity since: expired, revoked, or undefined. */
  lost(identity: Identity): ErrorCode | undefined
  /** Reads the files again if they have changed. */
  refresh(): void
}

const secretAlgorithms = ['HS256', 'HS384', 'HS512']
const keyAlgorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']
/** Clocks of issuer and server may differ by so much. */
const toleranceSeconds = 5

interface Inside { keys: ReturnType<typeof createLocalJWKSet> | undefined; keyIds: ReadonlySet<string> | undefined; revoked: ReadonlySet<string> }

/** Undefined if no key is given: then everybody is a guest. Throws KasagiError `bad-option` for a file that cannot be used. */
export function createAuth(options: AuthOptions): Auth | undefined {
  const { secret, keysFile, revokedFile } = options
  if (secret === undefined && keysFile === undefined) return undefined
  const inside: Inside = { keys: undefined, keyIds: undefined, revoked: new Set() }
  const files = [
    watched(keysFile, (text) => { Object.assign(inside, readKeys(text)) }),
    watched(revokedFile, (text) => { inside.revoked = new Set(text.split('\n').map((line) => line.trim()).filter(Boolean)) }),
  ]
  const secretBytes = secret === undefined ? undefined : new TextEncoder().encode(secret)
  const lost = ({ id, expiresMs, tokenId, keyId }: Identity): ErrorCode | undefined => {
    if (inside.revoked.has(id) || (tokenId !== undefined && inside.revoked.has(tokenId))) return 'auth-revoked'
    if (keyId !== undefined && inside.keyIds?.has(keyId) === false) return 'auth-revoked'
    return wallMs() > expiresMs + toleranceSeconds * 1000 ? 'auth-expired' : undefined
  }
  return {
    lost,
    identify: async (token) => {
      if (token === undefined || token === '') throw new KasagiError('auth-required')
      const identity = identityOf(await check(inside, secretBytes, token))
      const code = lost(identity)
      if (code !== undefined) throw new KasagiError(code)
      return identity
    },
    refresh: () => {
      for (const refresh of files) {
        try { refresh() } catch (error) { options.onBadFile((error as Error).message) }
      }
    },
  }
}

/** Reads a file now, and at each call again if it has changed. */
function watched(file: string | undefined, take: (text: string) => void): () => void {
  if (file === undefined) return () => {}
  let seen = -1
  const refresh = (): void => {
    try {
      const { mtimeMs } = statSync(file)
      if (mtimeMs === seen) return
      seen = mtimeMs
      take(readFileSync(file, 'utf8'))
    } catch (error) {
      throw new KasagiError('bad-option', `${file}: ${(error as Error).message.split('\n')[0]}`)
    }
  }
  refresh()
  return refresh
}

function readKeys(text: string): Pick<Inside, 'keys' | 'keyIds'> {
  const set = JSON.parse(text) as JSONWebKeySet
  if (!Array.isArray(set.keys) || set.keys.some(({ kty }) => kty === 'oct')) throw new Error('is no JWK Set of public keys')
  const ids = set.keys.map(({ kid }) => kid)
  return { keys: createLocalJWKSet(set), keyIds: new Set(ids.filter((kid) => kid !== undefined)) }
}

async function check({ keys }: Inside, secret: Uint8Array | undefined, token: string): Promise<JWTVerifyResult> {
  const options = { clockTolerance: toleranceSeconds, requiredClaims: ['sub', 'exp'] }
  try {
    const { alg = '' } = decodeProtectedHeader(token)
    if (secret !== undefined && secretAlgorithms.includes(alg)) return await jwtVerify(token, secret, { ...options, algorithms: secretAlgorithms })
    if (keys !== undefined && keyAlgorithms.includes(alg)) return await jwtVerify(token, keys, { ...options, algorithms: keyAlgorithms })
  } catch (error) {
    throw new KasagiError(error instanceof errors.JWTExpired ? 'auth-expired' : 'auth-invalid', error instanceof Error ? error.message : undefined)
  }
  throw new KasagiError('auth-invalid', 'its alg belongs to no key of this server')
}

function identityOf({ payload, protectedHeader }: JWTVerifyResult): Identity {
  const { sub, exp, jti } = payload as JWTPayload & { readonly sub: string; readonly exp: number }
  const json = JSON.stringify({ ...payload, id: sub })
  if (typeof sub !== 'string' || sub === '' || Buffer.byteLength(json) > userBytesMax) throw new KasagiError('auth-invalid', `its claims are more than ${userBytesMax} bytes, or name nobody`)
  return { id: sub, json, expiresMs: exp * 1000, tokenId: jti, keyId: protectedHeader.kid }
}
