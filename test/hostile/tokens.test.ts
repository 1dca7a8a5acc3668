/** Resume tokens that are forged, expired, foreign or used up, and those of whom the server does not know: refused, and no room has noticed. */
import { createHmac } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { WebSocket } from 'ws'
import { connect, type ClientRoom } from 'kasagi-engine/client'
import { defineSchema, u32 } from 'kasagi-engine/schema'
import { createAuth } from '../../src/server/auth.js'
import { createTokens, type ResumeClaims } from '../../src/server/tokens.js'
import { writeJoin, writePing, writeReady, type JoinFields } from '../../src/wire/client-messages.js'
import { readServerMessage, type WelcomeMessage } from '../../src/wire/server-messages.js'
import { startTestEngine, until, type TestEngine } from '../support/engine.js'
import { changes, mutate } from './mutations.js'

const club = defineSchema('club', { globals: { joins: u32, drops: u32, resumes: u32, leaves: u32 }, inputs: { look: {}, close: {} } })
const schemaOf = (type: string): string => `
import { defineSchema, u32 } from 'kasagi-engine/schema'
export const ${type} = defineSchema('${type}', { globals: { joins: u32, drops: u32, resumes: u32, leaves: u32 }, inputs: { look: {}, close: {} } })
`
const roomOf = (type: string, settings = ''): string => `
import { defineRoom } from 'kasagi-engine'
import { ${type} } from '../shared/${type}.js'
export default defineRoom(${type}, { tickHz: 0, ${settings}
  onJoin(room) { room.globals.joins++ }, onDrop(room) { room.globals.drops++ }, onResume(room) { room.globals.resumes++ }, onLeave(room) { room.globals.leaves++ },
  onInput: { look() {}, close(room) { room.close() } } })
`
const files = { 'shared/club.ts': schemaOf('club'), 'rooms/club.ts': roomOf('club'), 'shared/hall.ts': schemaOf('hall'), 'rooms/hall.ts': roomOf('hall'), 'shared/lobby.ts': schemaOf('lobby'), 'rooms/lobby.ts': roomOf('lobby', "opens: 'server',") }
const secret = 'the secret that signs resume tokens', older = 'the secret before it and still good'
const none = new Uint8Array(0)

