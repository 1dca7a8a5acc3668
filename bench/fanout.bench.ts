/**
 * What a delivery costs end to end, beside bare uWebSockets.js, Colyseus and socket.io: real servers in processes of their own on one core, clients on bare
 * sockets on another. bench/fanout has its parts. `make bench ONLY=fanout`; `PART=few`, `many` or `rooms` runs one crowd; `FULL=1` also looks for the highest client count.
 */
import { measureFanout } from './fanout/fanout.js'
import { createSteal, printSteal } from './paired.js'
import { printFigures, writeReport } from './report.js'

const steal = createSteal(), measured = await measureFanout(steal)
printFigures(measured.figures)
printSteal(steal)
writeReport('fanout', [measured])
