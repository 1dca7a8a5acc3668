/** A thread that sleeps until its word moves, and says so. */
import { parentPort, workerData } from 'node:worker_threads'

const word = workerData as Int32Array
for (let seen = 0; ; seen++) {
  // Moved meanwhile, it does not sleep.
  Atomics.wait(word, 0, seen)
  parentPort!.postMessage(0)
}
