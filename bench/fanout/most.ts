/** How many clients of one room of 1,000 entities each contestant holds at 20 Hz: they come in steps, until turns come late or a core is used up. */
import { figure, isSmoke, type Figure } from '../report.js'
import type { Contestant, Stage } from './contestants.js'
import { tickHz } from './project/shared/place.js'
import { takeTurn, type Taken } from './turns.js'

const clientsPerStep = isSmoke ? 5 : 500, clientsMax = isSmoke ? 10 : 8000, ticks = isSmoke ? 3 : 3 * tickHz
/** A contestant whose timer drifts gets 19.7 Hz with nobody there; below this its turns are late. */
const hzMin = 19.5, shareMax = 0.95
/** What somebody else's work on the machine has delayed is tried again. */
const tries = 3

const percent = (share: number): string => `${Math.round(share * 100)}%`

/** What ended the climb, or undefined. A turn that did not reach everybody has ended it, too. */
async function limitOf(take: () => Promise<Taken>): Promise<string | undefined> {
  const taken = await take().catch((error: Error) => error.message)
  if (typeof taken === 'string') return taken
  const { hz, serverShare, loadShare } = taken
  if (serverShare >= shareMax) return 'its core is used up'
  if (loadShare >= shareMax) return 'the load\'s core is used up'
  return hz < hzMin ? `${hz.toFixed(1)} Hz, though it used its core to ${percent(serverShare)} and the load its own to ${percent(loadShare)}` : undefined
}

async function climb(stage: Stage, { key, dialect, port }: Contestant, take: () => Promise<Taken>): Promise<{ clients: number; limit: string }> {
  for (let clients = clientsPerStep; clients <= clientsMax; clients += clientsPerStep) {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[Kfanout/most: ${key}, ${clients} clients `)
    await stage.ask({ kind: 'join', group: key, dialect, port, type: 'crowd', names: ['most'], clients: [clients] })
    // Once to warm up: who came last has just been sent the whole room.
    await limitOf(take)
    let limit = await limitOf(take)
    for (let left = tries - 1; limit !== undefined && left > 0; left--) limit = await limitOf(take)
    if (limit !== undefined) return { clients: clients - clientsPerStep, limit }
  }
  return { clients: clientsMax, limit: 'no more were tried' }
}

export async function measureMost(stage: Stage): Promise<Figure[]> {
  const { floor, engine, colyseusF32, colyseus16, socketio } = stage.contestants, figures: Figure[] = []
  // The floor plays what it was given last, which were small rooms' bytes: it gets a large room's first.
  await stage.ask({ kind: 'join', group: engine.key, dialect: engine.dialect, port: engine.port, type: 'crowd', names: ['most'], clients: [1] })
  await stage.capture('most', 'crowd', () => stage.ask({ kind: 'turn', group: engine.key, ticks, inputs: 0 }))
  for (const contestant of [floor, engine, colyseusF32, colyseus16, socketio]) {
    const { clients, limit } = await climb(stage, contestant, () => takeTurn(stage, contestant, 0, ticks, 0))
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
    console.log(`  fanout/most: ${contestant.subject}: ${clients} clients; with ${clientsPerStep} more: ${limit}`)
    figures.push(figure('fanout/most', contestant.subject, `clients at ${tickHz} Hz`, 'clients', [clients]))
    await stage.ask({ kind: 'leave', group: contestant.key })
  }
  return figures
}
