/** The backplane when Redis dies, forgets, stands still, has no copies, or does not let everybody in. Real servers, killed and stopped by their ids. */
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { Backplane } from '../../src/backplane/backplane.js'
import { openRedisBackplane, type RedisBackplaneOptions } from '../../src/backplane/redis.js'
import { codeOf, follow, granted, logOf, logged, recordAt, snapshotAt, unlogged } from '../suites/backplane.js'
import { canMakeCertificates, makeCertificate } from '../support/certificate.js'
import { freePort } from '../support/free-port.js'
import { startRedis, type RedisOptions, type RedisServer } from '../support/redis.js'
import { until } from '../support/until.js'

const ends: (() => Promise<unknown> | void)[] = []
afterEach(async () => { for (const end of ends.splice(0).reverse()) await end() })

async function redis(options: RedisOptions = {}): Promise<RedisServer> {
  const server = await startRedis(options)
  ends.push(() => server.end())
  return server
}

/** `told`: what was said of Redis being there. */
async function instance(url: string, options: Partial<RedisBackplaneOptions> = {}): Promise<Backplane & { readonly told: boolean[] }> {
  const backplane = await openRedisBackplane({ url, leaseMs: 3000, ...options }), told: boolean[] = []
  backplane.listen({ message: () => {}, reachable: (isReachable) => { told.push(isReachable) }, lost: () => {} })
  ends.push(() => backplane.close())
  return Object.assign(backplane, { told })
}

