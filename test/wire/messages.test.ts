import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readClientMessage, writeInput, writeJoin, writeLeave, writePing, writeReady, writeResync, writeSkip } from '../../src/wire/client-messages.js'
import { readServerMessage, writeNotice, writeOwn, writeOwnInto, writePong, writeResynced, writeWelcome } from '../../src/wire/server-messages.js'

const far = 2 ** 44 + 12_345
const join = { schema: 'arena', schemaHash: 77, name: 'Räume', open: 2, join: new Uint8Array([1, 2]), options: new Uint8Array([3]) }
// What a client says that has sent nothing of what it holds, and one of before `last_sent`.
const resume = { token: 'secret', epoch: far, seq: far + 2, firstHeld: 17, lastSent: 16 }
const full = { ...join, match: new Uint8Array([1, 9]), userToken: 'a.b.c', resume }
const welcome = {
  epoch: far, seq: far + 1, parentEpoch: far + 2, forkSeq: far + 3, tick: 4, tickHz: 30, flushHz: 15, roomId: 'arena:main', sessionId: 's', slot: 5,
  lastInput: 6, schemaHash: 7, schema: '{}', token: 't', generation: 8,
}
const own = { epoch: far, seq: far + 1, durableSeq: far + 2, lastInput: 3, wanted: 4, sections: 5 }
const nacks = [{ number: 9, code: 'not-your-turn', text: 'wait' }, { number: 10, code: 'x', text: '' }]

/** Every message once: what released clients and servers exchange. */
const messages: Record<string, Uint8Array> = {
  join: writeJoin(join), 'join-resume': writeJoin(full), 'join-last-sent': writeJoin({ ...full, resume: { ...resume, lastSent: 21 } }), input: writeInput(3, 4, new Uint8Array([5, 6, 7])), resync: writeResync(far, far + 1), leave: writeLeave(), ping: writePing(1.5), ready: writeReady(2), skip: writeSkip(3),
  welcome: writeWelcome(welcome), own: writeOwn(own), 'own-with-nacks': writeOwn({ ...own, nacks }), notice: writeNotice('room-full', 'no seat'), resynced: writeResynced({ kind: 1, epoch: far, seq: 2 }), pong: writePong({ sent: 1, serverMs: 2, tickMs: 0.5 }),
}

describe('messages', () => {
  it('messages: clients\' messages are read as written', () => {
    expect(readClientMessage(messages.join)).toEqual({ kind: 'join', protocol: 1, ...join, match: new Uint8Array(0), userToken: undefined, resume: undefined })
    expect(readClientMessage(messages['join-resume'])).toEqual({ kind: 'join', protocol: 1, ...full })
    expect(readClientMessage(messages['join-last-sent'])).toEqual({ kind: 'join', protocol: 1, ...full, resume: { ...resume, lastSent: 21 } })
    expect(readClientMessage(messages.input)).toEqual({ kind: 'input', number: 3, input: 4, data: new Uint8Array([5, 6, 7]) })
    expect(readClientMessage(messages.resync)).toEqual({ kind: 'resync', epoch: far, seq: far + 1 })
    expect([messages.leave, messages.ping, messages.ready, messages.skip].map(readClientMessage)).toEqual([{ kind: 'leave' }, { kind: 'ping', sent: 1.5 }, { kind: 'ready', generation: 2 }, { kind: 'skip', to: 3 }])
  })

  it('messages: servers\' messages are read as written', () => {
    expect(readServerMessage(messages.welcome)).toEqual({ kind: 'welcome', welcome })
    expect(readServerMessage(messages.own)).toEqual({ kind: 'own', own: { ...own, nacks: [] } })
    expect(readServerMessage(messages['own-with-nacks'])).toEqual({ kind: 'own', own: { ...own, nacks } })
    expect(readServerMessage(messages.notice)).toEqual({ kind: 'notice', code: 'room-full', text: 'no seat' })
    expect(readServerMessage(messages.resynced)).toEqual({ kind: 'resynced', resynced: { kind: 1, rewound: false, epoch: far, seq: 2 } })
    expect(readServerMessage(messages.pong)).toEqual({ kind: 'pong', pong: { sent: 1, serverMs: 2, tickMs: 0.5 } })
  })

  it('messages: an Own written without garbage is the Own that the builder writes', () => {
    fc.assert(fc.property(fc.nat(2 ** 31), fc.nat(), fc.nat(), fc.nat(), fc.nat(), fc.nat(9), (epoch, seq, durableSeq, lastInput, wanted, sections) => {
      const message = { epoch: epoch * 4096, seq, durableSeq, lastInput, wanted, sections }, target = new Uint8Array(256)
      expect(readServerMessage(target.slice(0, writeOwnInto(target, message)))).toEqual({ kind: 'own', own: { ...message, nacks: [] } })
    }))
  })

  it('messages: the bytes of each are those that were released', () => {
    const folder = 'test/wire/golden'
    mkdirSync(folder, { recursive: true })
    for (const [name, bytes] of Object.entries(messages)) {
      const file = `${folder}/${name}.hex`, hex = Buffer.from(bytes).toString('hex')
      if (!existsSync(file) && process.env.GOLDEN === 'write') writeFileSync(file, `${hex}\n`)
      expect(`${hex}\n`, file).toBe(readFileSync(file, 'utf8'))
    }
  })

  it('messages: 100,000 mutated frames are read or refused, never thrown at, each within milliseconds', () => {
    const originals = ['join', 'join-last-sent', 'input', 'resync', 'leave', 'ping', 'ready', 'skip'].map((name) => messages[name])
    let slowest = new Uint8Array(0), slowestMs = 0, read = 0
    fc.assert(fc.property(
      fc.constantFrom(...originals), fc.array(fc.record({ at: fc.nat(200), to: fc.constantFrom(0, 1, 4, 127, 128, 255), wide: fc.boolean() }), { minLength: 1, maxLength: 6 }), fc.nat(200),
      (original, changes, cut) => {
        const bytes = original.slice(0, cut < 40 ? cut : original.length)
        for (const { at, to, wide } of changes) {
          if (bytes.length === 0) break
          bytes[at % bytes.length] = to
          if (wide) bytes.fill(to, at % bytes.length, at % bytes.length + 4)
        }
        const began = performance.now()
        if (readClientMessage(bytes) !== undefined) read++
        const tookMs = performance.now() - began
        if (tookMs > slowestMs) { slowestMs = tookMs; slowest = bytes }
      },
    ), { numRuns: 100_000, seed: Number(process.env.SEED ?? 1) })
    expect(read).toBeGreaterThan(100)
    // Whatever took longest is read again: what it costs is its fastest time, not a pause of the machine.
    const again = Array.from({ length: 5 }, () => { const began = performance.now(); readClientMessage(slowest); return performance.now() - began })
    expect(Math.min(...again)).toBeLessThan(5)
  })
})
