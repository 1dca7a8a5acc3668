/**
 * 100,000 broken messages against all that receives them: session, rings, inbox and room of a real engine, in which a neighbour ticks. A failure
 * names fast-check's seed and path; SEED= takes the former.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { ClientRoom } from '../../src/client/client-room.js'
import { errorList } from '../../src/base/errors.js'
import { connectWith } from '../../src/client/connect.js'
import type { Client } from '../../src/server/client.js'
import { bool, choice, defineSchema, f32, f64, i8, json, list, optional, quantized, ref, table, text, u16, u32, u64, u8 } from '../../src/schema/index.js'
import { fullTablesOf } from '../../src/schema/tables-of.js'
import { readClientMessage, writeInput, writeJoin, writeLeave, writePing, writeReady, writeResync, writeSkip, type JoinFields } from '../../src/wire/client-messages.js'
import { packMatch, packToBytes } from '../../src/wire/fields.js'
import { readServerMessage, type WelcomeMessage } from '../../src/wire/server-messages.js'
import { until } from '../support/engine.js'
import { heapUsedBytes } from '../support/heap.js'
import type { LoopSocket } from '../support/loop-sockets.js'
import { startLoopbackEngine, type LoopbackEngine } from '../support/loopback.js'
import { changes, everyField, mutate } from './mutations.js'

vi.mock('../../src/server/listen.js', () => import('../support/loop-sockets.js'))

const fields = {
  globals: { heard: u32 },
  tables: { guests: table({ name: text(24) }, { capacity: 2000 }) },
  inputs: {
    plain: { by: i8 }, nothing: {},
    all: { line: text(24), tags: list(u8, 8), note: json(40), big: u64, maybe: optional(text(8)), mood: choice('calm', 'loud'), on: bool, x: quantized(0, 10, 0.1), f: f32, d: f64, who: ref('guests') },
  },
  join: { name: text(24), tags: list(text(4), 3), extra: json(40) },
  options: { size: u16, names: list(text(8), 4), seed: u64, mood: optional(choice('a', 'b')) },
  listing: { region: text(8), stake: optional(u64), tags: list(u64, 3) },
}
const fieldsText = `{
  globals: { heard: u32 }, tables: { guests: table({ name: text(24) }, { capacity: 2000 }) },
  inputs: { plain: { by: i8 }, nothing: {}, all: { line: text(24), tags: list(u8, 8), note: json(40), big: u64, maybe: optional(text(8)), mood: choice('calm', 'loud'), on: bool, x: quantized(0, 10, 0.1), f: f32, d: f64, who: ref('guests') } },
  join: { name: text(24), tags: list(text(4), 3), extra: json(40) }, options: { size: u16, names: list(text(8), 4), seed: u64, mood: optional(choice('a', 'b')) },
  listing: { region: text(8), stake: optional(u64), tags: list(u64, 3) } }`
/** The same twice: one room for many, and small ones that every join may open. */
const hall = defineSchema('hall', fields)
const clock = defineSchema('clock', { globals: { ticks: u32 } })
const imports = 'bool, choice, defineSchema, f32, f64, i8, json, list, optional, quantized, ref, table, text, u16, u32, u64, u8'
// A value that is none of its field throws, and is counted.
const roomText = (type: string, maxSessions: number): string => `import { defineRoom } from 'kasagi-engine'
import { ${type} } from '../shared/${type}.js'
const check = (holds) => { if (!holds) throw new Error('a handler was given a value that is none of its field') }
const isText = (value, bytes) => typeof value === 'string' && Buffer.byteLength(value) <= bytes
export default defineRoom(${type}, { tickHz: 0, graceMs: 100, keepMs: 50, maxSessions: ${maxSessions}, durability: 'none',
  onCreate({ options, listing }) {
    check(Number.isInteger(options.size) && options.size >= 0 && options.size < 65536 && options.names.every((name) => isText(name, 8)) && typeof options.seed === 'bigint' && [null, 'a', 'b'].includes(options.mood))
    check(isText(listing.region, 8) && (listing.stake === null || typeof listing.stake === 'bigint') && listing.tags.length <= 3)
  },
  onJoin(room, session, { name, tags, extra }) {
    check(isText(name, 24) && tags.length <= 3 && tags.every((tag) => isText(tag, 4)) && JSON.stringify(extra).length <= 40)
    room.tables.guests.spawn({ name }, { owner: session })
  },
  onLeave(room) { for (const row of room.tables.guests.rows()) room.tables.guests.despawn(row) },
  onInput: {
    plain(room, _, { by }) { check(Number.isInteger(by) && by >= -128 && by < 128); room.globals.heard++ },
    nothing(room) { room.globals.heard++ },
    all(room, _, { line, tags, note, big, maybe, mood, on, x, f, d, who }) {
      check(isText(line, 24) && tags.length <= 8 && JSON.stringify(note).length <= 40 && typeof big === 'bigint' && (maybe === null || isText(maybe, 8)) && ['calm', 'loud'].includes(mood))
      check(typeof on === 'boolean' && x >= 0 && x <= 10.001 && Number.isFinite(f) && Number.isFinite(d) && (who === null || who >= 0))
      room.globals.heard++
    } } })`
