/** The backplane over Redis: every backplane's guarantees, and what only many instances can show. Real servers. */
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Backplane, Take } from '../../src/backplane/backplane.js'
import { hashBytes, hashText } from '../../src/base/hash.js'
import { openRedisBackplane, type RedisBackplaneOptions } from '../../src/backplane/redis.js'
import { backplaneSuite, codeOf, follow, granted, logOf, logged, recordAt, snapshotAt, staleOf, unlogged } from '../suites/backplane.js'
import { startRedis, type RedisServer } from '../support/redis.js'
import { until } from '../support/until.js'

let server: RedisServer
beforeAll(async () => { server = await startRedis() })
afterAll(() => server.end())
beforeEach(async () => { await server.client.flushall() })

describe.each([['redis', 0], ['redis with a copy', 1]])('%s', (name, opsReplicas) => {
  let copy: RedisServer | undefined
  beforeAll(async () => { if (opsReplicas > 0) copy = await startRedis({ replicaOf: server.port }) })
  afterAll(() => copy?.end())

  backplaneSuite(name, async () => {
    const open = (): Promise<Backplane> => openRedisBackplane({ url: server.url, opsReplicas })
    let backplane = await open()
    return {
      backplane,
      reopen: async () => {
        await backplane.close()
        return backplane = await open()
      },
      damage: async (roomId, position) => {
        await logOf(backplane, roomId)
        if (position !== undefined) await server.client.xdel(`room:{${roomId}}:ops`, `${position.epoch}-${position.seq - 1}`)
        else {
          const data = (await server.client.hgetBuffer(`room:{${roomId}}:snapshot`, 'data'))!
          data[20] ^= 255
          await server.client.hset(`room:{${roomId}}:snapshot`, 'data', data)
        }
        return backplane
      },
      end: () => backplane.close(),
    }
  })
})

