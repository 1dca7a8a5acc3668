import { createHmac } from 'node:crypto'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { nextInt, seedPrng } from '../../src/base/prng.js'
import { createTokens } from '../../src/server/tokens.js'

const claims = { roomId: 'arena:main', sessionId: 's-1', userId: 'ann', generation: 3 }

describe('tokens', () => {
  afterEach(() => { vi.useRealTimers() })

  it('tokens: what was issued is read, also with the other of two secrets; with neither it is nothing', () => {
    const token = createTokens(['new', 'old']).issue(claims)
    expect(createTokens(['new']).read(token)).toEqual(claims)
    expect(createTokens(['newest', 'new']).read(token)).toEqual(claims)
    expect(createTokens(['old']).read(token)).toBeUndefined()
  })

  it('tokens: no single changed byte, and no text that is none, is read, and nothing throws', () => {
    const tokens = createTokens(['secret']), token = tokens.issue(claims)
    const random = new Uint32Array(4), seed = Number(process.env.SEED ?? Date.now() >>> 0)
    seedPrng(random, seed)
    for (let n = 0; n < 2000; n++) {
      const at = nextInt(random, token.length), other = String.fromCharCode(33 + nextInt(random, 90))
      const changed = token.slice(0, at) + other + token.slice(at + 1)
      if (changed !== token) expect(tokens.read(changed), `SEED=${seed} ${changed}`).toBeUndefined()
    }
    for (const text of ['', '.', '..', 'a.b', 'a.b.c', `${token}.x`, 'e30.e30', '\u0000.\u0000', token.split('.')[0]]) expect(tokens.read(text)).toBeUndefined()
  })

  it('tokens: an unsigned one, in the manner of alg none, is refused', () => {
    const body = Buffer.from(JSON.stringify([1, 'arena:main', 's-1', 'ann', 99, 4e9])).toString('base64url')
    for (const signature of ['', 'none', Buffer.alloc(32).toString('base64url'), createHmac('sha256', '').update(body).digest('base64url')]) {
      expect(createTokens(['secret']).read(`${body}.${signature}`)).toBeUndefined()
    }
  })

  it('tokens: one that has expired is refused', () => {
    vi.useFakeTimers({ now: 1_800_000_000_000 })
    const tokens = createTokens(['secret']), token = tokens.issue(claims)
    vi.setSystemTime(1_800_000_000_000 + 29 * 86_400_000)
    expect(tokens.read(token)).toEqual(claims)
    vi.setSystemTime(1_800_000_000_000 + 31 * 86_400_000)
    expect(tokens.read(token)).toBeUndefined()
  })
})
