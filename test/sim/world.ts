/**
 * The simulated world: its time, its queue of what happens next, its randomness, and who is in it. One thread, one seed, no real clock: the same seed
 * gives the same run.
 */
import { nextFloat, seedPrng, type PrngState } from '../../src/base/prng.js'
import type { Settings } from '../../src/backplane/protocol.js'
import type { accepts } from '../../src/base/input-order.js'
import type { Checker } from './checker.js'
import type { Player } from './client.js'
import type { Instance } from './instance.js'
import type { Server } from './redis.js'

/** What a run may get wrong on purpose, to see it found. */
export interface Plants {
  readonly continues?: Settings['continues']
  /** A winner asks nobody for something newer. */
  readonly isMute?: boolean
  readonly accepts?: typeof accepts
  /** The driver says that claims and renewals were sent when their answers came. */
  readonly leaseFromAnswer?: boolean
  /** The driver gives the machine the wall clock, which is set back and forth. */
  readonly wallClock?: boolean
  /** Publish and XADD do not ask whose the room is. */
  readonly isUnfenced?: boolean
}

export interface World {
  readonly seed: number
  readonly random: PrngState
  readonly plants: Plants
  readonly settings: Pick<Settings, 'durability' | 'whenDetached' | 'leaseMs'>
  /** Redis may lose acknowledged writes in this run. */
  readonly mayForget: boolean
  readonly newestVersion: number
  nowMs: number
  readonly heap: { atMs: number; order: number; act: () => void }[]
  order: number
  readonly servers: Server[]
  instances: Instance[]
  readonly players: Player[]
  readonly checker: Checker
  /** The network's usual delay; more in slow spells. */
  delayMs: number
  /** When the network, or Redis as a whole, was last not itself. */
  troubleMs: number
  isFaulty: boolean
  /** Clients make no new inputs any more. */
  isQuiet: boolean
  nextInstance: number
  readonly trace: ((text: string) => void) | undefined
}

export const leaseMs = 1000

export function createRandom(seed: number): PrngState {
  const random = new Uint32Array(4)
  seedPrng(random, seed)
  return random
}

export const chance = ({ random }: { random: PrngState }, of: number): boolean => nextFloat(random) < of
export const between = ({ random }: { random: PrngState }, from: number, to: number): number => from + nextFloat(random) * (to - from)
export const pick = <T>({ random }: { random: PrngState }, list: readonly T[]): T => list[Math.floor(nextFloat(random) * list.length)]

/** No two clocks run at one speed; a lease's margin is a tenth, so this is less than what it forgives. */
export const clockRate = (of: { random: PrngState }): number => between(of, 0.96, 1.04)

/** A message's time on its way. */
export const delay = (world: World): number => between(world, 0.5, 3) * (chance(world, 0.02) ? 5 : 1) * world.delayMs

export function at(world: World, atMs: number, act: () => void): void {
  const { heap } = world
  const item = { atMs, order: world.order++, act }
  let index = heap.push(item) - 1
  while (index > 0) {
    const parent = (index - 1) >> 1
    if (!isBefore(item, heap[parent])) break
    heap[index] = heap[parent]
    index = parent
  }
  heap[index] = item
}

export const after = (world: World, ms: number, act: () => void): void => at(world, world.nowMs + ms, act)

const isBefore = (a: World['heap'][0], b: World['heap'][0]): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)

/** Lets everything happen that is due until then. */
export function runUntil(world: World, untilMs: number): void {
  const { heap } = world
  while (heap.length > 0 && heap[0].atMs <= untilMs) {
    const [next] = heap, last = heap.pop()!
    if (heap.length > 0) sink(heap, last)
    world.nowMs = next.atMs
    next.act()
  }
  world.nowMs = untilMs
}

function sink(heap: World['heap'], item: World['heap'][0]): void {
  let index = 0
  for (;;) {
    let child = 2 * index + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++
    if (!isBefore(heap[child], item)) break
    heap[index] = heap[child]
    index = child
  }
  heap[index] = item
}
