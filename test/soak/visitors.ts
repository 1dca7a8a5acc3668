/** What comes and goes in a soak: connections without the SDK, which join, say sensible things and nonsense, and are gone in every way there is. */
import { WebSocket } from 'ws'
import { nextFloat, nextInt, type PrngState } from '../../src/base/prng.js'
import { defineSchema, f32, json, quantized, table, text, u16, u32, u8 } from '../../src/schema/index.js'
import { fullTablesOf } from '../../src/schema/tables-of.js'
import { writeInput, writeJoin, writeLeave, writePing, writeReady, writeResync, writeSkip, type JoinFields } from '../../src/wire/client-messages.js'
import { packMatch, packToBytes } from '../../src/wire/fields.js'
import { readServerMessage, type WelcomeMessage } from '../../src/wire/server-messages.js'

const schemaText = (name: string, shape: string): string => `import { defineSchema, f32, json, quantized, table, text, u16, u32, u8 } from 'kasagi-engine/schema'\nexport const ${name} = defineSchema('${name}', ${shape})`
const roomText = (name: string, definition: string): string => `import { defineRoom } from 'kasagi-engine'\nimport { ${name} } from '../shared/${name}.js'\nexport default defineRoom(${name}, { ${definition} })`
const inputs = 'inputs: { write: { line: text(40), note: json(60) }, count: { by: u8 }, lock: {}, close: {}, fail: {} }, join: { name: text(12) }, listing: { region: text(8) }, options: { fail: u8 }'
const guests = 'guests: table({ name: text(12), counted: u32, secret: u16.to(\'owner\') }, { capacity: 64, ids: true })'
const handlers = `onInput: { write(room, _, { line }) { room.globals.line = line }, count(room, session, { by }) { room.globals.count += by; if (session.row !== undefined) room.tables.guests.counted[session.row] += by }, lock(room) { room.lock() }, close(room) { room.close() }, fail() { throw new Error('on purpose') } },
  onJoin(room, session, { name }) { if (name === 'throw') throw new Error('on purpose'); session.row = room.tables.guests.spawn({ name, secret: 7 }, { owner: session }) },
  onLeave(room, { row }) { if (row !== undefined) room.tables.guests.despawn(row) }`

/** Small ones without ticks, large ones with, some that are not stored, some that never open; and one that stays, for many. */
export const files: Record<string, string> = {
  'shared/desk.ts': schemaText('desk', `{ player: 'guests', globals: { line: text(40), count: u32 }, tables: { ${guests} }, ${inputs} }`),
  'rooms/desk.ts': roomText('desk', `tickHz: 0, maxSessions: 3, keepMs: 100, graceMs: 150, snapshotEveryMs: 200, ${handlers}`),
  'shared/field.ts': schemaText('field', `{ player: 'guests', globals: { line: text(40), count: u32 }, tables: { ${guests}, things: table({ x: quantized(0, 4000, 0.1), y: f32, label: text(20) }, { capacity: 1200 }) }, ${inputs} }`),
  'rooms/field.ts': roomText('field', `tickHz: 20, maxSessions: 20, keepMs: 100, graceMs: 150, snapshotEveryMs: 300, ${handlers},
  onCreate(room) { for (let n = 0; n < 800; n++) room.tables.things.spawn({ x: n, y: n, label: 'thing ' + n }) },
  onTick(room) { const { things } = room.tables; for (let n = 0; n < 20; n++) { const row = room.random.int(800); if (things.has(row)) { things.y[row] += 1; if (n === 0) things.despawn(row) } } if (things.size < 800) things.spawn({ label: 'new' }) }`),
  'shared/booth.ts': schemaText('booth', `{ player: 'guests', globals: { line: text(40), count: u32 }, tables: { ${guests} }, ${inputs} }`),
  'rooms/booth.ts': roomText('booth', `tickHz: 30, maxSessions: 8, keepMs: 50, graceMs: 0, durability: 'none', ${handlers}`),
  'shared/fragile.ts': schemaText('fragile', `{ player: 'guests', globals: { line: text(40), count: u32 }, tables: { ${guests} }, ${inputs} }`),
  'rooms/fragile.ts': roomText('fragile', `tickHz: 0, maxSessions: 4, keepMs: 0, graceMs: 0, onCreate(room) { if (room.options.fail === 1) throw new Error('on purpose') }, onClose() { throw new Error('on purpose') }, ${handlers}`),
  'shared/lobby.ts': schemaText('lobby', `{ player: 'guests', globals: { line: text(40), count: u32, here: u32, ticks: u32 }, tables: { ${guests.replace('64', '400')} }, ${inputs} }`),
  'rooms/lobby.ts': roomText('lobby', `tickHz: 30, maxSessions: 300, graceMs: 300, opens: 'server', snapshotEveryMs: 500, ${handlers.replace('room.lock()', '').replace('room.close()', '')}, onTick(room) { room.globals.here = room.sessions.size; room.globals.ticks++ }`),
}

