/** Who may come, and who may stay: tokens, limits, and what a refusal leaves untouched. */
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { connect, type ClientRoom } from 'kasagi-engine/client'
import { defineSchema, text, u8 } from 'kasagi-engine/schema'
import { startTestEngine, until, type TestEngine } from '../support/engine.js'
import { startProxy } from '../support/proxy.js'

const schemaText = `
import { defineSchema, text, u8 } from 'kasagi-engine/schema'
export const club = defineSchema('club', { globals: { last: text(200) }, inputs: { who: {}, rename: { region: text(8) }, lock: {} }, listing: { region: text(8), stake: u8.default(1) } })
`
const club = defineSchema('club', { globals: { last: text(200) }, inputs: { who: {}, rename: { region: text(8) }, lock: {} }, listing: { region: text(8), stake: u8.default(1) } })
const roomText = (settings = ''): string => `
import { defineRoom } from 'kasagi-engine'
import { club } from '../shared/club.js'
export default defineRoom(club, { tickHz: 0, ${settings} onInput: {
  who(room, session) { room.globals.last = JSON.stringify(session.user) },
  rename(room, _, { region }) { room.listing.region = region },
  lock(room) { room.lock() } } })
`
type Club = ClientRoom<typeof club>
const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'in', (error: { code: string }) => error.code)
const secret = 'a shared secret of many letters'
const key = new TextEncoder().encode(secret)
const jwt = (claims: object = {}, seconds = 60): Promise<string> =>
  new SignJWT({ role: 'player', ...claims }).setProtectedHeader({ alg: 'HS256' }).setSubject('ann').setJti('t-1').setExpirationTime(Math.floor(Date.now() / 1000) + seconds).sign(key)

