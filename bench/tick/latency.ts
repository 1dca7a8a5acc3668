/**
 * From an input to its effect, both clients on one server without peers: an event-driven room, beside a bare uWebSockets.js server in a process of its own that
 * answers messages of the same sizes, and a round trip main-worker-main; all in turn within one window, 3 ms between two messages, so that caches are cold. Clients are
 * bare sockets on both sides; a third one, which comes last and is served last, uses the SDK, and can tell whether what they get is right.
 */
import { writeInput, writeJoin, writeReady } from '../../src/wire/client-messages.js'
import { readServerMessage } from '../../src/wire/server-messages.js'
import type { ServeProcess } from '../../test/support/process.js'
import { until } from '../../test/support/until.js'
import { startChild } from '../child.js'
import { ping } from '../cluster/project/shared/shapes.js'
import { watch } from '../cpu.js'
import { judge, takeWindows, type Steal } from '../paired.js'
import { openRaw, type RawClient } from '../raw-client.js'
import { figure, median, type Measured } from '../report.js'
import { checkPings, enterPing, nextPing, takeMedians, throughThread, warmUp, type Contestant } from '../round-trips.js'

const id = 'tick/latency', none = new Uint8Array(0)

/** A client of a room; `heard` is told the bytes of each message. */
interface Player { readonly raw: RawClient; isIn: boolean; heard(bytes: number): void }

const fail = (why: string): never => { throw new Error(`${id}: ${why}`) }

/** The value of the room's only global, as an input's only field. */
const inputOf = (number: number, value: number): Uint8Array => writeInput(number, 0, new Uint8Array(new Uint32Array([value]).buffer))

async function enter({ url }: ServeProcess): Promise<Player> {
  const player: Player = {
    isIn: false, heard: () => {},
    raw: openRaw(Number(new URL(url).port), '/', {
      open: ({ send }) => send(writeJoin({ schema: ping.name, schemaHash: 0, name: 'one', open: 0, join: none, options: none })),
      message: ({ head, send }, bytes) => {
        const said = player.isIn ? undefined : readServerMessage(new Uint8Array(head.subarray(0, bytes)))
        if (said?.kind === 'welcome') { player.isIn = true; send(writeReady(said.welcome.generation)) }
        player.heard(bytes)
      },
      lost: fail,
    }),
  }
  await until(() => player.isIn, `${id}: a client is in`)
  return player
}

/** An input of one client until the other hears of it. The room is still but for inputs, so whatever comes is its effect. */
async function throughRoom(server: ServeProcess): Promise<Contestant & { readonly flushBytes: number; readonly inputBytes: number }> {
  const from = await enter(server), to = await enter(server)
  let number = 0, flushBytes = 0, inputBytes = 0
  const turn = (): Promise<void> => new Promise((resolve) => {
    to.heard = (bytes) => { flushBytes = bytes; to.heard = () => {}; resolve() }
    const input = inputOf(++number, nextPing())
    inputBytes = input.length
    from.raw.send(input)
  })
  for (let n = 0; n < 10; n++) await turn()
  return { subject: 'input to effect', flushBytes, inputBytes, turn, end: async () => { from.raw.end(); to.raw.end() } }
}

async function throughEcho(inputBytes: number, flushBytes: number): Promise<Contestant> {
  const echo = await startChild(new URL('echo.js', import.meta.url), [String(inputBytes), String(flushBytes)]), port = await echo.ask<number>('port'), input = new Uint8Array(inputBytes)
  let back = (): void => {}
  const raw = await new Promise<RawClient>((open) => {
    openRaw(port, '/', { open, message: (_, bytes) => { if (bytes === flushBytes) back(); else fail(`the echo answers ${bytes} bytes`) }, lost: fail })
  })
  return { subject: 'bare uWebSockets.js echo', turn: () => new Promise((resolve) => { back = resolve; raw.send(input) }), end: () => { raw.end(); return echo.end() } }
}

export async function measureLatency(server: ServeProcess, steal: Steal): Promise<Measured> {
  const inRoom = await throughRoom(server), { inputBytes, flushBytes } = inRoom
  const all = [inRoom, await throughEcho(inputBytes, flushBytes), await throughThread()]
  await warmUp(all)
  const witness = await enterPing(server)
  await inRoom.turn()
  await checkPings(id, [witness])
  const busy = watch([{ name: 'this process', pid: process.pid }, { name: 'the server', pid: server.pid() }])
  const windows = await takeWindows(id, steal, () => takeMedians(all))
  console.log(`  ${id}: input ${inputBytes} B, flush ${flushBytes} B; main threads: ${busy()}`)
  await checkPings(id, [witness])
  await witness.leave()
  for (const contestant of all) await contestant.end()
  return {
    figures: all.map(({ subject }, index) => figure(id, subject, 'latency', 'us', windows.map((medians) => medians[index]))),
    ratios: { [id]: median(windows.map(([room, echo, thread]) => room / (echo + thread))) },
    targets: [judge('tick/latency', windows.map(([room, echo, thread]) => room - echo - thread))],
  }
}
