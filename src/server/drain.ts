/**
 * Giving rooms away before this process ends. Main thread. Each room that it runs goes to an instance that follows it, or into the store; rooms that it
 * follows are let go of.
 */
import { monotonicMs } from '../base/clock.js'
import type { Hearers } from './from-workers.js'

const lookMs = 20

/** Resolves with how many rooms were not given away in time. */
export async function drainRooms({ rooms }: Hearers, deadlineMs: number): Promise<number> {
  const { driver } = rooms, end = monotonicMs() + deadlineMs
  rooms.isDraining = true
  for (const room of [...rooms.byKey.values()]) driver.happen(room, { kind: 'drain' })
  const isLeft = (): number => [...rooms.byKey.values()].filter(({ ownership, afterStore }) => ownership.epoch !== 0 || afterStore !== undefined).length
  while (isLeft() > 0 && monotonicMs() < end) await new Promise((resolve) => { setTimeout(resolve, lookMs) })
  return isLeft()
}
