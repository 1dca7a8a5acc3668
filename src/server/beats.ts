/** Time passing for rooms and their clients. Main thread. */
import { monotonicMs } from '../base/clock.js'
import type { Hearers } from './from-workers.js'
import { sweepRoom } from './forward.js'

/** Between two looks at every room's ownership where others can be: a fraction of what it waits for. Where nobody else can be, only a log is waited for. */
const lookMs = 25, lookAloneMs = 250
/** Between two looks at what its clients wait for, which visits each of them: a fraction of `stalledMs`, the least that any of it waits. */
const sweepMs = 100
/** How long a room is followed after the last client here has gone: somebody who comes back at once is served at once. */
const idleMsMax = 5000

/** Gives back how to end it. */
export function startBeats({ rooms, sessions }: Hearers): () => void {
  const { driver, peers } = rooms
  let sweptMs = 0
  const timer = setInterval(() => {
    const now = monotonicMs(), sweeps = now - sweptMs >= sweepMs
    if (sweeps) sweptMs = now
    for (const room of [...rooms.byKey.values()]) {
      driver.happen(room, { kind: 'time' })
      if (sweeps) sweepRoom(sessions, room, now)
      if (room.ownership.role !== 'following' || room.clients.size > 0 || room.opening.stays) { room.idleSinceMs = Infinity; continue }
      if (room.idleSinceMs === Infinity) room.idleSinceMs = now
      else if (now - room.idleSinceMs > idleMsMax) driver.happen(room, { kind: 'unwanted' })
    }
  }, peers.instance === 0 ? lookAloneMs : lookMs)
  return () => clearInterval(timer)
}
