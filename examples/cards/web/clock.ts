import type { ClientRoom } from 'kasagi-engine/client'
import { turnMs, type cards } from '../shared/cards.js'

/** Since when the turn has been going on, as far as this page saw; an outage does not count. */
export interface TurnClock { elapsedMs(): number; secondsLeft(): number }

export function createTurnClock(room: ClientRoom<typeof cards>): TurnClock {
  let turns = room.globals.turns, beganMs = performance.now(), lostMs: number | undefined
  room.onFlush(() => {
    if (room.globals.turns === turns) return
    turns = room.globals.turns
    beganMs = performance.now()
  })
  room.onStatus((told) => {
    if (told === 'resuming') lostMs ??= performance.now()
    if (told !== 'live' || lostMs === undefined) return
    beganMs += performance.now() - lostMs
    lostMs = undefined
  })
  const elapsedMs = (): number => Math.min(turnMs, (lostMs ?? performance.now()) - beganMs)
  return { elapsedMs, secondsLeft: () => Math.ceil((turnMs - elapsedMs()) / 1000) }
}
