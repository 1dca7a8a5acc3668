/** Clients that take what they are sent slowly, or not at all: they fall behind alone, and end with the newest state. */
import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { connectWith } from '../../src/client/connect.js'
import type { ClientRoom, Connection, Where } from '../../src/client/client-room.js'
import { openWebSocket, type OpenTransport } from '../../src/client/web-socket.js'
import { defineSchema, f32, quantized, table, text, u16, u32 } from '../../src/schema/index.js'
import { openSection } from '../../src/client/apply.js'
import { readClientMessage, writeJoin } from '../../src/wire/client-messages.js'
import { writePong } from '../../src/wire/server-messages.js'
import { until } from '../support/engine.js'
import { createServeProcess, type ServeProcess } from '../support/process.js'
import { startProxy, type Proxy } from '../support/proxy.js'

const fields = `globals: { ticks: u32 },
  tables: { movers: table({ x: quantized(0, 1000, 0.1), y: quantized(0, 1000, 0.1), turn: f32, hp: u16, name: text(16) }, { capacity: 10_000 }) },
  options: { movers: u16.default(2000), moving: u16.default(2000) }`
const schema = defineSchema('crowd', {
  globals: { ticks: u32 },
  tables: { movers: table({ x: quantized(0, 1000, 0.1), y: quantized(0, 1000, 0.1), turn: f32, hp: u16, name: text(16) }, { capacity: 10_000 }) },
  options: { movers: u16.default(2000), moving: u16.default(2000) },
})
const files = {
  'shared/crowd.ts': `import { defineSchema, f32, quantized, table, text, u16, u32 } from 'kasagi-engine/schema'\nexport const crowd = defineSchema('crowd', { ${fields} })`,
  'rooms/crowd.ts': `
import { defineRoom } from 'kasagi-engine'
import { crowd } from '../shared/crowd.js'
export default defineRoom(crowd, { tickHz: 20,
  onCreate({ tables: { movers }, options }) { for (let n = 0; n < options.movers; n++) movers.spawn({ x: n % 1000, y: n % 777, turn: n, hp: n, name: 'mover ' + n }) },
  onTick({ tables: { movers }, globals, options, random }) {
    globals.ticks++
    for (let n = 0; n < options.moving; n++) {
      const row = options.moving === options.movers ? n : random.int(options.movers)
      movers.x[row] = (movers.x[row] + 1) % 1000
      movers.y[row] = (movers.y[row] + 2) % 1000
    }
  } })
`,
}
type Crowd = ClientRoom<typeof schema>

const picture = ({ globals, tables: { movers } }: Crowd): string =>
  `${globals.ticks}\n${[...movers.rows()].map((row) => `${row} ${movers.x[row].toFixed(1)} ${movers.y[row].toFixed(1)} ${movers.hp[row]} ${movers.name.get(row)}`).join('\n')}`

/** Waits until both are at one position, and holds them to the same state there. */
const expectSame = (a: Crowd, b: Crowd): Promise<void> => new Promise((resolve, reject) => {
  const late = setTimeout(() => reject(new Error(`no common position: ${JSON.stringify([a.position, b.position, a.status])}`)), 10_000)
  const look = (): void => {
    if (a.position.seq !== b.position.seq || a.position.epoch !== b.position.epoch) return
    clearTimeout(late)
    try { expect(picture(a)).toBe(picture(b)); resolve() } catch (error) { reject(error as Error) }
  }
  a.onFlush(look)
  b.onFlush(look)
})

/** A connection that can stop reading. Its pings are answered here, for this client is slow, not gone. */
function createStopping(): { readonly open: OpenTransport; hold(isHeld: boolean): void } {
  let socket: WebSocket | undefined, isStopped = false
  return {
    hold: (isHeld) => { isStopped = isHeld; if (isHeld) socket!.pause(); else socket!.resume() },
    open: async (url, handlers) => {
      const opened = socket = new WebSocket(url)
      opened.binaryType = 'arraybuffer'
      opened.on('open', () => handlers.open())
      opened.on('message', (data: ArrayBuffer) => handlers.message(data))
      opened.on('close', (code) => handlers.closed(code))
      opened.on('error', () => {})
      return {
        close: (code) => opened.close(code ?? 1000),
        send: (bytes) => {
          const said = readClientMessage(bytes)
          if (said?.kind === 'ping' && isStopped) handlers.message(writePong({ sent: said.sent, serverMs: 0, tickMs: 0 }).slice().buffer)
          else opened.send(bytes)
        },
      }
    },
  }
}

