/**
 * What a delivery costs end to end, beside bare uWebSockets.js, Colyseus and socket.io: real servers in processes of their own on one core, clients on bare
 * sockets on another. bench/fanout has its parts. `make bench ONLY=fanout`; `FULL=1` also looks for the highest client count.
 */
import { measureFanout } from './fanout/fanout.js'
import { createSteal } from './paired.js'
import { printFigures, printTargets, writeReport } from './report.js'

const steal = createSteal(), { figures, ratios, targets } = await measureFanout(steal)
printFigures(figures)
printTargets(targets)
console.log(`  stolen from a window at most ${(steal.highest * 100).toFixed(1)}%; taken again because it was more than 5%: ${steal.repeated}`)
writeReport('fanout', figures, ratios, targets)
