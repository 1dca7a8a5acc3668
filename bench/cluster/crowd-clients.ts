/**
 * The crowd's clients, in a process of their own. In each group one uses the SDK, and can tell whether all that it sees is right; all others count what they get,
 * which costs the machine a tenth of that. Arguments: a URL for each group; the last two groups are in one room.
 */
import { connect, type ClientRoom } from 'kasagi-engine/client'
import { WebSocket } from 'ws'
import { writeJoin } from '../../src/wire/client-messages.js'
import { until } from '../../test/support/until.js'
import { crowd, crowdMovers, placeAt, warming } from './project/shared/shapes.js'

interface Group { readonly url: string; viewer: ClientRoom<typeof crowd> | undefined; clients: number; received: number; lost: number }

const groups = process.argv.slice(2).map((url): Group => ({ url, viewer: undefined, clients: 0, received: 0, lost: 0 }))
const name = 'one', none = new Uint8Array(0)
const joinBytes = writeJoin({ schema: crowd.name, schemaHash: 0, name, open: 0, join: none, options: none })
/** Welcome and snapshot are behind it: from here on a message is a tick. */
const settledMessages = 5

async function view(group: Group): Promise<void> {
  const room = await connect(group.url, { verify: true, joinMs: 30_000 }).join(crowd, { name })
  room.onFlush(() => { group.received++ })
  group.viewer = room
  group.clients++
}

async function countOne(group: Group): Promise<void> {
  const socket = new WebSocket(group.url)
  let messages = 0
  socket.on('open', () => socket.send(joinBytes))
  socket.on('message', () => { messages++; group.received++ })
  socket.on('close', () => { group.lost++ })
  socket.on('error', () => {})
  await until(() => messages >= settledMessages, `a client of ${group.url} has joined`, 30_000)
  group.clients++
}

async function join(count: number): Promise<void> {
  // One after the other: the first to come makes its instance the owner.
  for (const group of groups) {
    if (group.viewer === undefined) await view(group)
    await Promise.all(Array.from({ length: count - group.clients }, () => countOne(group)))
  }
}

/** One client of each group in a room that ticks fast, for a while. */
async function warmUp(ms: number): Promise<void> {
  const rooms = []
  for (const { url } of groups) rooms.push(await connect(url).join(warming, { name }))
  await new Promise((resolve) => { setTimeout(resolve, ms) })
  for (const room of rooms) await room.leave()
}

/** What is wrong, if anything is: every row stands where its turn says, no hash has ever differed, nobody was lost. */
function check(): string {
  for (const { url, viewer, lost } of groups) {
    const { globals: { turn }, tables: { movers }, stats, status } = viewer!
    if (lost > 0) return `${lost} clients of ${url} are lost`
    if (status !== 'live' || stats.hashMismatches > 0 || stats.resyncs > 0) return `a client of ${url} is ${status}, after ${stats.hashMismatches} hashes that differed and ${stats.resyncs} resyncs`
    if (movers.size !== crowdMovers) return `a client of ${url} sees ${movers.size} rows`
    for (let row = 0; row < crowdMovers; row++) {
      const away = Math.max(Math.abs(movers.x[row] - placeAt(row, turn)), Math.abs(movers.y[row] - placeAt(row, turn)))
      if (away > 1 / 16) return `a client of ${url} sees row ${row} ${away} away from where it is at turn ${turn}`
    }
  }
  const [, owner, edge] = groups
  return owner.viewer!.position.epoch === edge.viewer!.position.epoch ? '' : 'owner and edge are not in one room'
}

process.on('message', (question: { kind: 'join'; count: number } | { kind: 'warm up'; ms: number } | { kind: 'count' | 'check' }) => {
  switch (question.kind) {
    case 'join': return void join(question.count).then(() => process.send?.('joined'))
    case 'warm up': return void warmUp(question.ms).then(() => process.send?.('warm'))
    case 'count': return void process.send?.(groups.map(({ received }) => received))
    case 'check': return void process.send?.(check())
  }
})
process.on('disconnect', () => process.exit(0))
process.send?.('ready')
