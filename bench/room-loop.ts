/** The room loop for a profiler, run in the main thread: 10,000 entities that all move, for `SECONDS` (10) seconds. `make flame` draws it. */
import { createBenchWorker, createMovingRoom } from './moving-room.js'

const room = createMovingRoom(createBenchWorker(), 10_000, true)
const end = performance.now() + Number(process.env.SECONDS ?? 10) * 1000
let flushes = 0
while (performance.now() < end) {
  const step = flushes++ % 200 < 100 ? 1.7 : -1.7
  for (let row = 0; row < 10_000; row++) { room.x[row] += step; room.y[row] += step }
  room.flush()
}
console.log(`${flushes} flushes`)
