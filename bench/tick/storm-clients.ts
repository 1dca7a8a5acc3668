/**
 * The crowd that joins, in a process of its own. One of them uses the SDK, and can tell whether all that it sees is right; all others count bytes until they have
 * the whole world. Argument: the server's URL.
 */
import { connect, type ClientRoom } from 'kasagi-engine/client'
import { WebSocket } from 'ws'
import { writeJoin } from '../../src/wire/client-messages.js'
import { until } from '../../test/support/until.js'
import { median } from '../report.js'
import { checkMovers } from './movers.js'
import { moverCount, storm } from './project/shared/shapes.js'

/** From a client's first step to its whole world. */
export interface Joined { readonly medianMs: number; readonly longestMs: number }

const url = process.argv[2], name = 'one', none = new Uint8Array(0)
const joinBytes = writeJoin({ schema: storm.name, schemaHash: 0, name, open: 0, join: none, options: none })
/** Generation, two places, three f32 and a u16: with less, nobody has them all. */
const rowBytes = 20, joinedWithinMs = 30_000

let sockets: WebSocket[] = [], viewer: ClientRoom<typeof storm> | undefined, lost = 0

const sleep = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms) })

/** Resolves with how long it took. */
function joinOne(): Promise<number> {
  const socket = new WebSocket(url), began = performance.now()
  sockets.push(socket)
  let bytes = 0
  socket.on('open', () => socket.send(joinBytes))
  socket.on('close', () => { lost++ })
  socket.on('error', () => {})
  return new Promise((resolve) => {
    socket.on('message', (data: Buffer) => {
      const before = bytes
      bytes += data.length
      if (before < moverCount * rowBytes && bytes >= moverCount * rowBytes) resolve(performance.now() - began)
    })
  })
}

async function view(): Promise<number> {
  const began = performance.now()
  viewer = await connect(url, { verify: true, joinMs: joinedWithinMs }).join(storm, { name })
  return performance.now() - began
}

/** Spread evenly over the time; a sleep that was too long is made up for. */
async function join(count: number, withinMs: number): Promise<Joined> {
  const began = performance.now(), joins: Promise<number>[] = [view()]
  while (joins.length < count) {
    const due = Math.min(count, Math.ceil((performance.now() - began) / withinMs * count))
    while (joins.length < due) joins.push(joinOne())
    await sleep(2)
  }
  const times = await Promise.race([Promise.all(joins), sleep(joinedWithinMs).then(() => { throw new Error('not everybody has joined') })])
  return { medianMs: median(times), longestMs: Math.max(...times) }
}

/** What is wrong, if anything is; then everybody leaves. */
async function end(): Promise<string> {
  if (lost > 0) return `${lost} clients of the crowd are lost`
  try { checkMovers('the crowd', viewer!) } catch (error) { return (error as Error).message }
  await viewer!.leave()
  for (const socket of sockets) socket.terminate()
  await until(() => lost === sockets.length, 'the crowd has left')
  sockets = []
  lost = 0
  return ''
}

process.on('message', (question: { kind: 'storm'; count: number; withinMs: number } | { kind: 'end' }) => {
  void (question.kind === 'end' ? end() : join(question.count, question.withinMs)).then((answer) => process.send?.(answer))
})
process.on('disconnect', () => process.exit(0))
process.send?.('ready')
