/**
 * The crowd's clients, in a process of their own: they count what they get, and each can tell whether all it sees is right. Arguments: a URL for each group;
 * the last two groups are in one room.
 */
import { connect, type ClientRoom } from 'kasagi-engine/client'
import { crowd, crowdMovers, placeAt } from './project/shared/shapes.js'

type CrowdRoom = ClientRoom<typeof crowd>

const groups = process.argv.slice(2).map((url) => ({ url, rooms: [] as CrowdRoom[], received: 0 }))

async function join(count: number): Promise<void> {
  for (const group of groups) {
    while (group.rooms.length < count) {
      const room = await connect(group.url, { verify: true }).join(crowd, { name: 'one' })
      room.onFlush(() => { group.received++ })
      group.rooms.push(room)
    }
  }
}

/** What is wrong, if anything is: every row stands where its turn says, and no hash has ever differed. */
function check(): string {
  for (const { url, rooms } of groups) {
    for (const { globals: { turn }, tables: { movers }, stats, status } of rooms) {
      if (status !== 'live' || stats.hashMismatches > 0 || stats.resyncs > 0) return `a client of ${url} is ${status}, after ${stats.hashMismatches} hashes that differed and ${stats.resyncs} resyncs`
      if (movers.size !== crowdMovers) return `a client of ${url} sees ${movers.size} rows`
      for (let row = 0; row < crowdMovers; row++) {
        const away = Math.max(Math.abs(movers.x[row] - placeAt(row, turn)), Math.abs(movers.y[row] - placeAt(row, turn)))
        if (away > 1 / 16) return `a client of ${url} sees row ${row} ${away} away from where it is at turn ${turn}`
      }
    }
  }
  const [, owner, edge] = groups
  return owner.rooms[0].position.epoch === edge.rooms[0].position.epoch ? '' : 'owner and edge are not in one room'
}

process.on('message', (question: { kind: 'join'; count: number } | { kind: 'count' | 'check' }) => {
  switch (question.kind) {
    case 'join': return void join(question.count).then(() => process.send?.('joined'))
    case 'count': return void process.send?.(groups.map(({ received }) => received))
    case 'check': return void process.send?.(check())
  }
})
process.on('disconnect', () => process.exit(0))
process.send?.('ready')