describe('who may', () => {
  let server: TestEngine, folder: string
  const start = async (flags: string[], settings = ''): Promise<void> => { server = await startTestEngine({ 'shared/club.ts': schemaText, 'rooms/club.ts': roomText(settings) }, flags) }
  const join = (token: string | undefined, name = 'main'): Promise<Club> => connect(server.url, token === undefined ? {} : { token }).join(club, { name })
  beforeEach(() => { folder = mkdtempSync(joinPath(tmpdir(), 'kasagi-auth-')) })
  afterEach(async () => { await server.stop(); rmSync(folder, { recursive: true, force: true }) })

  it('who may: without keys everybody is a guest, and the log says so once', async () => {
    await start([])
    const room = await join(undefined)
    await room.ask('who', {})
    expect(JSON.parse(room.globals.last)).toEqual({ id: room.sessionId })
    expect(server.lines.filter(({ text }) => text.includes('everybody is a guest'))).toHaveLength(1)
  })

  it('who may: a good token is let in, and its claims are session.user', async () => {
    await start(['--auth-secret', secret])
    const room = await join(await jwt())
    await room.ask('who', {})
    expect(JSON.parse(room.globals.last)).toMatchObject({ id: 'ann', sub: 'ann', role: 'player' })
  })

  it('who may: absent, forged, expired, unsigned and foreign tokens are refused by name before any room is opened', async () => {
    await start(['--auth-secret', secret])
    const good = await jwt(), [head, body, signature] = good.split('.')
    const other = await new SignJWT({}).setProtectedHeader({ alg: 'HS256' }).setSubject('ann').setExpirationTime('1h').sign(new TextEncoder().encode('another secret, also long'))
    const { publicKey, privateKey } = await generateKeyPair('RS256')
    const foreign = await new SignJWT({}).setProtectedHeader({ alg: 'RS256' }).setSubject('ann').setExpirationTime('1h').sign(privateKey)
    const confused = await new SignJWT({}).setProtectedHeader({ alg: 'HS256' }).setSubject('ann').setExpirationTime('1h').sign(new TextEncoder().encode(JSON.stringify(await exportJWK(publicKey))))
    const endless = await new SignJWT({}).setProtectedHeader({ alg: 'HS256' }).setSubject('ann').sign(key)
    const nobody = await new SignJWT({}).setProtectedHeader({ alg: 'HS256' }).setExpirationTime('1h').sign(key)
    const none = new UnsecuredJWT({}).setSubject('ann').setExpirationTime('1h').encode()
    const asNone = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${body}.${signature}`
    const swapped = `${head}.${Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(body, 'base64url').toString()), sub: 'bob' })).toString('base64url')}.${signature}`
    const codes: Record<string, string> = {}
    for (const [name, token] of Object.entries({ absent: undefined, other, foreign, confused, endless, nobody, none, asNone, swapped, noise: 'x.y.z', expired: await jwt({}, -60), large: await jwt({ role: 'x'.repeat(2100) }) })) codes[name] = await codeOf(join(token))
    const invalid = 'auth-invalid'
    expect(codes).toEqual({
      absent: 'auth-required', other: invalid, foreign: invalid, confused: invalid, endless: invalid, nobody: invalid, none: invalid, asNone: invalid, swapped: invalid, noise: invalid, expired: 'auth-expired',
      large: invalid,
    })
    expect([await server.metric('kasagi_rooms '), await server.metric('kasagi_records_total')]).toEqual([0, 0])
    expect(await server.metric('kasagi_messages_refused_total{code="auth-invalid"}')).toBe(10)
    await expect(connect(server.url).list(club)).rejects.toMatchObject({ code: 'auth-required' })
    expect(await connect(server.url, { token: good }).list(club)).toEqual([])
  })

  it('who may: a token that expires ends the connection, and a client that gets a new one goes on in its session', async () => {
    await start(['--auth-secret', secret])
    const fixed = await join(await jwt({}, -3))
    let asked = 0
    const fresh = await connect(server.url, { token: async () => jwt({}, asked++ === 0 ? -3 : 60) }).join(club, { name: 'main' })
    const { sessionId } = fresh
    await until(() => fixed.status === 'closed', 'the old token is no longer let in', 20_000)
    await until(() => fresh.status === 'live' && asked >= 2, 'the new one is', 20_000)
    expect(fresh.sessionId).toBe(sessionId)
    await fresh.ask('who', {})
  }, 30_000)

  it('who may: a revoked token or user, and a key that is taken away, end live sessions', async () => {
    const keysFile = joinPath(folder, 'keys.json'), revokedFile = joinPath(folder, 'revoked.txt')
    const pairs = await Promise.all([1, 2].map(async (n) => ({ kid: `k${n}`, ...await generateKeyPair('ES256') })))
    const jwks = async (kids: string[]): Promise<string> => JSON.stringify({ keys: await Promise.all(pairs.filter(({ kid }) => kids.includes(kid)).map(async ({ kid, publicKey }) => ({ ...await exportJWK(publicKey), kid, alg: 'ES256' }))) })
    let clock = 1e9
    const write = (file: string, text: string): void => { writeFileSync(file, text); utimesSync(file, clock, clock++) }
    write(keysFile, await jwks(['k1', 'k2']))
    write(revokedFile, '')
    await start(['--auth-keys', keysFile, '--auth-revoked', revokedFile])
    const signed = (sub: string, n: number, jti: string): Promise<string> => new SignJWT({}).setProtectedHeader({ alg: 'ES256', kid: pairs[n].kid }).setSubject(sub).setJti(jti).setExpirationTime('1h').sign(pairs[n].privateKey)
    const tokens = await Promise.all([signed('ann', 0, 'a'), signed('bob', 0, 'b'), signed('cid', 1, 'c'), signed('dee', 0, 'd')])
    const rooms = await Promise.all(tokens.map((token) => join(token)))
    const ends: string[] = []
    rooms.forEach((room, n) => room.onStatus((status, code) => ends.push(`${n} ${status} ${code}`)))
    write(revokedFile, 'ann\nb\n')
    await until(() => ends.length === 2, 'a user and a token are revoked')
    write(keysFile, await jwks(['k1']))
    await until(() => ends.length === 3, 'a key is taken away')
    expect(ends.sort()).toEqual(['0 closed auth-revoked', '1 closed auth-revoked', '2 closed auth-revoked'])
    expect(await codeOf(join(tokens[1]))).toBe('auth-revoked')
    write(keysFile, 'no json')
    await until(() => server.lines.some(({ text }) => text.includes('what was read before stays')), 'the log says that the file is bad')
    expect([rooms[3].status, await codeOf(join(tokens[3]))]).toEqual(['live', 'in'])
  })

  it('who may: a session can be resumed by its own user alone', async () => {
    await start(['--auth-secret', secret])
    const proxy = await startProxy(server.url)
    let user = 'ann'
    const room = await connect(proxy.url, { token: () => new SignJWT({}).setProtectedHeader({ alg: 'HS256' }).setSubject(user).setExpirationTime('1h').sign(key) }).join(club, { name: 'main' })
    const { sessionId } = room
    user = 'eve'
    proxy.cut()
    await until(() => room.stats.reconnects === 1 && room.status === 'live', 'eve is in, but not as ann')
    expect(room.sessionId).not.toBe(sessionId)
    await room.ask('who', {})
    expect(JSON.parse(room.globals.last)).toMatchObject({ id: 'eve' })
    await proxy.stop()
  })

  it('who may: connections beyond the limits, and rooms beyond those of an address, are refused; who leaves makes room', async () => {
    await start(['--connections-per-address', '3', '--rooms-per-address', '2'])
    const rooms = [await join(undefined, 'a'), await join(undefined, 'b')]
    expect(await codeOf(join(undefined, 'c'))).toBe('too-many-rooms')
    rooms.push(await join(undefined, 'a'))
    expect(await codeOf(join(undefined, 'a'))).toBe('too-many-connections')
    await rooms[0].leave()
    expect(await codeOf(join(undefined, 'a'))).toBe('in')
  })

  it('who may: a connection that never joins is ended', async () => {
    await start([])
    const socket = new WebSocket(server.url)
    const code = await new Promise<number>((resolve) => { socket.on('close', resolve) })
    expect(code).toBe(4445)
  }, 30_000)
})

describe('listing', () => {
  let server: TestEngine
  afterEach(() => server.stop())

  it('listing: a join without a name takes an open room that matches, or opens one that does; lists say what is there', async () => {
    server = await startTestEngine({ 'shared/club.ts': schemaText, 'rooms/club.ts': roomText() })
    const at = connect(server.url)
    const eu = await at.join(club, { match: { region: 'eu', stake: 5 } })
    const alsoEu = await at.join(club, { match: { region: 'eu' } }), us = await at.join(club, { match: { region: 'us' } })
    expect([alsoEu.id === eu.id, us.id === eu.id]).toEqual([true, false])
    const name = (room: Club): string => room.id.slice('club:'.length)
    const listed = async (match?: { region?: string; stake?: number }): Promise<object[]> => (await at.list(club, match)).sort((a, b) => a.stake - b.stake)
    expect(await listed()).toEqual([{ name: name(us), sessions: 1, region: 'us', stake: 1 }, { name: name(eu), sessions: 2, region: 'eu', stake: 5 }])
    expect(await listed({ stake: 5 })).toHaveLength(1)
    await eu.ask('rename', { region: 'asia' })
    await until(async () => (await listed({ region: 'asia' })).length === 1, 'the list shows what the room says of itself')
    expect((await at.join(club, { match: { region: 'eu' } })).id).not.toBe(eu.id)
    await us.ask('lock', {})
    await until(async () => (await listed({ region: 'us' })).length === 0, 'a locked room is not listed')
    expect((await at.join(club, { match: { region: 'us' } })).id).not.toBe(us.id)
    expect(await codeOf(at.join(club, { name: name(us) }))).toBe('room-locked')
    expect(await codeOf(at.join(club, { match: { stake: 77 }, open: 'never' }))).toBe('room-absent')
    expect((await at.join(club, { match: { region: 'asia' }, open: 'always' })).id).not.toBe(eu.id)
  })

  it('listing: --open opens rooms at the start that stay, and of types that only the server opens', async () => {
    server = await startTestEngine({ 'shared/club.ts': schemaText, 'rooms/club.ts': roomText("keepMs: 50, opens: 'server',") }, ['--open', 'club:lobby', '--open', 'club:hall'])
    const at = connect(server.url)
    await until(async () => (await at.list(club)).length === 2, 'both are open')
    const lobby = await at.join(club, { name: 'lobby' })
    await lobby.leave()
    expect(await codeOf(at.join(club, { name: 'other' }))).toBe('room-absent')
    await new Promise((resolve) => { setTimeout(resolve, 400) })
    expect((await at.list(club)).map((room) => room.name).sort()).toEqual(['hall', 'lobby'])
  })
})