describe('redis, faults', () => {
  it('redis: killed and back with its data: calls are refused at once meanwhile, then everything is as it was, and followers are told a gap', async () => {
    const server = await redis({ isKept: true }), a = await instance(server.url, { leaseMs: 60_000 }), b = await instance(server.url, { leaseMs: 60_000 })
    const epoch = await granted(a, 'a:1'), heard = await follow(b, 'a:1')
    await a.store('a:1', epoch, snapshotAt(epoch, 1))
    for (const seq of [2, 3]) await a.publish('a:1', logged(epoch, seq))
    await heard.count(2)
    await server.kill('SIGKILL')
    await until(() => a.told.length === 1 && b.told.length === 1, 'both know that Redis is gone')
    const renewed = a.renew('a:1', { epoch, seq: 3, version: 1 }), claimed = a.claim('a:2', { seen: 0, version: 1, take: 'orphaned' })
    for (const call of [a.publish('a:1', logged(epoch, 4)), renewed, claimed, a.load('a:1')]) expect(await codeOf(call)).toBe('store-lost')
    expect(a.send(b.instance, new Uint8Array(1))).toBe(false)
    const gap = heard.nextGap()
    await server.start()
    await Promise.all([gap, until(() => a.told.length === 2 && b.told.length === 2, 'both know that Redis is back')])
    expect([a.told, b.told]).toEqual([[false, true], [false, true]])
    expect(await a.renew('a:1', { epoch, seq: 3, version: 1 })).toBe('renewed')
    await a.publish('a:1', logged(epoch, 4))
    await heard.count(3)
    expect((await logOf(b, 'a:1')).map(({ seq }) => seq)).toEqual([2, 3, 4])
    expect((await b.load('a:1'))?.seq).toBe(1)
    expect(await b.claim('a:1', { seen: 0, version: 1, take: 'orphaned' })).toMatchObject({ kind: 'held', lease: { instance: a.instance, epoch } })
  })

  it('redis: from the moment at which a call is refused, a message is refused too', async () => {
    const server = await redis(), a = await instance(server.url), epoch = await granted(a, 'a:1')
    const killed = server.kill('SIGKILL')
    let refusedAtOnce = 0
    // Each turn of the loop, so that one comes when the end of the connection was read, and its close is not told yet.
    for (let after = 0; after < 20; await new Promise((resolve) => { setImmediate(resolve) })) {
      let code = ''
      a.publish('a:1', unlogged(epoch, 2)).catch((error: Error & { code?: string }) => { code = error.code ?? error.message })
      const isSent = a.send(1, new Uint8Array(1))
      for (let n = 0; n < 20; n++) await Promise.resolve()
      if (code !== '') refusedAtOnce++
      expect(isSent && code !== '', `a call is refused (${code}), told ${a.told.join()}`).toBe(false)
      if (a.told.length > 0) after++
    }
    expect(refusedAtOnce).toBeGreaterThan(0)
    await killed
  })

  it('redis: killed and back empty: nothing may be written until the owner has renewed, which puts back whose the room is', async () => {
    const server = await redis(), a = await instance(server.url), b = await instance(server.url), epoch = await granted(a, 'a:1', 0, 3)
    await a.store('a:1', epoch, snapshotAt(epoch, 5))
    await server.kill('SIGKILL')
    await server.start({ isForgetful: true })
    await until(() => a.told.length === 2 && b.told.length === 2, 'both know that Redis is back')
    expect(await codeOf(a.publish('a:1', unlogged(epoch, 6)))).toBe('stale')
    expect(await codeOf(a.store('a:1', epoch, snapshotAt(epoch, 6)))).toBe('stale')
    expect(await a.renew('a:1', { epoch, seq: 6, version: 3 })).toBe('restored')
    expect(await b.claim('a:1', { seen: 0, version: 3, take: 'orphaned' })).toMatchObject({ kind: 'held', lease: { instance: a.instance, epoch, seq: 6 } })
    expect(await codeOf(a.claim('a:1', { seen: 0, version: 2, take: 'orphaned' }))).toBe('version-older')
    await a.store('a:1', epoch, snapshotAt(epoch, 6))
    await a.publish('a:1', logged(epoch, 7))
    await until(async () => await server.client.exists(`instance:{${a.instance}}`, `instance:{${b.instance}}`) === 2, 'both have their numbers again')
    expect(await a.renew('a:1', { epoch, seq: 7, version: 3 })).toBe('renewed')
  })

  it('redis: back empty, and another instance was first: the former owner is refused for good, though its epoch is remembered by nobody', async () => {
    const server = await redis(), a = await instance(server.url), b = await instance(server.url), old = await granted(a, 'a:1')
    await server.kill('SIGKILL')
    await server.start({ isForgetful: true })
    await until(() => a.told.length === 2 && b.told.length === 2, 'both know that Redis is back')
    await until(() => Date.now() > Math.floor(old / 1024), 'the clock is beyond the random step of the former epoch')
    const epoch = await granted(b, 'a:1')
    expect(epoch).toBeGreaterThan(old)
    expect(await codeOf(a.renew('a:1', { epoch: old, seq: 1, version: 1 }))).toBe('stale')
    await b.publish('a:1', logged(epoch, 1))
  })

  it('redis: a short pause delays and loses nothing; a long one counts as lost, and nothing is sent again', async () => {
    const server = await redis(), a = await instance(server.url), heard = await follow(await instance(server.url), 'a:1'), epoch = await granted(a, 'a:1')
    await server.client.call('CLIENT', 'PAUSE', '200', 'ALL')
    await Promise.all(Array.from({ length: 100 }, (_, at) => a.publish('a:1', logged(epoch, at + 1))))
    await heard.count(100)
    expect(heard.messages).toEqual(Array.from({ length: 100 }, (_, at) => recordAt(epoch, at + 1).record))
    expect(a.told).toEqual([])
    server.signal('SIGSTOP')
    const codes = Promise.all([101, 102].map((seq) => codeOf(a.publish('a:1', logged(epoch, seq)))))
    expect(await codes).toEqual(['store-lost', 'store-lost'])
    await until(() => a.told.length > 0, 'Redis counts as lost')
    server.signal('SIGCONT')
    await until(() => a.told.length === 2, 'Redis is back')
    // They were on their way when it stood still: both or neither may have happened, none twice.
    const seqs = (await logOf(a, 'a:1', { epoch, seq: 100 })).map(({ seq }) => seq)
    expect([[], [101], [101, 102]]).toContainEqual(seqs)
    expect(a.told).toEqual([false, true])
  })

  it('redis: with opsReplicas a logged record counts, and is told, when a copy has it; while there is none, the owner waits', async () => {
    const server = await redis(), port = await freePort(), copy = await redis({ port, replicaOf: server.port })
    await until(async () => /connected_slaves:1[\s\S]*state=online/.test(await server.client.info('replication')), 'the copy is there')
    const a = await instance(server.url, { opsReplicas: 1 }), heard = await follow(await instance(server.url), 'a:1'), epoch = await granted(a, 'a:1')
    for (let seq = 1; seq <= 50; seq++) {
      await a.publish('a:1', logged(epoch, seq))
      if (seq % 10 === 0) expect(await copy.client.xlen('room:{a:1}:ops')).toBe(seq)
    }
    await heard.count(50)
    await copy.kill('SIGKILL')
    let answered = 0
    const waiting = [51, 52].map((seq) => a.publish('a:1', logged(epoch, seq)).then(() => { answered++ }))
    await until(async () => await server.client.xlen('room:{a:1}:ops') === 52, 'the log has them')
    const waits = async (): Promise<number> => Number(/cmdstat_wait:calls=(\d+)/.exec(await server.client.info('commandstats'))![1])
    const before = await waits()
    await until(async () => await waits() > before + 1, 'copies were waited for in vain')
    expect([answered, heard.messages.length]).toEqual([0, 50])
    await copy.start({ isForgetful: true })
    await Promise.all(waiting)
    expect(await copy.client.xlen('room:{a:1}:ops')).toBe(52)
    await heard.count(52)
    expect(heard.messages).toEqual(Array.from({ length: 52 }, (_, at) => recordAt(epoch, at + 1).record))
  })

  it('redis: one that has no more memory refuses with store-failed and its reason, keeps what it has, and lets owners renew', async () => {
    const server = await redis(), a = await instance(server.url), epoch = await granted(a, 'a:1')
    await a.store('a:1', epoch, snapshotAt(epoch, 1))
    await server.client.config('SET', 'maxmemory', '1mb', 'maxmemory-policy', 'noeviction')
    await expect(a.publish('a:1', logged(epoch, 2))).rejects.toMatchObject({ code: 'store-failed', message: expect.stringContaining('OOM') as string })
    await expect(a.store('a:1', epoch, snapshotAt(epoch, 2, 100_000))).rejects.toMatchObject({ code: 'store-failed' })
    expect(await a.renew('a:1', { epoch, seq: 2, version: 1 })).toBe('renewed')
    await server.client.config('SET', 'maxmemory', '0')
    expect((await a.load('a:1'))?.seq).toBe(1)
    await a.publish('a:1', logged(epoch, 2))
  })
})

