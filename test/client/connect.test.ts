/** A stay from join to leave, against a server made by hand. */
import { afterEach, describe, expect, it, vi } from 'vitest'
import { schemaHash } from '../../src/schema/tables-of.js'
import { writeNotice, writeOwn, writePong, writeResynced } from '../../src/wire/server-messages.js'
import { unpackFields } from '../../src/wire/fields.js'
import {
  beginJoin, epoch, joinFake, ownRow, ownStream, section, setCount, setHp, snapshot, tables, thing, things, welcome,
} from './fake-room.js'

const own = { epoch, seq: 11, durableSeq: 0, lastInput: 0, wanted: 0, sections: 0 }
const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'resolved', (error: { code: string }) => error.code)

describe('connect', () => {
  afterEach(() => { vi.useRealTimers(); vi.restoreAllMocks() })

  it('connect: a join says the schema\'s hash, where to, and its data', async () => {
    const { server } = await beginJoin({}, { name: 'main', open: 'never', join: { name: 'Ann' } })
    expect(server.said).toHaveLength(1)
    const [join] = server.said
    expect(join).toMatchObject({ kind: 'join', protocol: 1, schema: 'fake', schemaHash: schemaHash(tables), name: 'main', open: 1 })
    const { join: data } = join as { join: Uint8Array }
    expect(unpackFields(tables.join, new DataView(data.buffer), data.byteOffset, data.byteOffset + data.length)).toEqual({ name: 'Ann' })
  })

  it('connect: a join resolves when the last chunks of both streams are in, and not before', async () => {
    const { server, joined } = await beginJoin()
    const [room, ownChunk] = snapshot(10, [thing(1, { hp: 8 })], 77)
    let isIn = false
    void joined.then(() => { isIn = true })
    server.say(welcome(), room)
    await new Promise((resolve) => { setImmediate(resolve) })
    expect(isIn).toBe(false)
    server.say(ownChunk)
    const { id, sessionId, status, position, globals, tables: { things: rows } } = await joined
    expect({ id, sessionId, status, position, count: globals.count, hp: rows.hp[1] }).toEqual({
      id: 'fake:main', sessionId: 'ann', status: 'live', position: { epoch, seq: 10 }, count: 77, hp: 8,
    })
  })

  it('connect: a Notice rejects the join with its code and text', async () => {
    const { server, joined } = await beginJoin()
    server.say(writeNotice('room-full', 'the room has no free seat'))
    server.close(4413)
    await expect(joined).rejects.toMatchObject({ code: 'room-full', message: 'room-full: the room has no free seat' })
  })

  it('connect: a close code alone rejects the join with the code it stands for', async () => {
    for (const [close, code] of [[4404, 'wrong-order'], [1006, 'connection-lost']] as const) {
      const { server, joined } = await beginJoin()
      server.close(close)
      expect(await codeOf(joined)).toBe(code)
    }
  })

  it('connect: a join without an answer ends with timeout', async () => {
    const { joined } = await beginJoin({ joinMs: 5 })
    expect(await codeOf(joined)).toBe('timeout')
  })

  it('connect: a broken snapshot ends the stay, instead of being asked for without end', async () => {
    const { server, joined } = await beginJoin()
    server.say(welcome(), section({ seq: 10, ranges: [[9, 1, 0, 1]] }), snapshot(10)[1])
    expect(await codeOf(joined)).toBe('bad-message')
  })

  it('connect: callbacks come when the whole frame is applied: despawned, spawned, changed, events, flush', async () => {
    const { server, room } = await joinFake([thing(1, { hp: 1 }), thing(2)])
    const { things: rows } = room.tables, calls: string[] = []
    const note = (call: string): void => { calls.push(`${call}, count ${room.globals.count}`) }
    room.onFlush(() => note('flush'))
    room.on('boom', ({ x }) => note(`boom ${x}`))
    rows.onChanged((row, fields) => note(`changed ${row} ${[...fields].join()}`))
    rows.onSpawned((row) => note(`spawned ${row}`))
    rows.onDespawned((row) => note(`despawned ${row}`))
    server.say(writeOwn({ ...own, sections: 2 }), section({
      seq: 11, prevSeq: 10, sets: [thing(3), setHp(1, 5), { table: things, what: 2, rows: [2] }],
      events: [[0, new Uint8Array(Float32Array.of(2).buffer)]],
    }))
    expect(calls).toEqual([])
    server.say(section({ seq: 11, prevSeq: 10, stream: ownStream, sets: [setCount(4)] }))
    expect(calls).toEqual(['despawned 2', 'spawned 3', 'changed 1 hp', 'boom 2', 'flush'].map((call) => `${call}, count 4`))
  })

  it('connect: a callback that throws is told on the console, and stops neither the others nor the stay', async () => {
    const { server, room } = await joinFake([thing(1)])
    const told = vi.spyOn(console, 'error').mockImplementation(() => {})
    let flushes = 0
    room.tables.things.onChanged(() => { throw new Error('mine') })
    room.onFlush(() => { throw new Error('mine too') })
    room.onFlush(() => { flushes++ })
    for (const seq of [11, 12]) server.say(section({ seq, prevSeq: seq - 1, sets: [setHp(1, seq)] }))
    expect([flushes, room.status, room.tables.things.hp[1], told.mock.calls.length]).toEqual([2, 'live', 12, 4])
  })

  it('connect: what was subscribed can be taken back', async () => {
    const { server, room } = await joinFake([thing(1)])
    let calls = 0
    const offs = [room.onFlush(() => { calls++ }), room.tables.things.onChanged(() => { calls++ }), room.on('boom', () => { calls++ })]
    for (const off of offs) off()
    server.say(section({ seq: 11, prevSeq: 10, sets: [setHp(1, 2)], events: [[0, new Uint8Array(4)]] }))
    expect(calls).toBe(0)
  })

  it('connect: mine is the row that the room names, in the player\'s table alone, while that very entity lives', async () => {
    const { server, room } = await joinFake([thing(5, { generation: 3 })])
    const { things: rows, cards } = room.tables
    expect(rows.mine).toBeUndefined()
    server.say(section({ seq: 11, prevSeq: 10, stream: ownStream, events: [ownRow(5, 3)] }))
    expect([rows.mine, cards.mine]).toEqual([5, undefined])
    server.say(section({ seq: 12, prevSeq: 10, sets: [{ table: things, what: 2, rows: [5] }] }))
    expect(rows.mine).toBeUndefined()
    server.say(section({ seq: 13, prevSeq: 12, sets: [thing(5, { generation: 4 })] }))
    expect(rows.mine).toBeUndefined()
    server.say(section({ seq: 14, prevSeq: 11, stream: ownStream, events: [ownRow(5, 4)] }))
    expect(rows.mine).toBe(5)
    server.say(section({ seq: 15, prevSeq: 14, stream: ownStream, events: [ownRow(0, 0, 0)] }))
    expect(rows.mine).toBeUndefined()
  })

  it('connect: an ask resolves when applied, and rejects with the room\'s code', async () => {
    const { server, room } = await joinFake()
    const asked = [room.ask('add', { by: 1 }), room.ask('add', { by: 2 }), room.ask('add', { by: 999 })].map(codeOf)
    expect(server.said.map((message) => message.kind)).toEqual(['input', 'input'])
    server.say(writeOwn({ ...own, lastInput: 2, nacks: [{ number: 2, code: 'not-your-turn', text: '' }] }))
    expect(await Promise.all(asked)).toEqual(['resolved', 'not-your-turn', 'bad-input'])
  })

  it('connect: a gap is resuming until the answer is in, and is asked for once', async () => {
    const { server, room } = await joinFake()
    const statuses: string[] = []
    room.onStatus((status) => statuses.push(status))
    for (const seq of [13, 14]) server.say(section({ seq, prevSeq: seq - 1, sets: [setCount(seq)] }))
    expect(server.said).toEqual([{ kind: 'resync', epoch, seq: 10 }])
    server.say(writeResynced({ kind: 1, epoch, seq: 20 }), snapshot(20, [], 20)[0])
    expect([room.status, room.globals.count]).toEqual(['resuming', 0])
    server.say(snapshot(20)[1])
    expect([room.status, room.globals.count, room.stats.resyncs, statuses]).toEqual(['live', 20, 1, ['resuming', 'live']])
  })

  it('connect: a snapshot that the server sends by itself is resuming too', async () => {
    const { server, room } = await joinFake()
    server.say(writeResynced({ kind: 1, epoch: epoch + 1, seq: 5 }))
    expect(room.status).toBe('resuming')
    server.say(...snapshot(5))
    expect(room.status).toBe('resuming')
    server.say(writeResynced({ kind: 1, epoch, seq: 5 }), ...snapshot(5))
    expect([room.status, room.position]).toEqual(['live', { epoch, seq: 5 }])
  })

  it('connect: a Resync that got no answer is asked again with the next ping', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    const { server } = await joinFake()
    server.say(section({ seq: 13, prevSeq: 12, sets: [] }))
    vi.advanceTimersByTime(2000)
    expect(server.said.map((message) => message.kind)).toEqual(['resync', 'ping', 'resync'])
    server.say(writeResynced({ kind: 0, epoch, seq: 13 }))
    vi.advanceTimersByTime(2000)
    expect(server.said.map((message) => message.kind)).toEqual(['resync', 'ping', 'resync', 'ping'])
  })

  it('connect: a section that does not fit is told on the console, and the state is fetched anew', async () => {
    const { server, room } = await joinFake([], {})
    const told = vi.spyOn(console, 'warn').mockImplementation(() => {})
    server.say(section({ seq: 11, prevSeq: 10, ranges: [], sets: [{ table: 9, what: 1, rows: [1] }] }))
    expect([told.mock.calls.length, room.status, server.said]).toEqual([1, 'resuming', [{ kind: 'resync', epoch: 0, seq: 0 }]])
  })

  it('connect: a state hash that differs is counted, names table and column, and is mended by a snapshot', async () => {
    const { server, room } = await joinFake([thing(1, { hp: 4 })], { verify: true })
    const told = vi.spyOn(console, 'warn').mockImplementation(() => {})
    server.say(section({ seq: 11, prevSeq: 10, sets: [setHp(1, 5)], hashes: [[things, 1, 99]] }))
    expect(told.mock.calls).toEqual([['kasagi: state differs from the room\'s in things.hp']])
    expect([room.stats.hashMismatches, room.status, server.said]).toEqual([1, 'resuming', [{ kind: 'resync', epoch: 0, seq: 0 }]])
    server.say(writeResynced({ kind: 1, epoch, seq: 11 }), ...snapshot(11, [thing(1, { hp: 5 })]))
    expect([room.status, room.tables.things.hp[1]]).toEqual(['live', 5])
  })

  it('connect: what is broken or unknown is skipped without a word', async () => {
    const { server, room } = await joinFake()
    const broken = writeOwn({ ...own, nacks: [{ number: 1, code: 'x', text: '' }] })
    broken.fill(255, 8, 24)
    server.say(broken, new Uint8Array(0), new Uint8Array([1, 2, 3]), new TextEncoder().encode('....KNEW a message of the future'))
    expect(room.status).toBe('live')
  })

  it('connect: stats count what came, and a pong tells the round trip', async () => {
    const { server, room } = await joinFake()
    const before = room.stats.bytesIn, message = section({ seq: 11, prevSeq: 10, sets: [setCount(1)], missedEvents: 2 })
    server.say(message, writePong({ sent: performance.now() - 30, serverMs: 1, tickMs: 0.5 }))
    const { bytesIn, frames, missedEvents, pingMs, tickMs } = room.stats
    expect({ frames, missedEvents, tickMs }).toEqual({ frames: 1, missedEvents: 2, tickMs: 0.5 })
    expect(bytesIn).toBeGreaterThan(before + message.byteLength)
    expect(pingMs).toBeGreaterThanOrEqual(30)
  })

  it('connect: whoever comes back says what it has, the first input that it still holds, and the last one that it has sent', async () => {
    const { server, joined } = await beginJoin()
    server.say(welcome({ token: 'secret' }), ...snapshot(10))
    const room = await joined
    for (let by = 0; by < 4; by++) room.send('add', { by })
    server.say(writeOwn({ ...own, nacks: [1, 4].map((number) => ({ number, code: 'expired', text: '' })) }))
    server.said.length = 0
    server.close(1006)
    await vi.waitFor(() => expect(server.said).toHaveLength(1))
    expect(server.said[0]).toMatchObject({ kind: 'join', resume: { token: 'secret', epoch, seq: 10, firstHeld: 2, lastSent: 4 } })
  })

  it('connect: a room that is detached says so until it is attached again, and nothing ends', async () => {
    const { server, room } = await joinFake()
    const told: unknown[] = []
    room.onStatus((status, code) => told.push([status, code, room.detached]))
    expect(room.detached).toBe(false)
    for (const code of ['attached', 'detached', 'detached']) server.say(writeNotice(code, 'in words'))
    server.say(section({ seq: 11, prevSeq: 10, sets: [setCount(4)] }))
    expect([room.status, room.detached, room.globals.count]).toEqual(['live', true, 4])
    for (const code of ['attached', 'attached']) server.say(writeNotice(code, ''))
    expect([room.status, told]).toEqual(['live', [['detached', undefined, true], ['attached', undefined, false]]])
    server.close(4421)
    expect(told.at(-1)).toEqual(['closed', 'room-closed', false])
  })

  it('connect: detached is said behind a Welcome, and each Welcome begins without it', async () => {
    const { server, joined } = await beginJoin()
    server.say(welcome({ token: 'secret' }), writeNotice('detached', ''), ...snapshot(10))
    const room = await joined
    expect(room.detached).toBe(true)
    const told: string[] = []
    room.onStatus((status, code) => told.push(code === undefined ? status : `${status} ${code}`))
    server.said.length = 0
    server.close(1006)
    expect(room.detached).toBe(true)
    await vi.waitFor(() => expect(server.said).toHaveLength(1))
    server.say(welcome({ token: 'secret' }), writeResynced({ kind: 0, epoch, seq: 10 }))
    expect([room.detached, told]).toEqual([false, ['resuming connection-lost', 'attached', 'live']])
  })

  it('connect: whoever finds nobody who runs the room comes back, and whoever needs an update does not', async () => {
    const { server, room } = await joinFake()
    server.said.length = 0
    server.say(writeNotice('no-owner', ''))
    server.close(4424)
    expect(room.status).toBe('resuming')
    await vi.waitFor(() => expect(server.said).toHaveLength(1))
    server.say(writeNotice('update-required', ''))
    server.close(4408)
    expect(room.status).toBe('closed')
  })

  it('connect: leave says so, and resolves when the connection is closed', async () => {
    const { server, room } = await joinFake()
    const statuses: unknown[] = []
    room.onStatus((status, code) => statuses.push([status, code]))
    const left = room.leave()
    expect(server.said).toEqual([{ kind: 'leave' }])
    server.say(writeNotice('left', ''))
    server.close(4420)
    await left
    expect([room.status, statuses]).toEqual(['closed', [['closed', 'left']]])
    await room.leave()
  })

  it('connect: whoever says goodbye to a connection that is being lost has left, and does not come back', async () => {
    const { server, room } = await joinFake()
    const left = room.leave()
    server.close(1006)
    await left
    expect(room.status).toBe('closed')
  })

  it('connect: when the stay ends, whoever still asks hears why, and nothing more can be sent', async () => {
    const { server, room } = await joinFake()
    const asked = codeOf(room.ask('add', { by: 1 }))
    server.say(writeNotice('room-closed', ''))
    server.close(4421)
    expect(await asked).toBe('room-closed')
    expect(() => room.send('add', { by: 1 })).toThrow('room-closed')
    expect(await codeOf(room.ask('add', { by: 1 }))).toBe('room-closed')
  })
})
