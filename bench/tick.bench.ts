/**
 * What one worker does with its ticks, and one server without peers. Each part stands in a file of its own in bench/tick, and first proves that state is right.
 * `make bench ONLY=tick`; `PART=garbage` runs one part.
 */
import { startProject } from './instances.js'
import { createSteal, printSteal } from './paired.js'
import { printFigures, writeReport, type Measured } from './report.js'
import { measureGarbage } from './tick/garbage.js'
import { measureLatency } from './tick/latency.js'
import { measureJoinStorm } from './tick/join-storm.js'
import { measurePhases } from './tick/phases.js'
import { measureStartError } from './tick/start-error.js'

const steal = createSteal(), parts: Measured[] = []
const isWanted = (part: string): boolean => (process.env.PART ?? part) === part

if (isWanted('phases')) parts.push(await measurePhases(steal))
const pinged = await startProject('bench/cluster/project')
try {
  if (isWanted('latency')) parts.push(await measureLatency(pinged, steal))
} finally {
  await pinged.end()
}
const server = await startProject('bench/tick/project')
try {
  if (isWanted('start-error')) parts.push(await measureStartError(server, steal))
  if (isWanted('join-storm')) parts.push(await measureJoinStorm(server, steal))
  if (isWanted('garbage')) parts.push(await measureGarbage(server))
} finally {
  await server.end()
}
printFigures(parts.flatMap(({ figures }) => figures))
printSteal(steal)
writeReport('tick', parts)
