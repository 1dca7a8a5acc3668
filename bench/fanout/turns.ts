/** A contestant's turn in the fan-out bench, and what its server has used for it: all threads, user and kernel apart, per delivery. */
import { processTimes } from '../cpu.js'
import type { Contestant } from './contestants.js'
import type { Load } from './engine.js'
import type { TurnAnswer } from './load.js'
import { tickMs } from './project/shared/place.js'

export interface Taken {
  /** CPU of the server in all. */
  readonly cpuUs: number
  readonly cpuPerDeliveryUs: number
  /** The kernel's samples of the server, in user code and in all: of one turn too few to say how it divides. */
  readonly userTicks: number
  readonly allTicks: number
  /** Heads of frames included. */
  readonly bytesPerDelivery: number
  readonly deliveries: number
  readonly hz: number
  /** From an input to its acknowledgement. */
  readonly latencies: readonly number[]
  /** Of a core, while the room moved. */
  readonly serverShare: number
  readonly loadShare: number
}

/** `viewers`: clients that get deliveries of which the load does not know. `inputs`: of each of the load's clients. */
export async function takeTurn(stage: Load, { key, pid }: Contestant, viewers: number, ticks: number, inputs: number): Promise<Taken> {
  const before = processTimes(pid), loadBefore = processTimes(stage.loadPid)
  const answer = await stage.ask<TurnAnswer>({ kind: 'turn', group: key, ticks, inputs })
  const after = processTimes(pid), loadAfter = processTimes(stage.loadPid)
  const cpuUs = (after.ns - before.ns) / 1000, deliveries = answer.deliveries + viewers * ticks
  const userTicks = after.userTicks - before.userTicks
  return {
    cpuUs, deliveries, hz: answer.hz, latencies: answer.latencies, bytesPerDelivery: answer.bytes / answer.deliveries,
    cpuPerDeliveryUs: cpuUs / deliveries, userTicks, allTicks: userTicks + after.kernelTicks - before.kernelTicks,
    serverShare: cpuUs / 1000 / (ticks * tickMs), loadShare: (loadAfter.ns - loadBefore.ns) / 1e6 / (ticks * tickMs),
  }
}