/** As the SDK knows the room that stays. */
export const lobby = defineSchema('lobby', {
  player: 'guests',
  globals: { line: text(40), count: u32, here: u32, ticks: u32 },
  tables: { guests: table({ name: text(12), counted: u32, secret: u16.to('owner') }, { capacity: 400, ids: true }) },
  inputs: { write: { line: text(40), note: json(60) }, count: { by: u8 }, lock: {}, close: {}, fail: {} },
  join: { name: text(12) },
  listing: { region: text(8) },
  options: { fail: u8 },
})
// Not of the lobby, but of the others: their fields have the same names.
void [f32, quantized]
const tables = fullTablesOf(lobby, [])
const none = new Uint8Array(0)
const input = { write: 0, count: 1, lock: 2, close: 3, fail: 4 } as const

/** A connection that has asked to come in: welcome, or refused with a code, or lost. */
interface Visit { readonly socket: WebSocket; readonly welcome: WelcomeMessage | undefined; readonly code: string; next: number }

export interface Crowd {
  readonly url: string
  readonly random: PrngState
  /** Names that had rooms, newest last: some are come back to, and are then restored. */
  readonly names: string[]
  named: number
  joins: number
  rooms: number
  readonly counts: Record<string, number>
}

export const createCrowd = (url: string, random: PrngState): Crowd => ({ url, random, names: [], named: 0, joins: 0, rooms: 0, counts: {} })

const pause = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms) })
const joinBytes = (fields: Partial<JoinFields>): Uint8Array =>
  writeJoin({ schema: 'desk', schemaHash: 0, name: undefined, open: 0, join: packToBytes(tables.join, { name: 'ann' }), options: none, ...fields })

/** Opens a connection and says `first`, if anything; resolves once the server has answered, or `onSection` has ended it. */
function come(crowd: Crowd, first: Uint8Array | undefined, onSection: (socket: WebSocket) => void = () => {}): Promise<Visit> {
  return new Promise((resolve) => {
    const socket = new WebSocket(crowd.url, { perMessageDeflate: false })
    let welcome: WelcomeMessage | undefined, code = 'lost'
    const settle = (): void => resolve({ socket, welcome, code, next: (welcome?.lastInput ?? 0) + 1 })
    socket.on('open', () => { if (first === undefined) settle(); else socket.send(first) })
    socket.on('message', (data: Buffer) => {
      const said = readServerMessage(new Uint8Array(data))
      if (said === undefined) return onSection(socket)
      if (said.kind === 'notice') code = said.code
      if (said.kind !== 'welcome') return
      welcome = said.welcome
      crowd.joins++
      code = 'in'
      socket.send(writeReady(welcome.generation))
      settle()
    })
    socket.on('close', () => { crowd.counts[code] = (crowd.counts[code] ?? 0) + 1; settle() })
    socket.on('error', () => {})
  })
}

/** Gone politely, by closing, or cut. */
function part(crowd: Crowd, { socket }: Visit, how = nextInt(crowd.random, 3)): void {
  if (how === 0 && socket.readyState === WebSocket.OPEN) socket.send(writeLeave())
  else if (how === 1) socket.close()
  else socket.terminate()
}

/** Some inputs and other messages, a few of them nonsense. */
async function talk({ random }: Crowd, visit: Visit, times: number): Promise<void> {
  const epoch = visit.welcome?.epoch
  if (epoch === undefined) return
  const say = (bytes: Uint8Array): void => { if (visit.socket.readyState === WebSocket.OPEN) visit.socket.send(bytes) }
  const noise = (bytes: number): Uint8Array => Uint8Array.from({ length: nextInt(random, bytes) }, () => nextInt(random, 256))
  for (let n = 0; n < times; n++) {
    const kind = nextInt(random, 30)
    if (kind < 10) say(writeInput(visit.next++, input.count, Uint8Array.of(nextInt(random, 256))))
    else if (kind < 18) say(writeInput(visit.next++, input.write, packToBytes(tables.inputs[input.write].fields, { line: `line ${n}`, note: { n, of: [null, 'a'] } })))
    else if (kind < 21) say(writeInput(visit.next++, nextInt(random, 7), noise(60)))
    else if (kind < 22) say(writeInput(visit.next++, input.fail, none))
    else if (kind < 24) say(writeInput(visit.next + 5, input.count, Uint8Array.of(1)))
    else if (kind < 25) { visit.next += 3; say(writeSkip(visit.next)) }
    else if (kind < 27) say(writePing(n))
    else if (kind < 29) say(writeResync(nextInt(random, 2) * epoch, nextInt(random, 20)))
    else say(noise(100))
    if (nextInt(random, 3) === 0) await pause(nextFloat(random) * 20)
  }
}

/** A name that never had a room, or one that had. */
function nameOf(crowd: Crowd): string {
  const { names, random } = crowd
  if (names.length > 20 && nextInt(random, 3) === 0) return names[nextInt(random, names.length)]
  const name = `r${crowd.named++}`
  names.push(name)
  if (names.length > 100) names.shift()
  return name
}

