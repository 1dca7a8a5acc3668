/**
 * Resident memory of a server against its connections, its rooms, and the entities of a room. It grows in steps; each step's share of what was added to it gives the
 * memory of one more, the sums of the steps the curve. The kernel's buffers of a socket are not the process's, and not in it.
 */
import { connect, type ClientRoom } from 'kasagi-engine/client'
import type { ServeProcess } from '../../test/support/process.js'
import { until } from '../../test/support/until.js'
import { startProject } from '../instances.js'
import { figure, isSmoke, type Figure, type Measured } from '../report.js'
import { entityCounts } from './entities.js'
import { inTurn } from './in-turn.js'
import { placeAt, wide } from './project/shared/wide.js'
import { residentKb } from './resident.js'
import { openStage, type GrowthStage } from './stage.js'

const id = 'growth/memory'
const connectionCounts = isSmoke ? [2, 4] : [250, 500, 1000, 2000, 4000], roomCounts = isSmoke ? [1, 3] : [100, 200, 400, 800]
/** History keeps 512 records: so many turns fill it. The first few only open a room. */
const firstTurns = isSmoke ? 1 : 10, allTurns = isSmoke ? 2 : 520
/** What a step leaves behind for a moment is given back by then. */
const restMs = isSmoke ? 0 : 2000

const rest = (): Promise<void> => new Promise((resolve) => { setTimeout(resolve, restMs) })

/** What the process had before a step, and has behind it. */
async function grownKb(pid: number, step: () => Promise<unknown>): Promise<number> {
  const before = residentKb(pid)
  await step()
  await rest()
  return residentKb(pid) - before
}

/** Steps of a curve: each brought `added` more, and took so many kB. */
interface Step { readonly added: number; readonly kb: number }

/** The sums of the steps along the curve, and what one more takes by each step but the first, which pays for all that there is once. */
function figuresOf(subject: string, along: string, steps: readonly Step[]): Figure[] {
  let value = 0, kb = 0
  const curve = steps.map((step) => figure(id, subject, 'resident memory added', 'kB', [kb += step.kb], { along, value: value += step.added }))
  return [...curve, figure(id, subject, 'memory of one more', 'kB', steps.slice(1).map((step) => step.kb / step.added))]
}

/** What each count adds to the one before. */
const addedOf = (counts: readonly number[]): number[] => counts.map((count, index) => count - (counts[index - 1] ?? 0))

async function play({ ask, engine: { dialect, port } }: GrowthStage, group: string, type: 'crowd' | 'small', names: readonly string[], clients: number, ticks: number): Promise<void> {
  await ask({ kind: 'join', group, dialect, port, type, names, clients: names.map(() => clients) })
  await ask({ kind: 'turn', group, ticks, inputs: 0 })
}

/** Clients of one room of 1,000 entities. */
async function growConnections(stage: GrowthStage): Promise<Figure[]> {
  const steps: Step[] = []
  await play(stage, id, 'crowd', ['memory'], 1, allTurns)
  for (const [index, added] of addedOf(connectionCounts).entries()) {
    steps.push({ added, kb: await grownKb(stage.engine.pid, () => play(stage, id, 'crowd', ['memory'], 1 + connectionCounts[index], firstTurns)) })
  }
  return figuresOf('a connection', 'connections', steps)
}

/** Rooms of 100 entities, each with a client: once they are open, and once their history is full. */
async function growRooms(stage: GrowthStage): Promise<Figure[]> {
  const opened: Step[] = [], full: Step[] = [], { pid } = stage.engine
  for (const added of addedOf(roomCounts)) {
    const group = `${id}-${opened.length}`, names = Array.from({ length: added }, (_, n) => `${opened.length}-${n}`)
    const kb = await grownKb(pid, () => play(stage, group, 'small', names, 1, firstTurns))
    opened.push({ added, kb })
    full.push({ added, kb: kb + await grownKb(pid, () => play(stage, group, 'small', names, 1, allTurns)) })
  }
  return [...figuresOf('a room of 100 entities and its client, just open', 'rooms', opened), ...figuresOf('a room of 100 entities and its client, history full', 'rooms', full)]
}

/** Whoever has come stays: both grow on one server, and no step finds what another gave back. */
async function growStage(): Promise<Figure[]> {
  const stage = await openStage('--arena-bytes', '2047M')
  try {
    return [...await growConnections(stage), ...await growRooms(stage)]
  } finally {
    await stage.end()
  }
}

/** Half a step of the quantized places. */
const awayMax = 1 / 32

type WideRoom = ClientRoom<typeof wide>

/** Its movers have all come to rest, where its last turn has them. */
async function prove({ globals, tables: { movers }, stats, status }: WideRoom, entities: number): Promise<void> {
  await until(() => globals.turn === allTurns, `${id}: a room of ${entities} has made ${allTurns} turns`, 60_000)
  const fail = (why: string): never => { throw new Error(`${id}: a room of ${entities}: ${why}`) }
  if (status !== 'live' || stats.hashMismatches > 0) fail(`its client is ${status}, after ${stats.hashMismatches} hashes that differed`)
  if (movers.size !== entities) fail(`${movers.size} rows are seen`)
  for (let row = 0; row < entities; row++) {
    const place = placeAt(row, allTurns)
    if (Math.abs(movers.x[row] - place) > awayMax || Math.abs(movers.y[row] - place) > awayMax) fail(`row ${row} is not where its last turn has it`)
  }
}

/** Rooms that differ in their entities alone, each with a client; the first is there before anything is looked at. */
async function openWide(server: ServeProcess, name: string, entities: number): Promise<WideRoom> {
  const room = await connect(server.url, { verify: true, joinMs: 30_000 }).join(wide, { name, options: { entities, turns: allTurns } })
  await prove(room, entities)
  return room
}

async function growEntities(): Promise<Figure[]> {
  const server = await startProject('bench/growth/project'), figures: Figure[] = [], totals: { entities: number; kb: number }[] = [], rooms: WideRoom[] = []
  const open = async (name: string, entities: number): Promise<unknown> => rooms.push(await openWide(server, name, entities))
  try {
    await open('first', entityCounts[0])
    for (const entities of entityCounts) totals.push({ entities, kb: await grownKb(server.pid(), () => open(`of-${entities}`, entities)) })
    await Promise.all(rooms.map((room) => room.leave()))
  } finally {
    await server.end()
  }
  for (const { entities, kb } of totals) figures.push(figure(id, 'a room with its history', 'resident memory', 'kB', [kb], { along: 'entities', value: entities }))
  const [least, most] = [totals[0], totals.at(-1)!]
  return [...figures, figure(id, 'an entity (x, y of 16 bits), its history included', 'memory of one more', 'B', [(most.kb - least.kb) * 1024 / (most.entities - least.entities)])]
}

export const measureMemory = async (): Promise<Measured> => ({ figures: (await inTurn([growStage, growEntities])).flat(), ratios: {}, targets: [] })