/** A client that only notes which seqs of the room's stream it gets. */
async function watch(url: string): Promise<{ readonly seqs: number[]; close(): void }> {
  const socket = new WebSocket(url), seqs: number[] = []
  socket.binaryType = 'arraybuffer'
  socket.on('message', (data: ArrayBuffer) => {
    const section = openSection(data)
    if (section !== undefined && section.stream === 0 && section.seq !== seqs.at(-1)) seqs.push(section.seq)
  })
  await new Promise((resolve) => { socket.on('open', resolve) })
  socket.send(writeJoin({ schema: 'crowd', schemaHash: 0, name: 'main', open: 0, join: new Uint8Array(0), options: new Uint8Array(0) }))
  await until(() => seqs.length > 3, 'it gets frames')
  return { seqs, close: () => socket.close() }
}

describe('slow clients', () => {
  let server: ServeProcess, proxy: Proxy | undefined
  const connections: Connection[] = []
  const join = (open: OpenTransport, url: string, options: Where<typeof schema>['options'] = {}): Promise<Crowd> => {
    const connection = connectWith(open, url, { verify: true, joinMs: 30_000 })
    connections.push(connection)
    return connection.join(schema, { name: 'main', options })
  }
  afterEach(async () => {
    for (const connection of connections.splice(0)) connection.close()
    await proxy?.stop()
    await server.end()
  })
  const residentBytes = (): number => Number(/VmRSS:\s*(\d+) kB/.exec(readFileSync(`/proc/${server.pid()}/status`, 'utf8'))![1]) * 1024

  it('slow: a receive window held shut for 10 s costs the others of a room of 50 nothing, bounded memory, and ends with the newest state', async () => {
    server = await createServeProcess(files)
    await server.start('--backlog-bytes', '256K')
    const stopping = createStopping(), slow = await join(stopping.open, server.url, { movers: 10_000, moving: 10_000 })
    const quick = await join(openWebSocket, server.url)
    const others = await Promise.all(Array.from({ length: 48 }, () => watch(server.url)))
    const told: string[] = []
    slow.onStatus((status) => told.push(status))
    const before = { bytes: residentBytes(), seq: quick.position.seq, ticks: quick.globals.ticks, frames: quick.stats.frames }
    let bytesMost = 0
    stopping.hold(true)
    for (const end = performance.now() + 10_000; performance.now() < end;) {
      bytesMost = Math.max(bytesMost, residentBytes())
      await new Promise((resolve) => { setTimeout(resolve, 50) })
    }
    const seq = slow.position.seq
    expect(quick.position.seq - seq).toBeGreaterThan(100)
    stopping.hold(false)
    await until(() => slow.position.seq >= quick.position.seq - 2 && slow.status === 'live', 'the slow one has caught up')
    await expectSame(slow, quick)
    // Everybody else got each flush, and the room made them at its rate.
    const ticks = quick.globals.ticks - before.ticks
    expect(ticks).toBeGreaterThan(190)
    expect(quick.stats.frames - before.frames).toBe(quick.position.seq - before.seq)
    for (const { seqs } of others) for (let at = 1; at < seqs.length; at++) expect(seqs[at] - seqs[at - 1]).toBe(1)
    expect(others.every(({ seqs }) => seqs.at(-1)! >= before.seq + 190)).toBe(true)
    expect([quick.stats.resyncs, quick.stats.hashMismatches, slow.stats.hashMismatches, slow.stats.reconnects]).toEqual([0, 0, 0, 0])
    // What was left out came as one snapshot or as sections; a frame of 40 kB 20 times a second is 8 MB meanwhile.
    expect(await server.metric('kasagi_resyncs_total')).toBeGreaterThan(0)
    expect(bytesMost - before.bytes).toBeLessThan(16 * 1024 ** 2)
    for (const other of others) other.close()
  }, 60_000)

  it('slow: through 125 kB/s a client joins a room of 10,000 entities of which 2% move, is live within 30 s and never resyncs again', async () => {
    server = await createServeProcess(files)
    await server.start()
    proxy = await startProxy(server.url)
    const quick = await join(openWebSocket, server.url, { movers: 10_000, moving: 200 })
    proxy.bytesPerSecond = 125_000
    const began = performance.now()
    const slow = await join(openWebSocket, proxy.url)
    const liveMs = performance.now() - began
    expect(slow.tables.movers.size).toBe(10_000)
    const told: string[] = []
    slow.onStatus((status) => told.push(status))
    await until(() => slow.position.seq >= quick.position.seq - 20, 'it has caught up', 30_000)
    const resyncs = await server.metric('kasagi_resyncs_total')
    await until(() => slow.globals.ticks > quick.globals.ticks - 20 && slow.stats.frames > 150, 'it goes on', 20_000)
    await expectSame(slow, quick)
    expect([told, slow.stats.resyncs, slow.stats.reconnects, slow.stats.hashMismatches]).toEqual([[], 0, 0, 0])
    expect(await server.metric('kasagi_resyncs_total')).toBe(resyncs)
    expect(liveMs).toBeLessThan(30_000)
  }, 90_000)
})