/** One visit of a random kind, from the first byte to the last. */
export async function visit(crowd: Crowd): Promise<void> {
  const { random } = crowd
  const pick = <T>(...of: readonly T[]): T => of[nextInt(random, of.length)]
  const kind = nextInt(random, 20)
  if (kind < 5) {
    const visit = await come(crowd, joinBytes({ schema: pick('desk', 'desk', 'field', 'booth'), name: nameOf(crowd) }))
    await talk(crowd, visit, nextInt(random, 6))
    part(crowd, visit)
  } else if (kind < 7) {
    const match = packMatch(tables.listing, { region: pick('eu', 'us', 'asia', 'mars') })
    const visit = await come(crowd, joinBytes({ schema: pick('desk', 'booth'), match, open: nextInt(random, 6) === 0 ? 2 : 0 }))
    await talk(crowd, visit, nextInt(random, 6))
    part(crowd, visit)
  } else if (kind < 10) {
    const visit = await come(crowd, joinBytes({ schema: 'lobby', name: 'main' }))
    await talk(crowd, visit, nextInt(random, 8))
    part(crowd, visit)
  } else if (kind < 12) {
    // In the middle of its join: asked for, and gone before the answer.
    const visit = await come(crowd, undefined)
    visit.socket.send(joinBytes({ schema: pick('desk', 'field', 'lobby'), name: nextInt(random, 2) === 0 ? 'main' : nameOf(crowd) }))
    await pause(nextFloat(random) * 4)
    part(crowd, visit, 2)
  } else if (kind < 13) {
    // In the middle of a snapshot.
    await come(crowd, joinBytes({ schema: 'field', name: nameOf(crowd) }), (socket) => socket.terminate())
  } else if (kind < 15) await comeBack(crowd, nextFloat(random) * (nextInt(random, 3) === 0 ? 800 : 60))
  else if (kind < 16) {
    const name = nameOf(crowd), others = await Promise.all([1, 2].map(() => come(crowd, joinBytes({ schema: pick('desk', 'booth'), name }))))
    others[0].socket.send(writeInput(others[0].next, input.close, none))
    await pause(nextFloat(random) * 10)
    for (const visit of others) part(crowd, visit)
  } else if (kind < 17) {
    const options = packToBytes(tables.options, { fail: nextInt(random, 2) }), join = packToBytes(tables.join, { name: pick('ann', 'throw') })
    const visit = await come(crowd, joinBytes({ schema: 'fragile', name: `f${nextInt(random, 1e9)}`, options, join }))
    await talk(crowd, visit, 2)
    part(crowd, visit)
  } else await beRefused(crowd, pick)
}

/** Cut, and back with its token: in time, or too late. */
async function comeBack(crowd: Crowd, afterMs: number): Promise<void> {
  const { random } = crowd, join: Partial<JoinFields> = nextInt(random, 2) === 0 ? { schema: 'lobby', name: 'main' } : { schema: 'desk', name: nameOf(crowd) }
  let visit = await come(crowd, joinBytes(join))
  for (let times = 1 + nextInt(random, 3); times > 0 && visit.welcome !== undefined; times--) {
    await talk(crowd, visit, nextInt(random, 4))
    part(crowd, visit, 1 + nextInt(random, 2))
    await pause(afterMs)
    const { token, epoch, seq } = visit.welcome
    visit = await come(crowd, joinBytes({ ...join, resume: { token, epoch, seq, firstHeld: 1, lastSent: 0 } }))
  }
  part(crowd, visit)
}

/** A join that finds no seat, or makes no sense. */
async function beRefused(crowd: Crowd, pick: <T>(...of: readonly T[]) => T): Promise<void> {
  const { random } = crowd, name = nameOf(crowd)
  const inside: Visit[] = []
  switch (nextInt(random, 6)) {
    case 0: for (let n = 0; n < 4; n++) inside.push(await come(crowd, joinBytes({ name }))); break
    case 1: {
      inside.push(await come(crowd, joinBytes({ schema: 'booth', name })))
      inside[0].socket.send(writeInput(inside[0].next, input.lock, none))
      inside.push(await come(crowd, joinBytes({ schema: 'booth', name })))
      break
    }
    case 2: inside.push(await come(crowd, joinBytes(pick<Partial<JoinFields>>({ name, join: new Uint8Array(3) }, { name, match: new Uint8Array(5).fill(255) }, { schema: 'nothing' }, { schemaHash: 7 }, { name: 'a\u0007' }, { name, open: 1 }, { schema: 'lobby', name: 'other' })))); break
    case 3: inside.push(await come(crowd, joinBytes({ name, resume: { token: `a.${nextInt(random, 1e9)}`, epoch: 1, seq: 1, firstHeld: 1, lastSent: 0 } }))); break
    case 4: inside.push(await come(crowd, Uint8Array.from({ length: 40 }, () => nextInt(random, 256)))); break
    default: { inside.push(await come(crowd, undefined)); await pause(nextFloat(random) * 50) }
  }
  for (const visit of inside) part(crowd, visit)
}
