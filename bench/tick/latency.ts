/**
 * From an input to its effect, both clients on one server without peers: an event-driven room, beside a bare uWebSockets.js server in a process of its own that
 * answers messages of the same sizes, and a round trip main-worker-main; all in turn within one window, 3 ms between two messages, so that caches are cold.
 */
import { once } from 'node:events'
import { WebSocket } from 'ws'
import { writeInput, writeJoin } from '../../src/wire/client-messages.js'
import type { ServeProcess } from '../../test/support/process.js'
import { until } from '../../test/support/until.js'
import { startChild } from '../child.js'
import { ping } from '../cluster/project/shared/shapes.js'
import { watch } from '../cpu.js'
import { judge, takeWindows, type Steal } from '../paired.js'
import { figure, median, type Measured } from '../report.js'
import { checkPings, enterPing, inRoom, nextPing, takeMedians, throughThread, warmUp, type Contestant, type PingRoom } from '../round-trips.js'

const id = 'tick/latency', limitUs = 60
/** The input's only field, a u32. */
const numberBytes = 4

interface Bytes { readonly input: Uint8Array; readonly flushBytes: number }

/** What the engine's client sends for an input, and the length of what a bystander gets because of it. */
async function overhear({ url }: ServeProcess, from: PingRoom): Promise<Bytes> {
  const socket = new WebSocket(url), none = new Uint8Array(0), lengths: number[] = []
  socket.on('open', () => socket.send(writeJoin({ schema: ping.name, schemaHash: 0, name: 'one', open: 0, join: none, options: none })))
  socket.on('message', (data: Buffer) => { lengths.push(data.length) })
  const hearOne = async (): Promise<void> => {
    const before = lengths.length
    await until(async () => { await from.ask('ping', { number: nextPing() }); return lengths.length > before }, `${id}: a bystander hears of an input`)
  }
  for (let n = 0; n < 10; n++) await hearOne()
  socket.close()
  await once(socket, 'close')
  return { input: writeInput(1, 0, new Uint8Array(numberBytes)), flushBytes: lengths.at(-1)! }
}

async function throughEcho({ input, flushBytes }: Bytes): Promise<Contestant> {
  const echo = await startChild(new URL('echo.js', import.meta.url), [String(input.length), String(flushBytes)])
  const socket = new WebSocket(`ws://127.0.0.1:${await echo.ask<number>('port')}`)
  await once(socket, 'open')
  let back = (): void => {}
  socket.on('message', (data: Buffer) => {
    if (data.length !== flushBytes) throw new Error(`${id}: the echo answers ${data.length} bytes`)
    back()
  })
  return {
    subject: 'bare uWebSockets.js echo',
    turn: () => new Promise((resolve) => { back = resolve; socket.send(input) }),
    end: () => { socket.close(); return echo.end() },
  }
}

export async function measureLatency(server: ServeProcess, steal: Steal): Promise<Measured> {
  const from = await enterPing(server), to = await enterPing(server), rooms = [from, to]
  for (const room of rooms) await room.ask('ping', { number: nextPing() })
  await checkPings(id, rooms)
  const bytes = await overhear(server, from)
  const all = [inRoom('input to effect', from, to), await throughEcho(bytes), await throughThread()]
  await warmUp(all)
  const busy = watch([{ name: 'this process', pid: process.pid }, { name: 'the server', pid: server.pid() }])
  const windows = await takeWindows(id, steal, () => takeMedians(all))
  console.log(`  ${id}: input ${bytes.input.length} B, flush ${bytes.flushBytes} B; main threads: ${busy()}`)
  await checkPings(id, rooms)
  for (const contestant of all) await contestant.end()
  return {
    figures: all.map(({ subject }, index) => figure(id, subject, 'latency', 'us', windows.map((medians) => medians[index]))),
    ratios: { [id]: median(windows.map(([room, echo, thread]) => room / (echo + thread))) },
    targets: [judge(id, 'input to effect, beyond an echo and a thread round trip', 'us', limitUs, windows.map(([room, echo, thread]) => room - echo - thread))],
  }
}