const schemaText = (type: string): string => `import { ${imports} } from 'kasagi-engine/schema'\nexport const ${type} = defineSchema('${type}', ${fieldsText})`
const files = {
  'shared/hall.ts': schemaText('hall'), 'rooms/hall.ts': roomText('hall', 2000), 'shared/booth.ts': schemaText('booth'), 'rooms/booth.ts': roomText('booth', 4),
  'shared/clock.ts': "import { defineSchema, u32 } from 'kasagi-engine/schema'\nexport const clock = defineSchema('clock', { globals: { ticks: u32 } })",
  'rooms/clock.ts': "import { defineRoom } from 'kasagi-engine'\nimport { clock } from '../shared/clock.js'\nexport default defineRoom(clock, { tickHz: 50, durability: 'none', onTick(room) { room.globals.ticks++ } })",
}

const tables = fullTablesOf(hall, [])
const joinData = packToBytes(tables.join, { name: 'ann', tags: ['a', 'bcd'], extra: { a: [1, null] } })
const options = packToBytes(tables.options, { size: 3, names: ['one', 'two'], seed: 5n, mood: 'b' })
const match = packMatch(tables.listing, { region: 'eu', stake: 5n, tags: [1n, 2n] })
const all = packToBytes(tables.inputs[2].fields, { line: 'hello', tags: [1, 2, 3], note: { a: 1 }, big: 7n, maybe: 'so', mood: 'loud', on: true, x: 3, f: 1.5, d: -2.5, who: 7 })
const booth = { schema: 'booth', name: undefined }
const joinMessage = (change: Partial<JoinFields> = {}): Uint8Array => writeJoin({ schema: 'hall', schemaHash: 0, name: 'main', open: 0, join: joinData, options, ...change })

/** What a connection has said before: nothing, a join that is not yet answered, or one that is. */
type State = 'new' | 'joining' | 'live'
interface Said { readonly state: State; readonly bytes: Uint8Array }

/** A few milliseconds: what one message may take at most. */
const messageMsMax = 5
const batchSize = 64

