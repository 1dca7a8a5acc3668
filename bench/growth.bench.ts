/**
 * How costs grow: against entities, clients, rooms, workers, missed history, and of snapshots; and the memory of one more. Each part stands in a file of its own in
 * bench/growth, and first proves that state is right. `make bench ONLY=growth`; `PART=rooms` runs one part.
 */
import { measureClients } from './growth/clients.js'
import { printCurves } from './growth/curves.js'
import { measureEntities } from './growth/entities.js'
import { measureHistory } from './growth/history.js'
import { inTurn } from './growth/in-turn.js'
import { measureMemory } from './growth/memory.js'
import { measureRooms } from './growth/rooms.js'
import { measureSnapshot } from './growth/snapshot.js'
import { measureWorkers } from './growth/workers.js'
import { createSteal, printSteal } from './paired.js'
import { printFigures, writeReport, type Measured } from './report.js'

const steal = createSteal()
/** Those with a server come last: they pin this process, with all threads to come, to the load's core. */
const parts = {
  workers: measureWorkers, entities: measureEntities, history: measureHistory, snapshot: measureSnapshot, clients: measureClients, rooms: measureRooms, memory: measureMemory,
} as const

const wanted = Object.entries(parts).filter(([part]) => (process.env.PART ?? part) === part)
const measured = await inTurn<Measured>(wanted.map(([, measure]) => () => measure(steal)))
const figures = measured.flatMap((each) => each.figures)
printCurves(figures)
printFigures(figures.filter(({ at }) => at === undefined))
printSteal(steal)
writeReport('growth', measured)