describe('hostile: tokens', () => {
  let server: TestEngine, witness: ClientRoom<typeof club>
  afterEach(() => server.stop())
  const start = async (flags: string[] = [], token?: string): Promise<void> => {
    server = await startTestEngine(files, flags, { KASAGI_SECRET: `${secret},${older}` })
    witness = await connect(server.url, token === undefined ? {} : { token }).join(club, { name: 'main' })
  }

  /** Says a Join; gives the Welcome, whose token was then confirmed and heard so, or the code of the refusal. */
  const come = (fields: Partial<JoinFields>): Promise<{ welcome?: WelcomeMessage; code?: string; socket: WebSocket }> => new Promise((resolve, reject) => {
    const socket = new WebSocket(server.url)
    socket.on('open', () => socket.send(writeJoin({ schema: 'club', schemaHash: 0, name: 'main', open: 0, join: none, options: none, ...fields })))
    let welcome: WelcomeMessage | undefined
    socket.on('message', (data: Buffer) => {
      const said = readServerMessage(new Uint8Array(data))
      if (said?.kind === 'welcome') {
        welcome = said.welcome
        for (const message of [writeReady(welcome.generation), writePing(1)]) socket.send(message)
      }
      if (said?.kind === 'pong') resolve({ welcome, socket })
      if (said?.kind === 'notice') resolve({ code: said.code, socket })
    })
    socket.on('error', reject)
  })
  const comeBack = (token: string, fields: Partial<JoinFields> = {}) => come({ ...fields, resume: { token, epoch: 0, seq: 0, firstHeld: 1, lastSent: 0 } })
  const codeOf = async (token: string, fields: Partial<JoinFields> = {}): Promise<string> => (await comeBack(token, fields)).code ?? 'in'
  const { issue } = createTokens([secret])
  const signed = (body: unknown, by: string): string => {
    const text = Buffer.from(JSON.stringify(body)).toString('base64url')
    return `${text}.${createHmac('sha256', by).update(text).digest('base64url')}`
  }

  /** All by which a room could tell that somebody was there. */
  const traces = async (): Promise<unknown[]> => {
    // Whatever was said before this has been heard.
    await witness.ask('look', {})
    const { joins, drops, resumes, leaves } = witness.globals
    return [joins, drops, resumes, leaves, await server.metric('kasagi_rooms '), await server.metric('kasagi_arena_free_bytes'), await server.metric('kasagi_handler_errors_total'), await server.metric('kasagi_stores_total')]
  }
  const records = (): Promise<number> => server.metric('kasagi_records_total')

  it('hostile: forged, foreign and expired resume tokens are refused as bad-token, and no room is opened or touched', async () => {
    await start()
    const { welcome, socket } = await come({})
    const { token, sessionId, roomId } = welcome!
    const [body, signature] = token.split('.'), claims: ResumeClaims = { roomId, sessionId, userId: sessionId, generation: 1 }
    const read = JSON.parse(Buffer.from(body, 'base64url').toString()) as unknown[]
    const changed = (at: number, value: unknown): string => `${Buffer.from(JSON.stringify(read.with(at, value))).toString('base64url')}.${signature}`
    const stranger = createTokens(['a secret of somebody else']), other = createTokens([secret]).issue({ ...claims, sessionId: 'another' })
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - 31 * 86_400_000 })
    const expired = issue(claims)
    vi.useRealTimers()
    const before = await traces(), recorded = await records()
    const forged = {
      'another session': changed(2, witness.sessionId), 'another room': changed(1, 'club:other'), 'a room that is not open': changed(1, 'club:never'), 'another user': changed(3, 'eve'), 'a later generation': changed(4, 99), 'a later expiry': changed(5, 9e9),
      'a version to come': signed(read.with(0, 2), secret), 'another\'s signature': `${body}.${other.split('.')[1]}`, 'no signature': `${body}.`, 'no key': signed(read, ''), 'a stranger\'s key': stranger.issue(claims), 'as if unsigned': `${Buffer.from('{"alg":"none"}').toString('base64url')}.${body}.`,
      'a JWT': await new SignJWT({ roomId, sessionId }).setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(secret)), 'an unsecured JWT': new UnsecuredJWT({ roomId, sessionId }).encode(), expired, padded: `${body}.${signature}=`, cut: token.slice(0, -1), twice: `${token}.${signature}`, empty: '',
    }
    const codes = Object.fromEntries(await Promise.all(Object.entries(forged).map(async ([what, text]) => [what, await codeOf(text)])))
    expect(codes).toEqual(Object.fromEntries(Object.keys(forged).map((what) => [what, 'bad-token'])))
    // A good one, for a room of another type than the Join says.
    expect(await codeOf(token, { schema: 'hall' })).toBe('bad-token')
    const traced = await traces()
    expect([traced, await records()]).toEqual([before, recorded + 1])
    expect([socket.readyState, witness.status]).toEqual([WebSocket.OPEN, 'live'])
    // The one before all that is as good as it was, and so is one that the older secret has signed.
    expect((await comeBack(token)).welcome?.sessionId).toBe(sessionId)
    expect((await comeBack(createTokens([older]).issue({ ...claims, generation: 2 }))).welcome?.sessionId).toBe(sessionId)
  })

  it('hostile: a resume token that was used up is refused as token-used, and its session has not noticed', async () => {
    await start()
    const first = (await come({})).welcome!
    const second = await comeBack(first.token)
    expect([second.welcome!.sessionId, second.welcome!.generation]).toEqual([first.sessionId, first.generation + 1])
    // The second Welcome's token was confirmed: from here on the first one's is void, whether its session is connected or waited for.
    const connected = await traces()
    expect(await codeOf(first.token)).toBe('token-used')
    expect([await traces(), second.socket.readyState]).toEqual([connected, WebSocket.OPEN])
    second.socket.terminate()
    await until(async () => { await witness.ask('look', {}); return witness.globals.drops === 1 }, 'its session is waited for')
    const before = await traces(), recorded = await records()
    for (let n = 0; n < 5; n++) expect(await codeOf(first.token)).toBe('token-used')
    const traced = await traces()
    expect([traced, await records()]).toEqual([before, recorded + 1])
    expect((await comeBack(second.welcome!.token)).welcome?.sessionId).toBe(first.sessionId)
    // A session that has left is gone, whichever token names it.
    expect(await codeOf(issue({ roomId: 'club:main', sessionId: 'nobody', userId: 'nobody', generation: 1 }))).toBe('session-gone')
  })

  it('hostile: with keys, a resume token without a good JWT beside it opens and touches nothing', async () => {
    const authSecret = 'a shared secret of many letters', jwt = (sub: string, exp: string | number = '1h'): Promise<string> => new SignJWT({}).setProtectedHeader({ alg: 'HS256' }).setSubject(sub).setExpirationTime(exp).sign(new TextEncoder().encode(authSecret))
    await start(['--auth-secret', authSecret], await jwt('witness'))
    const ann = (await come({ userToken: await jwt('ann') })).welcome!
    const closed = issue({ roomId: 'club:closed', sessionId: 'x', userId: 'eve', generation: 1 })
    const before = await traces(), recorded = await records()
    const cases: [string, string | undefined, string][] = [
      [ann.token, undefined, 'auth-required'], [ann.token, new UnsecuredJWT({}).setSubject('ann').setExpirationTime('1h').encode(), 'auth-invalid'], [ann.token, await jwt('ann', Math.floor(Date.now() / 1000) - 60), 'auth-expired'], [ann.token, 'x.y.z', 'auth-invalid'],
      [ann.token, ann.token, 'auth-invalid'], [ann.token, await jwt('eve'), 'bad-token'], [closed, undefined, 'auth-required'], [closed, await jwt('ann'), 'bad-token'],
    ]
    for (const [token, userToken, code] of cases) expect(await codeOf(token, { userToken })).toBe(code)
    const traced = await traces()
    expect([traced, await records()]).toEqual([before, recorded + 1])
    expect((await comeBack(ann.token, { userToken: await jwt('ann') })).welcome?.sessionId).toBe(ann.sessionId)
  })

  it('hostile: a token of a room that only the server opens does not open it again once it was closed for good', async () => {
    await start(['--open', 'lobby:main'])
    const lobby = defineSchema('lobby', { globals: { joins: u32, drops: u32, resumes: u32, leaves: u32 }, inputs: { look: {}, close: {} } })
    const host = await connect(server.url).join(lobby, { name: 'main' })
    const { token } = (await come({ schema: 'lobby' })).welcome!
    host.send('close', {})
    await until(async () => await server.metric('kasagi_rooms ') === 1, 'the lobby is closed')
    expect(await codeOf(token, { schema: 'lobby' })).toBe('session-gone')
    expect([(await come({ schema: 'lobby' })).code, await server.metric('kasagi_rooms ')]).toEqual(['room-absent', 1])
  })
})

