/**
 * Named fault points: where tests end a worker, to see that its successor loses nothing. Worker thread. Without a fault, passing a point costs
 * a comparison.
 *
 *   name or name:n       ends the thread at the n-th passing of that point, once per arena however many threads follow
 *   random:seed:kills    ends it at any point, again and again; never where poison.ts would charge the room for it with more than time
 */
import { nextInt, seedPrng } from '../src/base/prng.js'
import { atFaultFired } from '../src/memory/arena-layout.js'
import type { Arena } from '../src/memory/arena.js'
import { loadWord, storeWord } from '../src/memory/views.js'
import { wouldCost } from './poison.js'

/** The exit code of a thread that ended at a fault point. */
export const faultExitCode = 86

export type Fault = (name: string) => void

/** Passings between two random faults, at most. */
const passingsMax = 1500

/** Gives the function to call at each point. */
export function createFaults(arena: Arena, fault: string | undefined): Fault {
  if (fault === undefined) return () => {}
  const random = /^random:(\d+):(\d+)$/.exec(fault)
  return random === null ? createNamed(arena, fault) : createRandom(arena, Number(random[1]), Number(random[2]))
}

function end(arena: Arena): never {
  storeWord(arena, atFaultFired, loadWord(arena, atFaultFired) + 1)
  return process.exit(faultExitCode)
}

function createNamed(arena: Arena, fault: string): Fault {
  if (loadWord(arena, atFaultFired) !== 0) return () => {}
  const at = fault.lastIndexOf(':')
  const counted = /:\d+$/.test(fault)
  const name = counted ? fault.slice(0, at) : fault
  let left = counted ? Number(fault.slice(at + 1)) : 1
  return (passed) => { if (passed === name && --left <= 0 && loadWord(arena, atFaultFired) === 0) end(arena) }
}

/** Each life of the thread draws its own end from the seed and the number of lives before it. */
function createRandom(arena: Arena, seed: number, kills: number): Fault {
  const fired = loadWord(arena, atFaultFired), state = new Uint32Array(4)
  if (fired >= kills) return () => {}
  seedPrng(state, seed + fired)
  let left = 1 + nextInt(state, passingsMax)
  return () => { if (--left <= 0 && !wouldCost(arena)) end(arena) }
}
