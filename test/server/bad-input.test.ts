/** What bad input gets: a code, a counter, few log lines, and no effect on anybody else. Raw sockets against a real engine. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { connect, type ClientRoom } from 'kasagi-engine/client'
import { errorList, type ErrorCode } from '../../src/base/errors.js'
import { nextInt, seedPrng } from '../../src/base/prng.js'
import { writeInput, writeJoin, writeLeave, writePing, writeResync, writeSkip } from '../../src/wire/client-messages.js'
import { readServerMessage } from '../../src/wire/server-messages.js'
import { counter } from '../../examples/counter/shared/counter.js'
import { startTestEngine, until, type TestEngine } from '../support/engine.js'

const join = (change: Partial<Parameters<typeof writeJoin>[0]> = {}): Uint8Array =>
  writeJoin({ schema: 'counter', schemaHash: 0, name: 'main', open: 0, join: new Uint8Array(0), options: new Uint8Array(0), ...change })

describe('bad input', () => {
  let server: TestEngine, neighbour: ClientRoom<typeof counter>
  beforeAll(async () => {
    server = await startTestEngine('examples/counter')
    neighbour = await connect(server.url).join(counter, { name: 'main' })
  })
  afterAll(() => server.stop())

  /** Sends messages one after the other; gives the close code and the notices. */
  const say = (messages: readonly (Uint8Array | string)[], headers: Record<string, string> = {}): Promise<{ close: number; codes: string[] }> => new Promise((resolve, reject) => {
    const socket = new WebSocket(server.url, { headers }), codes: string[] = []
    socket.on('open', () => { for (const message of messages) socket.send(message) })
    socket.on('message', (data: Buffer) => {
      const said = readServerMessage(new Uint8Array(data))
      if (said?.kind === 'notice') codes.push(said.code)
      for (const nack of said?.kind === 'own' ? said.own.nacks ?? [] : []) { codes.push(nack.code); socket.close() }
      if (said?.kind === 'own' && said.own.wanted > 0) { codes.push(`wanted ${said.own.wanted}`); socket.close() }
    })
    socket.on('close', (close) => resolve({ close, codes }))
    socket.on('error', reject)
  })

  const cases: [string, readonly (Uint8Array | string)[], ErrorCode][] = [
    ['a text message', ['hello'], 'text-message'],
    ['random bytes', [new Uint8Array(40).fill(7)], 'bad-message'],
    ['an empty message', [new Uint8Array(0)], 'bad-message'],
    ['a truncated join', [join().subarray(0, 60)], 'bad-message'],
    ['an oversized message', [new Uint8Array(9000)], 'too-large'],
    ['an input before the join', [writeInput(1, 0, new Uint8Array(1))], 'wrong-order'],
    ['a leave before the join', [writeLeave()], 'wrong-order'],
    ['a resync before the join', [writeResync(1, 1)], 'wrong-order'],
    ['a second join', [join(), join()], 'wrong-order'],
    ['an unknown room type', [join({ schema: 'nothing' })], 'unknown-type'],
    ['another schema', [join({ schemaHash: 12345 })], 'schema-mismatch'],
    ['a room name with control characters', [join({ name: 'a\u0007b' })], 'bad-room-name'],
    ['an empty room name', [join({ name: '' })], 'bad-room-name'],
    ['a room name of 200 letters', [join({ name: 'x'.repeat(200) })], 'bad-room-name'],
    ['a room name whose letters are four bytes each', [join({ name: '😀'.repeat(64) })], 'bad-room-name'],
    ['a room id of 10 kB', [join({ name: 'x'.repeat(10_000) })], 'too-large'],
    ['join data that do not fit', [join({ join: new Uint8Array(9) })], 'bad-join'],
    ['no room where none is open', [join({ name: 'absent', open: 1 })], 'room-absent'],
  ]
  for (const [what, messages, code] of cases) {
    it(`bad input: ${what} is answered with ${code}`, async () => {
      const { close, codes } = await say(messages)
      expect(codes).toContain(code)
      expect(close).toBe(errorList[code].close)
    })
  }

  const started = [join({ name: 'other' })]
  const after = (message: Uint8Array): Promise<{ close: number; codes: string[] }> => new Promise((resolve, reject) => {
    const socket = new WebSocket(server.url), codes: string[] = []
    socket.on('open', () => socket.send(started[0]))
    socket.on('message', (data: Buffer) => {
      const said = readServerMessage(new Uint8Array(data))
      if (said?.kind === 'welcome') socket.send(message)
      if (said?.kind !== 'own') return
      for (const { code } of said.own.nacks ?? []) codes.push(code)
      if (said.own.wanted > 0) codes.push(`wanted ${said.own.wanted}`)
      if (codes.length > 0) socket.close()
    })
    socket.on('close', (close) => resolve({ close, codes }))
    socket.on('error', reject)
  })

  it('bad input: an unknown input, and data that do not fit, are refused; the connection goes on', async () => {
    expect((await after(writeInput(1, 9, new Uint8Array(1)))).codes).toEqual(['unknown-input'])
    expect((await after(writeInput(1, 0, new Uint8Array(5)))).codes).toEqual(['bad-input'])
    expect((await after(writeInput(1, 0, new Uint8Array(0)))).codes).toEqual(['bad-input'])
  })

  it('bad input: a hole in the numbers is answered with the number that is wanted', async () => {
    expect((await after(writeInput(7, 0, new Uint8Array(1)))).codes).toEqual(['wanted 1'])
  })

  it('bad input: a hole is answered once, and Skip closes it', async () => {
    const socket = new WebSocket(server.url), said: string[] = []
    socket.on('open', () => socket.send(join({ name: 'holes' })))
    socket.on('message', (data: Buffer) => {
      const message = readServerMessage(new Uint8Array(data))
      if (message?.kind === 'welcome') for (const number of [5, 6, 7]) socket.send(writeInput(number, 0, new Uint8Array(1)))
      if (message?.kind !== 'own') return
      said.push(message.own.wanted > 0 ? `wanted ${message.own.wanted}` : `applied ${message.own.lastInput}`)
      if (message.own.wanted > 0) { socket.send(writeSkip(5)); socket.send(writeInput(5, 0, new Uint8Array(1))) }
      else socket.close()
    })
    await new Promise((resolve) => { socket.on('close', resolve) })
    expect(said).toEqual(['wanted 1', 'applied 5'])
  })

  it('bad input: foreign origins, null and look-alikes are refused before the upgrade', async () => {
    for (const origin of ['https://evil.example', 'null', `http://127.0.0.1:${server.engine.port}.evil.example`, 'file://']) {
      await expect(say([join()], { Origin: origin })).rejects.toThrow('403')
    }
    expect(await server.metric('kasagi_origins_refused_total')).toBe(4)
    await expect(say([writeLeave()], { Origin: `http://127.0.0.1:${server.engine.port}` })).resolves.toBeDefined()
  })

  it('bad input: a flood ends its connection, and costs at most a few log lines', async () => {
    const linesBefore = server.lines.length
    const { codes } = await say([join(), ...Array.from({ length: 3000 }, () => writePing(1))])
    expect(codes).toContain('flood')
    expect(server.lines.length - linesBefore).toBeLessThanOrEqual(2)
  })

  it('bad input: mutated messages never end anything but their own connection', async () => {
    const seed = Number(process.env.SEED ?? 77), state = new Uint32Array(4)
    seedPrng(state, seed)
    const originals = [join({ name: 'fuzz' }), writeInput(1, 0, new Uint8Array(1)), writeResync(5, 6), writePing(3), writeLeave()]
    for (let n = 0; n < 300; n++) {
      const message = originals[nextInt(state, originals.length)].slice()
      for (let k = nextInt(state, 4); k >= 0; k--) message[nextInt(state, message.length)] = nextInt(state, 256)
      const cut = nextInt(state, 3) === 0 ? message.subarray(0, nextInt(state, message.length)) : message
      const socket = new WebSocket(server.url)
      await new Promise((resolve) => { socket.on('open', () => { socket.send(cut); setTimeout(() => socket.close(), 1) }); socket.on('close', resolve); socket.on('error', resolve) })
    }
    await neighbour.ask('add', { by: 1 })
    expect(neighbour.status, `SEED=${seed}`).toBe('live')
    expect(await server.metric('kasagi_worker_deaths_total')).toBe(0)
    await until(async () => await server.metric('kasagi_connections') === 1, 'only the neighbour is connected')
  })
})
