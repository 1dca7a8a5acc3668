/**
 * Named fault points: where tests end a worker, to see that its successor loses nothing. Worker thread. Without a fault, passing a point costs
 * a comparison.
 *
 *   name or name:n       ends the thread at the n-th passing of that point, once per arena however many threads follow
 *   random:seed:kills    ends it at any point, again and again; never twice while the same handler of the same journal entry runs
 */
import { nextInt, seedPrng } from '../src/base/prng.js'
import { atFaultFired, atFaultHandler, atFaultNumber } from '../src/memory/arena-layout.js'
import { readMark } from '../src/memory/arena.js'
import { loadWord, storeWord, type Views } from '../src/memory/views.js'

/** The exit code of a thread that ended at a fault point. */
export const faultExitCode = 86

export type Fault = (name: string) => void

/** Passings between two random faults, at most. */
const passingsMax = 1500

/** Gives the function to call at each point. */
export function createFaults(views: Views, fault: string | undefined): Fault {
  if (fault === undefined) return () => {}
  const random = /^random:(\d+):(\d+)$/.exec(fault)
  return random === null ? createNamed(views, fault) : createRandom(views, Number(random[1]), Number(random[2]))
}

function end(views: Views): never {
  storeWord(views, atFaultFired, loadWord(views, atFaultFired) + 1)
  return process.exit(faultExitCode)
}

function createNamed(views: Views, fault: string): Fault {
  if (loadWord(views, atFaultFired) !== 0) return () => {}
  const at = fault.lastIndexOf(':')
  const counted = /:\d+$/.test(fault)
  const name = counted ? fault.slice(0, at) : fault
  let left = counted ? Number(fault.slice(at + 1)) : 1
  return (passed) => { if (passed === name && --left <= 0 && loadWord(views, atFaultFired) === 0) end(views) }
}

/** Each life of the thread draws its own end from the seed and the number of lives before it. */
function createRandom(views: Views, seed: number, kills: number): Fault {
  const fired = loadWord(views, atFaultFired), state = new Uint32Array(4)
  if (fired >= kills) return () => {}
  seedPrng(state, seed + fired)
  let left = 1 + nextInt(state, passingsMax)
  return () => {
    if (--left > 0) return
    const { handler, journalNumber } = readMark(views)
    const isSame = handler !== 0 && loadWord(views, atFaultHandler) === handler && loadWord(views, atFaultNumber) === journalNumber >>> 0
    if (isSame) return
    storeWord(views, atFaultHandler, handler)
    storeWord(views, atFaultNumber, journalNumber)
    end(views)
  }
}