describe('redis, at start', () => {
  const problem = (url: string, options: Partial<RedisBackplaneOptions> = {}): Promise<string> =>
    openRedisBackplane({ url, leaseMs: 500, ...options }).then((backplane) => { void backplane.close(); return '' }, (error: Error) => error.message)
  const listen = async (server: Server): Promise<number> => {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    ends.push(() => { server.close() })
    return (server.address() as { port: number }).port
  }

  it('redis: one that is not there, says nothing, or is none, is told in one line without the password', async () => {
    const port = await freePort()
    expect(await problem(`redis://user:hidden@127.0.0.1:${port}`)).toBe(`no-redis: cannot use redis://127.0.0.1:${port} (connect ECONNREFUSED 127.0.0.1:${port})`)
    const silent = await listen(createServer((socket) => { socket.on('error', () => {}).resume() }))
    expect(await problem(`redis://127.0.0.1:${silent}`)).toMatch(/^no-redis: cannot use redis:\/\/127\.0\.0\.1:\d+ \(Socket timeout\. .*\)$/)
    const other = await listen(createServer((socket) => { socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n') }))
    expect(await problem(`redis://:hidden@127.0.0.1:${other}`)).toMatch(/^no-redis: cannot use redis:\/\/127\.0\.0\.1:\d+ \(.+\)$/)
    for (const url of ['http://x', 'redis://', 'redis://host/3', 'host:6379', 'redis://host?family=6'])
      expect(await problem(url)).toMatch(/^no-redis: the address is none of /)
  })

  it('redis: who may not enter is told in one line; a user with the rights of docs/redis.md may do everything', async () => {
    const rights = /```acl\n(.*)\n```/.exec(readFileSync('docs/redis.md', 'utf8'))![1].replace('user kasagi', '').replace('PASSWORD', 'p%40ss').trim()
    const server = await redis({ password: 'secret', users: [`kasagi ${rights}`, 'deaf on >deaf ~* +@all'] })
    const at = `127.0.0.1:${server.port}`
    expect(await problem(`redis://${at}`)).toMatch(/^no-redis: cannot use redis:\/\/127\.0\.0\.1:\d+ \(NOAUTH .+\)$/)
    expect(await problem(`redis://:wrong@${at}`)).toBe(`no-redis: cannot use redis://${at} (WRONGPASS invalid username-password pair or user is disabled.)`)
    expect(await problem(`redis://deaf:deaf@${at}`)).toMatch(/^no-redis: redis:\/\/127\.0\.0\.1:\d+ lets nobody hear instance:\{\d+\}:inbox$/)
    const a = await instance(`redis://kasagi:p%2540ss@${at}`), b = await instance(`redis://:secret@${at}`), heard = await follow(a, 'a:1')
    const epoch = await granted(a, 'a:1')
    await a.publish('a:1', logged(epoch, 1))
    await a.store('a:1', epoch, snapshotAt(epoch, 1))
    await a.publish('a:1', logged(epoch, 2))
    await a.enlist('a', 'a:1', { sessions: 0, listing: '{}' })
    expect((await a.list('a')).length).toBe(1)
    expect((await logOf(a, 'a:1')).map(({ seq }) => seq)).toEqual([2])
    expect(await a.renew('a:1', { epoch, seq: 2, version: 1 })).toBe('renewed')
    await a.remove('a:1', await a.handOver('a:1', { epoch, seq: 2, to: a.instance, version: 1 }))
    await heard.count(2)
    let got = 0
    b.listen({ message: () => { got++ }, reachable: () => {}, lost: () => {} })
    expect(a.send(b.instance, new Uint8Array([1]))).toBe(true)
    await until(() => got === 1, 'the message is there')
    expect(a.told).toEqual([])
    expect(a.place).toBe(`redis://${at}`)
  })

  it.runIf(canMakeCertificates)('redis: over TLS with a certificate that is believed; with another one it is told in one line', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'kasagi-certificate-'))
    ends.push(() => rmSync(folder, { recursive: true, force: true }))
    const tls = makeCertificate(folder), server = await redis({ tls })
    expect(await problem(server.url)).toMatch(/^no-redis: cannot use rediss:\/\/127\.0\.0\.1:\d+ \(self-signed certificate\)$/)
    const a = await instance(server.url, { ca: readFileSync(tls.certFile, 'utf8') }), heard = await follow(a, 'a:1'), epoch = await granted(a, 'a:1')
    await a.publish('a:1', logged(epoch, 1))
    await heard.count(1)
    expect(a.place).toBe(server.url)
  })
})