describe('hostile: JWTs', () => {
  it('hostile: 5,000 broken JWTs are refused by name, or say what was signed', async () => {
    const key = 'a shared secret of many letters', bytes = new TextEncoder().encode(key), folder = mkdtempSync(join(tmpdir(), 'kasagi-jwt-')), keysFile = join(folder, 'keys.json')
    const { publicKey, privateKey } = await generateKeyPair('ES256')
    writeFileSync(keysFile, JSON.stringify({ keys: [{ ...await exportJWK(publicKey), kid: 'k', alg: 'ES256' }] }))
    const auth = createAuth({ secret: key, keysFile, revokedFile: undefined, onBadFile: () => {} })!
    const good = await Promise.all([
      new SignJWT({ role: 'x' }).setProtectedHeader({ alg: 'HS256' }).setSubject('ann').setExpirationTime('1h').sign(bytes),
      new SignJWT({}).setProtectedHeader({ alg: 'ES256', kid: 'k' }).setSubject('ann').setExpirationTime('1h').sign(privateKey),
    ])
    const said = await Promise.all(good.map((token) => auth.identify(token)))
    let refused = 0
    const header = (alg: unknown, more: object = {}): string => Buffer.from(JSON.stringify({ alg, ...more })).toString('base64url')
    const [, body, signature] = good[0].split('.')
    const headers = ['none', 'None', 'HS256', 'HS512', 'RS256', 'ES256', 'EdDSA', '', 5, null, ['HS256']].flatMap((alg) => [header(alg), header(alg, { kid: 'k' }), header(alg, { crit: ['exp'] }), header(alg, { b64: false, crit: ['b64'] })])
    const cases = fc.oneof(
      { weight: 3, arbitrary: fc.tuple(fc.constantFrom(...good), changes).map(([token, list]) => Buffer.from(mutate(new TextEncoder().encode(token), list)).toString('latin1')) },
      fc.tuple(fc.constantFrom(...headers), fc.constantFrom(body, '', '!', Buffer.from('{"sub":"ann","exp":9e99}').toString('base64url'), Buffer.from('[]').toString('base64url')), fc.constantFrom('', signature, 'AA', '..')).map((parts) => parts.join('.')), fc.string({ maxLength: 60 }),
    )
    await fc.assert(fc.asyncProperty(cases, async (token) => {
      try {
        // Written another way, with a space behind it: what was signed is the same to the letter.
        expect(said).toContainEqual(await auth.identify(token))
      } catch (error) {
        expect(error).toMatchObject({ name: 'KasagiError', code: token === '' ? 'auth-required' : 'auth-invalid' })
        refused++
      }
    }), { numRuns: 5000, seed: Number(process.env.SEED ?? Date.now() % 0x7fff_ffff) })
    expect(refused).toBeGreaterThan(4000)
    rmSync(folder, { recursive: true, force: true })
  }, 60_000)
})