describe('redis, many instances', () => {
  let opened: Backplane[]
  beforeEach(() => { opened = [] })
  afterEach(() => Promise.all(opened.map((backplane) => backplane.close())))
  const instance = async (options: Partial<RedisBackplaneOptions> = {}): Promise<Backplane> => {
    const backplane = await openRedisBackplane({ url: server.url, leaseMs: 30_000, ...options })
    opened.push(backplane)
    return backplane
  }
  const claim = (backplane: Backplane, seen = 0, version = 1, take: Take = 'orphaned') => backplane.claim('a:1', { seen, version, take })

  it('redis: while a lease runs, others are told who holds it, where, and for how long; once it is released a claim is granted', async () => {
    const a = await instance(), b = await instance()
    const epoch = await granted(a, 'a:1')
    expect(await claim(b)).toEqual({ kind: 'held', lease: { instance: a.instance, epoch, seq: 0 }, ttlMs: expect.any(Number) as number })
    await a.renew('a:1', { epoch, seq: 17, version: 1 })
    const held = await claim(b)
    expect(held).toMatchObject({ kind: 'held', lease: { instance: a.instance, epoch, seq: 17 } })
    expect(held.kind === 'held' && held.ttlMs > 0 && held.ttlMs <= 30_000).toBe(true)
    await a.release('a:1', epoch)
    const next = await granted(b, 'a:1')
    expect(next).toBeGreaterThan(epoch)
    expect([epoch % 1024, next % 1024]).toEqual([a.instance % 1024, b.instance % 1024])
    expect(await codeOf(a.release('a:1', epoch))).toBe('stale')
    expect(await claim(a)).toMatchObject({ kind: 'held', lease: { instance: b.instance } })
  })

  it('redis: of fifty instances that claim a room at once, one is granted it, and the others are told which', async () => {
    const all = await Promise.all(Array.from({ length: 50 }, () => instance()))
    expect(new Set(all.map(({ instance: number }) => number)).size).toBe(50)
    for (const roomId of ['a:1', 'a:2', 'a:3', 'a:4']) {
      const claims = await Promise.all(all.map((backplane) => backplane.claim(roomId, { seen: 0, version: 1, take: 'orphaned' })))
      const winners = all.filter((_, at) => claims[at].kind === 'granted')
      expect(winners.length, roomId).toBe(1)
      for (const answer of claims) if (answer.kind === 'held') expect(answer.lease.instance).toBe(winners[0].instance)
    }
  })

  it('redis: a lease that nobody renews ends after its time; until somebody else is granted the room, its owner may renew it', async () => {
    const a = await instance({ leaseMs: 300 }), b = await instance()
    const asked = performance.now(), epoch = await granted(a, 'a:1')
    await until(async () => await server.client.exists('room:{a:1}:owner') === 0, 'the lease has ended')
    expect(performance.now() - asked).toBeGreaterThan(295)
    expect(await a.renew('a:1', { epoch, seq: 3, version: 1 })).toBe('renewed')
    await until(async () => (await claim(b)).kind === 'granted', 'another is granted the room')
    expect(await codeOf(a.renew('a:1', { epoch, seq: 4, version: 1 }))).toBe('stale')
  })

  it('redis: what a former owner writes is refused, and seen by nobody', async () => {
    const a = await instance({ leaseMs: 200 }), b = await instance(), heard = await follow(b, 'a:1')
    const old = await granted(a, 'a:1')
    await a.publish('a:1', logged(old, 1))
    let epoch = 0
    await until(async () => {
      const answer = await claim(b)
      if (answer.kind === 'granted') epoch = answer.epoch
      return epoch > 0
    }, 'another is granted the room')
    await b.store('a:1', epoch, snapshotAt(epoch, 1))
    const late = [
      a.publish('a:1', logged(old, 2)), a.publish('a:1', unlogged(old, 2)), a.store('a:1', old, snapshotAt(old, 9)), a.remove('a:1', old), a.release('a:1', old),
      a.handOver('a:1', { epoch: old, seq: 2, to: a.instance, version: 1 }), a.renew('a:1', { epoch: old, seq: 2, version: 1 }),
    ]
    for (const call of late) expect(await codeOf(call)).toBe('stale')
    await b.publish('a:1', logged(epoch, 2))
    await heard.count(2)
    expect(heard.messages).toEqual([recordAt(old, 1).record, recordAt(epoch, 2).record])
    expect((await logOf(b, 'a:1')).map(({ epoch: of, seq }) => [of, seq])).toEqual([[epoch, 2]])
    expect((await b.load('a:1'))?.epoch).toBe(epoch)
    expect(await claim(a)).toMatchObject({ kind: 'held', lease: { instance: b.instance } })
  })

  it('redis: a room that is released takes its log with it if the snapshot has everything, and only then', async () => {
    const a = await instance(), epoch = await granted(a, 'a:1')
    for (const seq of [1, 2]) await a.publish('a:1', logged(epoch, seq))
    await a.store('a:1', epoch, snapshotAt(epoch, 1))
    await a.release('a:1', epoch)
    expect((await logOf(a, 'a:1')).map(({ seq }) => seq)).toEqual([2])
    const next = await granted(a, 'a:1')
    await a.store('a:1', next, snapshotAt(next, 3))
    await a.release('a:1', next)
    expect(await server.client.exists('room:{a:1}:ops')).toBe(0)
    // Nothing older gets in for that.
    expect(await codeOf(a.publish('a:1', logged(next, 3)))).toBe('log-older')
    expect(await codeOf(a.publish('a:1', logged(epoch, 4)))).toBe('stale')
    expect(await server.client.exists('room:{a:1}:ops')).toBe(0)
  })

  it('redis: a room whose owner\'s lease ran out is taken by who may take it, and by nobody else; every instance that may take nothing is told so', async () => {
    const a = await instance({ leaseMs: 200 }), b = await instance()
    expect(await claim(b, 0, 1, 'nothing')).toEqual({ kind: 'unowned', epoch: 0 })
    expect(await server.client.dbsize()).toBe(2)
    const epoch = await granted(a, 'a:1', 0, 3, 'free')
    expect(await claim(b, 0, 1, 'nothing')).toMatchObject({ kind: 'held', lease: { instance: a.instance, epoch } })
    await until(async () => await server.client.exists('room:{a:1}:owner') === 0, 'the lease has ended')
    for (const take of ['nothing', 'free'] as const) for (const backplane of [a, b]) expect(await claim(backplane, 0, 1, take)).toEqual({ kind: 'unowned', epoch })
    expect(await codeOf(claim(b, 0, 2, 'orphaned'))).toBe('version-older')
    expect(await server.client.exists('room:{a:1}:owner')).toBe(0)
    expect(await claim(b, 0, 3, 'orphaned')).toMatchObject({ kind: 'granted', previous: epoch, stored: undefined })
  })

  it('redis: whoever claims a room is told up to which epoch it was closed for good, for ever', async () => {
    const a = await instance(), b = await instance(), first = await granted(a, 'a:1')
    await a.store('a:1', first, snapshotAt(first, 4))
    await a.remove('a:1', first)
    await a.release('a:1', first)
    const again = await claim(b, 0, 1, 'free')
    expect(again).toMatchObject({ kind: 'granted', stored: undefined, ended: first })
    expect(await claim(b, 0, 1, 'free')).toMatchObject({ kind: 'granted', ended: first })
    await server.client.hset('room:{a:1}:epoch', 'ended', 'x')
    expect(await codeOf(claim(b, 0, 1, 'free'))).toBe('data-bad')
  })

  it('redis: a room that its owner released is free, until it is granted or renewed; to the instance that holds it, it is free too', async () => {
    const a = await instance({ leaseMs: 200 }), b = await instance({ leaseMs: 200 }), first = await granted(a, 'a:1'), leaseEnds = (): Promise<void> =>
      until(async () => await server.client.exists('room:{a:1}:owner') === 0, 'the lease has ended')
    const epoch = await granted(a, 'a:1', 0, 1, 'free')
    expect(epoch).toBeGreaterThan(first)
    await a.release('a:1', epoch)
    expect(await claim(b, 0, 1, 'nothing')).toEqual({ kind: 'unowned', epoch })
    const next = await granted(b, 'a:1', 0, 1, 'free')
    await leaseEnds()
    expect(await claim(a, 0, 1, 'free')).toEqual({ kind: 'unowned', epoch: next })
    await b.release('a:1', next)
    expect(await b.renew('a:1', { epoch: next, seq: 0, version: 1 })).toBe('renewed')
    await leaseEnds()
    expect(await claim(a, 0, 1, 'free')).toEqual({ kind: 'unowned', epoch: next })
  })

  it('redis: a lease that runs for longer than a lease is cut to one', async () => {
    const a = await instance({ leaseMs: 60_000 }), b = await instance({ leaseMs: 500 })
    await granted(a, 'a:1')
    const held = await claim(b)
    expect(held).toMatchObject({ kind: 'held', lease: { instance: a.instance }, ttlMs: 500 })
    expect(await server.client.pttl('room:{a:1}:owner')).toBeLessThanOrEqual(500)
    await until(async () => (await claim(b)).kind === 'granted', 'another is granted the room')
  })

  it('redis: epochs are a random step ahead, of up to a second', async () => {
    const a = await instance(), b = await instance(), seen = 2 ** 51, steps = { granted: new Set<number>(), handedOver: new Set<number>() }
    for (let room = 0; room < 20; room++) {
      const epoch = await granted(a, `a:${room}`, seen), next = await a.handOver(`a:${room}`, { epoch, seq: 1, to: b.instance, version: 1 })
      steps.granted.add(Math.floor(epoch / 1024) - Math.floor(seen / 1024))
      steps.handedOver.add(Math.floor(next / 1024) - Math.floor(epoch / 1024))
    }
    for (const all of Object.values(steps)) {
      expect(all.size).toBeGreaterThan(10)
      expect(Math.min(...all)).toBeGreaterThanOrEqual(1)
      expect(Math.max(...all)).toBeLessThanOrEqual(1024)
    }
  })

  it('redis: what is refused as stale says who has the room, and with which epoch', async () => {
    const a = await instance({ leaseMs: 300 }), b = await instance(), old = await granted(a, 'a:1'), epoch = await a.handOver('a:1', { epoch: old, seq: 1, to: b.instance, version: 1 })
    const calls = (): Promise<unknown>[] => [
      a.publish('a:1', logged(old, 2)), a.publish('a:1', unlogged(old, 2)), a.store('a:1', old, snapshotAt(old, 9)), a.remove('a:1', old), a.release('a:1', old),
      a.handOver('a:1', { epoch: old, seq: 2, to: a.instance, version: 1 }), a.renew('a:1', { epoch: old, seq: 2, version: 1 }),
    ]
    for (const call of calls()) expect(await staleOf(call)).toEqual({ by: epoch, owner: b.instance })
    await b.release('a:1', epoch)
    for (const call of calls()) expect(await staleOf(call)).toEqual({ by: epoch, owner: 0 })
    await server.client.del('room:{a:1}:epoch')
    for (const call of calls().slice(0, -1)) expect(await staleOf(call)).toEqual({ by: 0, owner: 0 })
  })

  it('redis: a snapshot that a later owner has stored is not replaced, though Redis has forgotten that owner', async () => {
    const a = await instance(), b = await instance(), old = await granted(a, 'a:1', 2 ** 51)
    const epoch = await a.handOver('a:1', { epoch: old, seq: 1, to: b.instance, version: 1 })
    await b.store('a:1', epoch, snapshotAt(old, 1))
    await server.client.hset('room:{a:1}:epoch', 'epoch', String(old))
    expect(await staleOf(a.store('a:1', old, snapshotAt(old, 2)))).toEqual({ by: epoch, owner: b.instance })
    await server.client.del('room:{a:1}:owner', 'room:{a:1}:epoch')
    expect(await granted(a, 'a:1')).toBeGreaterThan(epoch)
  })

  it('redis: a hand-over moves the lease with a new epoch in one step, never to a lower version', async () => {
    const a = await instance(), b = await instance(), c = await instance()
    const old = await granted(a, 'a:1', 0, 2)
    expect(await codeOf(a.handOver('a:1', { epoch: old, seq: 8, to: b.instance, version: 1 }))).toBe('version-older')
    await a.publish('a:1', logged(old, 8))
    const epoch = await a.handOver('a:1', { epoch: old, seq: 8, to: b.instance, version: 3 })
    expect(epoch).toBeGreaterThan(old)
    expect(epoch % 1024).toBe(b.instance % 1024)
    expect(await c.claim('a:1', { seen: 0, version: 3, take: 'orphaned' })).toMatchObject({ kind: 'held', lease: { instance: b.instance, epoch, seq: 8 } })
    expect(await codeOf(a.publish('a:1', logged(old, 9)))).toBe('stale')
    expect(await c.claim('a:1', { seen: 0, version: 2, take: 'orphaned' })).toMatchObject({ kind: 'held' })
    expect(await codeOf(b.claim('a:1', { seen: 0, version: 2, take: 'orphaned' }))).toBe('version-older')
    await b.publish('a:1', logged(epoch, 9))
    expect(await b.renew('a:1', { epoch, seq: 9, version: 3 })).toBe('renewed')
    expect((await logOf(b, 'a:1')).map(({ seq }) => seq)).toEqual([8, 9])
  })

  it('redis: epochs are above what snapshot and log name, though the epoch itself was lost', async () => {
    const a = await instance(), epoch = await granted(a, 'a:1', 2 ** 51, 4)
    await a.store('a:1', epoch, { ...snapshotAt(epoch, 1), version: 4 })
    await server.client.del('room:{a:1}:epoch', 'room:{a:1}:owner')
    expect(await codeOf(claim(a, 0, 3))).toBe('version-older')
    const next = await granted(a, 'a:1', 0, 4)
    expect(next).toBeGreaterThan(epoch)
    await a.publish('a:1', logged(next, 2))
    await server.client.del('room:{a:1}:epoch', 'room:{a:1}:owner', 'room:{a:1}:snapshot')
    expect(await granted(a, 'a:1')).toBeGreaterThan(next)
  })

  it('redis: records and messages go from instance to instance, in order; each inbox is one\'s own', async () => {
    const a = await instance(), b = await instance(), c = await instance(), heard = await follow(b, 'a:1')
    const got = [a, b, c].map((backplane) => {
      const messages: number[] = []
      backplane.listen({ message: (bytes) => { messages.push(bytes[0]) }, reachable: () => {}, lost: () => {} })
      return messages
    })
    const epoch = await granted(a, 'a:1'), records = Array.from({ length: 500 }, (_, at) => unlogged(epoch, at + 1))
    await Promise.all(records.map((record) => a.publish('a:1', record)))
    for (let n = 0; n < 100; n++) a.send(b.instance, new Uint8Array([n]))
    a.send(c.instance, new Uint8Array([7]))
    expect(a.send(1_000_000, new Uint8Array([1]))).toBe(true)
    await heard.count(500)
    await until(() => got[1].length === 100 && got[2].length === 1, 'all messages are there')
    expect(heard.messages).toEqual(records.map(({ record }) => record))
    expect(got).toEqual([[], Array.from({ length: 100 }, (_, n) => n), [7]])
  })

  it('redis: a subscriber whose connection is killed is told a gap; between two gaps nothing is missing', async () => {
    const a = await instance(), b = await instance(), epoch = await granted(a, 'a:1')
    const heard: (number | 'gap')[] = []
    b.follow('a:1', { message: (bytes) => { heard.push(bytes[0] + bytes[1] * 256) }, gap: () => { heard.push('gap') } })
    const gaps = (): number => heard.filter((entry) => entry === 'gap').length
    await until(() => gaps() === 1, 'the room is heard')
    let seq = 0
    const publish = async (): Promise<void> => { seq++; await a.publish('a:1', { epoch, seq, record: new Uint8Array([seq & 255, seq >> 8]), isLogged: false }) }
    for (let kill = 1; kill <= 5; kill++) {
      for (let n = 0; n < 20; n++) await publish()
      await server.client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
      while (gaps() <= kill) await publish()
    }
    await publish()
    await until(() => heard.includes(seq), 'the last record is there')
    for (const [at, entry] of heard.entries()) {
      if (typeof entry === 'number' && typeof heard[at - 1] === 'number') expect(entry).toBe((heard[at - 1] as number) + 1)
    }
    expect(gaps()).toBe(6)
    expect(heard.length).toBeGreaterThan(100)
  })

  it('redis: publishes that lost their answer with the connection reject, and are not sent again', async () => {
    const a = await instance(), epoch = await granted(a, 'a:1'), told: boolean[] = []
    a.listen({ message: () => {}, reachable: (isReachable) => { told.push(isReachable) }, lost: () => {} })
    let seq = 0
    for (let kill = 0; kill < 5; kill++) {
      const answers = Array.from({ length: 200 }, (_, at) => codeOf(a.publish('a:1', logged(epoch, seq + at + 1))))
      await server.client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
      const codes = await Promise.all(answers)
      expect(codes.every((code) => code === 'done' || code === 'store-lost'), codes.join()).toBe(true)
      // What was confirmed comes first; what was not is in the log up to some record, or not at all.
      expect(codes.lastIndexOf('done')).toBe(codes.filter((code) => code === 'done').length - 1)
      await until(() => told.length === 2 * (kill + 1), 'Redis is lost, and back')
      const seqs = (await logOf(a, 'a:1')).map((record) => record.seq)
      expect(seqs).toEqual(Array.from({ length: seqs.length }, (_, at) => at + 1))
      expect(seqs.length).toBeGreaterThanOrEqual(seq + codes.filter((code) => code === 'done').length)
      seq = seqs.length
    }
    expect(told).toEqual(Array.from({ length: 10 }, (_, at) => at % 2 === 1))
  })

  it('redis: scripts that Redis has forgotten are sent whole, and nothing overtakes them', async () => {
    const a = await instance(), heard = await follow(await instance(), 'a:1'), epoch = await granted(a, 'a:1')
    let seq = 0
    const answers: Promise<void>[] = []
    const publish = (record: Uint8Array): Promise<void> => {
      answers.push(a.publish('a:1', { epoch, seq: ++seq, record, isLogged: true }))
      return answers[seq - 1]
    }
    for (let round = 0; round < 5; round++) {
      await server.client.script('FLUSH')
      void publish(new Uint8Array([1]))
      // On its way for so long that Redis knows the script again, by the first one, while this one is still to be sent whole.
      let isBehind = false
      const done = (): void => { isBehind = true }
      publish(new Uint8Array(4_000_000)).then(done, done)
      // A Redis that gets no time must not be asked for more than may wait.
      for (let sent = 0; !isBehind; sent++) {
        if (sent < 2000) void publish(new Uint8Array([2]))
        await new Promise((resolve) => { setImmediate(resolve) })
      }
    }
    await Promise.all(answers)
    await heard.count(seq)
    expect((await logOf(a, 'a:1')).map((record) => record.seq)).toEqual(Array.from({ length: seq }, (_, at) => at + 1))
  })

  it('redis: an instance\'s number is its own; whoever lost it to another is told, once', async () => {
    const a = await instance({ leaseMs: 100 }), key = `instance:{${a.instance}}`, token = await server.client.get(key)
    let lost = 0
    a.listen({ message: () => {}, reachable: () => {}, lost: () => { lost++ } })
    expect(await server.client.pttl(key)).toBeGreaterThan(50_000)
    await server.client.del(key)
    await until(async () => await server.client.get(key) === token, 'a number that Redis forgot is taken again')
    expect(lost).toBe(0)
    await server.client.set(key, 'another')
    await until(() => lost === 1, 'it is told')
    await opened.pop()!.close()
    expect(await server.client.get(key)).toBe('another')
    const b = await instance()
    await opened.pop()!.close()
    expect(await server.client.exists(`instance:{${b.instance}}`)).toBe(0)
    expect(lost).toBe(1)
  })

  it('redis: the directory forgets rooms whose owner is gone, and takes none out for another', async () => {
    const a = await instance({ leaseMs: 200 }), b = await instance()
    await a.enlist('a', 'a:1', { sessions: 1, listing: '{}' })
    await b.enlist('a', 'a:2', { sessions: 2, listing: '{"free":3}' })
    await a.enlist('a', 'a:2', undefined)
    await until(async () => (await b.list('a')).length === 1, 'only the living are listed')
    expect(await a.list('a')).toEqual([{ roomId: 'a:2', instance: b.instance, sessions: 2, listing: '{"free":3}' }])
    await until(async () => await server.client.hlen('rooms:{a}') === 1, 'the expired entry is gone')
  })

  it('redis: a plain client reads every key', async () => {
    const a = await instance(), epoch = await granted(a, 'a:1', 0, 5), plain = new Redis(server.port), heard: Buffer[] = []
    plain.on('messageBuffer', (_: Buffer, bytes: Buffer) => heard.push(bytes))
    await plain.subscribe('room:{a:1}:channel')
    const parentEpoch = epoch - 5000, lineage = [{ epoch: parentEpoch, parentEpoch: 0, forkSeq: 0 }, { epoch, parentEpoch, forkSeq: 2 }]
    await a.store('a:1', epoch, { data: recordAt(epoch, 3).record, epoch, seq: 3, lineage, tick: 60, ts: 1_700_000_000_000, version: 5 })
    await a.publish('a:1', logged(epoch, 4))
    await a.renew('a:1', { epoch, seq: 4, version: 5 })
    await a.enlist('a', 'a:1', { sessions: 2, listing: '{"mode":"duel"}' })
    const { client } = server, { data, ...fields } = await client.hgetallBuffer('room:{a:1}:snapshot')
    expect(Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, value.toString()])))
      .toEqual({
        by: String(epoch), epoch: String(epoch), seq: '3', tick: '60', ts: '1700000000000', version: '5',
        lineage: `[[${parentEpoch},0,0],[${epoch},${parentEpoch},2]]`, hash: String(hashText(`${hashBytes(new Uint8Array(data))} ${fields.lineage.toString()}`)),
      })
    expect(new Uint8Array(data)).toEqual(recordAt(epoch, 3).record)
    const [[id, [name, record]]] = await client.xrangeBuffer('room:{a:1}:ops', '-', '+')
    expect([id.toString(), name.toString(), new Uint8Array(record)]).toEqual([`${epoch}-4`, 'data', recordAt(epoch, 4).record])
    expect(await client.hgetall('room:{a:1}:owner')).toEqual({ instance: String(a.instance), epoch: String(epoch), seq: '4' })
    expect(await client.pttl('room:{a:1}:owner')).toBeGreaterThan(0)
    expect(await client.hgetall('room:{a:1}:epoch')).toEqual({ epoch: String(epoch), version: '5', logged: '4' })
    expect(await client.pttl('room:{a:1}:epoch')).toBe(-1)
    await a.release('a:1', epoch)
    expect(await client.hgetall('room:{a:1}:epoch')).toEqual({ epoch: String(epoch), version: '5', logged: '4', released: '1' })
    expect(JSON.parse((await client.hget('rooms:{a}', 'a:1'))!))
      .toEqual({ until: expect.any(Number) as number, instance: a.instance, sessions: 2, listing: { mode: 'duel' } })
    await until(() => heard.length === 1, 'the record is heard')
    expect(new Uint8Array(heard[0])).toEqual(recordAt(epoch, 4).record)
    plain.disconnect()
  })

  it('redis: what others wrote into the keys is refused as data-bad, and stays as it is', async () => {
    const a = await instance(), { client } = server
    const contentOf = async (key: string): Promise<unknown> => await client.type(key) === 'hash' ? client.hgetallBuffer(key) : client.dumpBuffer(key)
    const spoilt = async (key: string, spoil: () => Promise<unknown>, call: (epoch: number) => Promise<unknown>): Promise<void> => {
      await client.del('room:{a:1}:epoch', 'room:{a:1}:owner', 'room:{a:1}:snapshot', 'room:{a:1}:ops')
      const epoch = await granted(a, 'a:1')
      await a.store('a:1', epoch, snapshotAt(epoch, 1))
      await a.publish('a:1', logged(epoch, 2))
      await spoil()
      const before = await contentOf(key)
      expect(await codeOf(call(epoch)), spoil.toString()).toBe('data-bad')
      expect(await contentOf(key)).toEqual(before)
    }
    const snapshotKey = 'room:{a:1}:snapshot', epochKey = 'room:{a:1}:epoch', ownerKey = 'room:{a:1}:owner', opsKey = 'room:{a:1}:ops'
    for (const value of ['', '-1', '1e3', '0x10', '9007199254740992', '99999999999999999999', 'nan', ' 1', '1.5']) {
      await spoilt(epochKey, () => client.hset(epochKey, 'epoch', value), () => claim(a))
      await spoilt(epochKey, () => client.hset(epochKey, 'version', value), () => claim(a))
      for (const field of ['epoch', 'seq', 'by']) await spoilt(snapshotKey, () => client.hset(snapshotKey, field, value), () => claim(a))
      await spoilt(snapshotKey, () => client.hset(snapshotKey, 'by', value), (epoch) => a.store('a:1', epoch, snapshotAt(epoch, 2)))
      for (const field of ['epoch', 'seq', 'tick', 'ts', 'version', 'hash'])
        await spoilt(snapshotKey, () => client.hset(snapshotKey, field, value), () => a.load('a:1'))
      await spoilt(snapshotKey, () => client.hset(snapshotKey, 'seq', value), (epoch) => a.store('a:1', epoch, snapshotAt(epoch, 2)))
      await spoilt(ownerKey, () => client.hset(ownerKey, 'instance', '5', 'epoch', value), () => claim(a))
      await spoilt(ownerKey, () => client.hset(ownerKey, 'epoch', value), () => claim(a))
    }
    for (const key of [epochKey, snapshotKey, ownerKey, opsKey]) await spoilt(key, () => client.set(key, 'text'), () => claim(a))
    for (const key of [epochKey, snapshotKey, opsKey]) await spoilt(key, () => client.set(key, 'text'), (epoch) => a.store('a:1', epoch, snapshotAt(epoch, 2)))
    for (const field of ['epoch', 'seq']) await spoilt(ownerKey, async () => { await client.hset(ownerKey, 'instance', '5'); await client.hdel(ownerKey, field) }, () => claim(a))
    await spoilt(ownerKey, async () => { await client.hset(ownerKey, 'instance', '5'); await client.persist(ownerKey) }, () => claim(a))
    await spoilt(ownerKey, () => client.persist(ownerKey), () => claim(a))
    await spoilt(snapshotKey, () => client.hdel(snapshotKey, 'tick'), () => a.load('a:1'))
    // Though the hash is right.
    const lineageIs = (text: string): Promise<unknown> =>
      client.hgetBuffer(snapshotKey, 'data').then((data) => client.hset(snapshotKey, 'lineage', text, 'hash', String(hashText(`${hashBytes(new Uint8Array(data!))} ${text}`))))
    const withEpoch = async (text: string): Promise<string> => text.replaceAll('E', (await client.hget(snapshotKey, 'epoch'))!)
    const epoch = await granted(a, 'a:1')
    await a.store('a:1', epoch, snapshotAt(epoch, 1))
    await lineageIs(`[[5,0,0],[${epoch},5,0]]`)
    expect((await a.load('a:1'))?.lineage).toEqual([{ epoch: 5, parentEpoch: 0, forkSeq: 0 }, { epoch, parentEpoch: 5, forkSeq: 0 }])
    for (const wrong of ['', '[]', '{}', 'null', '[1,2,3]', '[[E,0]]', '[[E,0,0,0]]', '[[E,0,"0"]]', '[[E,-1,0]]', '[[E,0,0.5]]', '[[E,0,9007199254740992]]', '[[E,E,0]]', '[[5,0,0]]',
      '[[E,0,0],[5,E,0]]', '[[5,0,0],[E,6,0]]', '[[5,0,9],[E,5,8]]', `[[E,0,0]${' '.repeat(20_000)}]`, `[${Array.from({ length: 256 }, (_, at) => `[${at + 1},${at},0],`).join('')}[E,256,0]]`])
      await spoilt(snapshotKey, async () => lineageIs(await withEpoch(wrong)), () => a.load('a:1'))
    await spoilt(snapshotKey, async () => client.hset(snapshotKey, 'lineage', await withEpoch('[[5,0,0],[E,5,0]]')), () => a.load('a:1'))
    await spoilt(snapshotKey, () => client.hdel(snapshotKey, 'lineage'), () => a.load('a:1'))
    const strange = [['9007199254740992-1', 'data', 'x'], ['8000000000000000-1', 'other', 'x'], ['8000000000000000-1', 'data', 'x', 'data', 'y']]
    for (const [id, ...fields] of strange) await spoilt(opsKey, () => client.xadd(opsKey, id, ...fields), () => logOf(a, 'a:1'))
    await spoilt(opsKey, async () => { for (const seq of [3, 7]) await client.xadd(opsKey, `8000000000000000-${seq}`, 'data', 'x') }, () => logOf(a, 'a:1'))
    await client.hset('rooms:{a}', 'x', 'no json', 'y', '{"until":9e15}', 'z', '[]', 'w', 'null')
    expect(await a.list('a')).toEqual([])
    await client.set('rooms:{b}', 'text')
    expect(await codeOf(a.list('b'))).toBe('data-bad')
  })
})