describe('hostile: clients\' messages', () => {
  let server: LoopbackEngine, neighbour: ClientRoom<typeof clock>, echo: ClientRoom<typeof hall>, token: string, missed = 0
  const live: LoopSocket[] = []

  let freeBytes = 0, heldBytes = 0, holder: LoopSocket, firstMs = 0
  const ticks: number[] = []

  beforeAll(async () => {
    server = await startLoopbackEngine(files, ['--inputs-per-second', '1000000'])
    neighbour = await connectWith(server.open, 'ws://loopback').join(clock, { name: 'neighbour' })
    firstMs = performance.now()
    neighbour.onFlush(() => ticks.push(neighbour.globals.ticks))
    echo = await connectWith(server.open, 'ws://loopback').join(hall, { name: 'echo', join: { name: 'echo' } })
    freeBytes = await server.metric('kasagi_arena_free_bytes')
    token = (await joined({})).token
  })
  afterAll(() => server.stop())

  /** A connection that has joined, and the Welcome that it got. */
  const joined = async (change: Partial<JoinFields>): Promise<WelcomeMessage> => {
    let welcome: WelcomeMessage | undefined
    holder = server.connect((bytes) => {
      const said = readServerMessage(bytes)
      if (said?.kind === 'welcome') welcome = said.welcome
    })
    holder.say(joinMessage(change))
    await until(() => welcome !== undefined, 'a client is welcome')
    return welcome!
  }
  const ignore = (): void => {}
  const stateOf = (socket: LoopSocket): string => (socket.data as Client).state

  /** A connection in this state; live ones are made many at a time. */
  const clientIn = async (state: State): Promise<LoopSocket> => {
    if (state === 'live') {
      while (live.length === 0) {
        const sockets = Array.from({ length: batchSize }, () => server.connect(ignore))
        for (const socket of sockets) socket.say(joinMessage())
        // One or the other may find no seat, because those who were cut are still waited for.
        await until(() => sockets.every((socket) => ['live', 'gone'].includes(stateOf(socket))), 'all are in, or told why not')
        live.push(...sockets.filter(({ isOpen }) => isOpen))
      }
      return live.pop()!
    }
    const socket = server.connect(ignore)
    if (state === 'joining') socket.say(joinMessage())
    return socket
  }

  /** How long the engine was busy with this message. */
  const timed = (socket: LoopSocket, bytes: Uint8Array): number => {
    const began = performance.now()
    socket.say(bytes)
    return performance.now() - began
  }

  /** Every second one says goodbye, the others are lost. */
  const part = (sockets: readonly LoopSocket[]): void => sockets.forEach((socket, n) => {
    if (n % 2 === 0 && stateOf(socket) !== 'new') socket.say(writeLeave())
    socket.cut()
  })

  const missedTicks = (): Promise<number> => server.metric('kasagi_ticks_missed_total')

  /** Resolves when the worker has heard all that was said to it so far. */
  const heard = async (suspects: () => string): Promise<void> => {
    let late: NodeJS.Timeout | undefined
    const silence = new Promise<never>((_, reject) => { late = setTimeout(() => reject(new Error(`the worker is silent behind one of these:\n${suspects()}`)), 5000) })
    await Promise.race([echo.ask('plain', { by: 1 }), silence]).finally(() => clearTimeout(late))
    if (await server.metric('kasagi_worker_deaths_total') > 0) throw new Error(`${server.lines.map(({ text }) => text).join('\n')}\nthe worker died of one of these:\n${suspects()}`)
  }

  /** Nothing that was said may have ended the worker, or have kept its other room from ticking. */
  const settle = async (batch: readonly Said[], sockets: readonly LoopSocket[]): Promise<void> => {
    part(sockets)
    const suspects = (): string => batch.filter(({ bytes }) => readClientMessage(bytes) !== undefined).map(({ state, bytes }) => `${state} ${Buffer.from(bytes).toString('hex')}`).join('\n')
    await heard(suspects)
    // A pause of the machine makes a tick late as well; what messages do, they do again.
    for (let again = 0, now = await missedTicks(); now > missed; again++) {
      if (again === 5) throw new Error(`a neighbour misses ticks because of one of these:\n${suspects()}`)
      missed = now
      const clients: LoopSocket[] = []
      for (const { state, bytes } of batch) { const client = await clientIn(state); clients.push(client); client.say(bytes) }
      part(clients)
      await heard(suspects)
      now = await missedTicks()
    }
  }

  /** Says what `cases` makes up, one message a run; `first` before all else. Gives how many were read. */
  const attack = async (cases: fc.Arbitrary<Said>, first: readonly Said[], count: number): Promise<number> => {
    const slow: Said[] = []
    let batch: Said[] = [], sockets: LoopSocket[] = [], read = 0
    await fc.assert(fc.asyncProperty(cases, async (said) => {
      const socket = await clientIn(said.state)
      if (timed(socket, said.bytes) > messageMsMax) slow.push(said)
      if (readClientMessage(said.bytes) !== undefined) read++
      batch.push(said)
      sockets.push(socket)
      if (batch.length < batchSize) return
      const [sent, open] = [batch, sockets]
      batch = []
      sockets = []
      await settle(sent, open)
    }), { numRuns: count, examples: first.map((said) => [said]), seed: Number(process.env.SEED ?? Date.now() % 0x7fff_ffff) })
    await settle(batch, sockets)
    // The machine pauses now and then; a message that is slow is so again.
    for (const { state, bytes } of slow) {
      let leastMs = Infinity
      for (let n = 0; n < 5; n++) {
        const socket = await clientIn(state)
        leastMs = Math.min(leastMs, timed(socket, bytes))
        socket.cut()
      }
      expect(leastMs, `${state} ${Buffer.from(bytes).toString('hex')}`).toBeLessThan(messageMsMax)
    }
    return read
  }

  const ofState = (state: State, messages: readonly Uint8Array[]): Said[] => messages.map((bytes) => ({ state, bytes: bytes.slice() }))

  it('hostile: 100,000 broken messages of every kind, each offset and length among them: nothing throws, nothing takes long, no neighbour misses a tick', async () => {
    const { epoch, seq } = echo.position
    const resume = { token, epoch, seq, firstHeld: 1, lastSent: 0 }
    const input = writeInput(1, 2, all), later = [input, writeInput(1, 0, new Uint8Array(1)), writeResync(epoch, seq), writePing(1.5), writeLeave(), writeReady(1), writeSkip(3), joinMessage()]
    const known = [
      ...ofState('new', [joinMessage(), joinMessage({ ...booth, match }), joinMessage({ resume }), joinMessage({ userToken: 'a.b.c' }), input, writePing(1.5)]), ...ofState('live', later),
    ]
    const fieldByField = known.flatMap(({ state, bytes }) => everyField(bytes.length).map((change) => ({ state, bytes: mutate(bytes, [change]) })))
    const cases = fc.tuple(fc.constantFrom(...known, ...ofState('joining', later)), changes).map(([{ state, bytes }, list]): Said => ({ state, bytes: mutate(bytes, list) }))
    const read = await attack(cases, fieldByField, 100_000)
    expect([fieldByField.length > 15_000, read > 10_000, read < 90_000], `${fieldByField.length} fields, ${read} read`).toEqual([true, true, true])
    heldBytes = heapUsedBytes()
  }, 300_000)

  it('hostile: what whole messages carry is read or refused: 20,000 inputs, joins, options, matches and resumes', async () => {
    const broken = (whole: Uint8Array): fc.Arbitrary<Uint8Array> => fc.oneof(changes.map((list) => mutate(whole, list)), fc.uint8Array({ maxLength: 80 }))
    const number = fc.oneof(fc.constantFrom(0, 1, 2 ** 31, 2 ** 32 - 1), fc.nat(5)), wide = fc.oneof(fc.constantFrom(0, 2 ** 32, 2 ** 53 - 1, 2 ** 63), fc.nat())
    const said = (state: State) => (bytes: Uint8Array): Said => ({ state, bytes: bytes.slice() })
    const cases = fc.oneof(
      { weight: 10, arbitrary: fc.tuple(fc.oneof(fc.constant(1), number), fc.oneof(fc.constant(2), fc.nat(4), fc.constant(0xffff)), broken(all)).map(([n, index, data]) => writeInput(n, index, data)).map(said('live')) },
      { weight: 4, arbitrary: broken(joinData).map((join) => joinMessage({ join })).map(said('new')) },
      { weight: 4, arbitrary: broken(match).map((bytes) => joinMessage({ ...booth, match: bytes })).map(said('new')) },
      { weight: 1, arbitrary: broken(options).map((bytes) => joinMessage({ ...booth, open: 2, options: bytes })).map(said('new')) },
      { weight: 4, arbitrary: fc.tuple(broken(new TextEncoder().encode(token)), wide, wide, number, number).map(([bytes, epoch, seq, firstHeld, lastSent]) => joinMessage({ resume: { token: Buffer.from(bytes).toString('latin1'), epoch, seq, firstHeld, lastSent } })).map(said('new')) },
      { weight: 4, arbitrary: fc.tuple(wide, wide, number, number).map(([epoch, seq, firstHeld, lastSent]) => joinMessage({ resume: { token, epoch, seq, firstHeld, lastSent } })).map(said('new')) },
      { weight: 2, arbitrary: fc.tuple(wide, wide).map(([epoch, seq]) => writeResync(epoch, seq)).map(said('live')) },
      { weight: 1, arbitrary: number.map(writeSkip).map(said('live')) }, { weight: 1, arbitrary: number.map(writeReady).map(said('live')) },
      { weight: 1, arbitrary: fc.array(fc.oneof(fc.nat(127), fc.nat(0x10ffff)), { maxLength: 70 }).map((letters) => joinMessage({ ...booth, name: String.fromCodePoint(...letters) })).map(said('new')) },
    )
    await attack(cases, [], 20_000)
  }, 300_000)

  it('hostile: what was found by such messages: Ready said for ever, names of long letters, listings of bigints', async () => {
    const socket = await clientIn('live')
    for (let n = 0; n < 5000; n++) socket.say(writeReady(n % 3))
    await heard(() => 'Ready')
    const long = server.connect()
    long.say(joinMessage({ ...booth, name: '😀'.repeat(64) }))
    expect(long.closeCode).toBe(errorList['bad-room-name'].close)
    const listings = [{ stake: null, tags: [1n] }, { stake: 5n, tags: [1n] }, { stake: 5n, tags: [2n] }, { stake: 5n, tags: [1n] }], clients = listings.map(() => server.connect())
    const rooms = clients.map((client, n) => { client.say(joinMessage({ ...booth, match: packMatch(tables.listing, listings[n]) })); return (client.data as Client).room!.id })
    expect([new Set(rooms).size, rooms[3]]).toEqual([3, rooms[1]])
    part([socket, ...clients])
  })

  it('hostile: after all that nothing is left of it, no handler was given what does not fit, and the neighbour has run every tick', async () => {
    for (const socket of [holder, ...live]) socket.cut()
    await until(async () => await server.metric('kasagi_rooms ') === 2 && await server.metric('kasagi_arena_free_bytes') === freeBytes, 'rooms and their blocks are gone')
    expect([await server.metric('kasagi_connections '), await server.metric('kasagi_handler_errors_total'), neighbour.status]).toEqual([2, 0, 'live'])
    for (let n = 1; n < ticks.length; n++) expect(ticks[n]).toBe(ticks[n - 1] + 1)
    // Each one that was due has run, or the machine has paused, and it was counted.
    let ran = 0, due = 0
    await until(async () => { ran = ticks.length + await missedTicks(); due = (performance.now() - firstMs) / 20; return Math.abs(due - ran) < 3 }, () => `${ran} of ${due} ticks`)
    expect(heapUsedBytes() - heldBytes, 'bytes that 20,000 messages have left').toBeLessThan(2e6)
  })
})
