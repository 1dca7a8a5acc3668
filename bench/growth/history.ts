/**
 * What it costs to catch a client up by the sections that it missed, against how many those are: a room of 10,000 entities of which 1% moves at each tick, in this
 * thread; the worker's part. A decoder that stood still takes what was written, and then has to see the room as it is.
 */
import { createFollower } from '../follower.js'
import { newestSection } from '../moving-room.js'
import { takeWindows, type Steal } from '../paired.js'
import { figure, isSmoke, median, type Measured } from '../report.js'
import { createTickingRooms, type TickingRooms } from '../tick/ticking-rooms.js'
import { committedSeq } from '../../workers/history.js'
import { catchUp, type CaughtUp } from './catch-up.js'

const id = 'growth/history', entities = isSmoke ? 1000 : 10_000
/** History keeps 512 records. */
const missedCounts = isSmoke ? [1, 10] : [1, 8, 32, 128, 500], timesPerWindow = isSmoke ? 1 : 20, windows = isSmoke ? 1 : 5

const missing = (rooms: TickingRooms, missed: number): CaughtUp => {
  const [{ room }] = rooms.actors
  return catchUp(rooms, { epoch: room.epoch, seq: committedSeq(room.arena, room.layout) - missed }, 'sections')
}

function prove(rooms: TickingRooms, missed: number): void {
  const [actor] = rooms.actors, follower = createFollower(id, actor)
  // All rows move once, so that their live values are what was told of them.
  for (let n = 0; n < rooms.stride; n++) rooms.tick(0)
  for (const section of catchUp(rooms, { epoch: 0, seq: 0 }, 'snapshot').sections) follower.take(section)
  for (let n = 0; n < missed; n++) rooms.tick(0)
  const { sections } = missing(rooms, missed)
  if (sections.length !== missed) throw new Error(`${id}: ${sections.length} of ${missed} missed sections were written`)
  for (const section of sections) follower.take(section)
  follower.check()
  if (!Buffer.from(sections.at(-1)!).equals(newestSection(actor.room))) throw new Error(`${id}: the last section is not the newest`)
}

export async function measureHistory(steal: Steal): Promise<Measured> {
  const rooms = createTickingRooms(entities, 1, undefined, () => {})
  rooms.check()
  rooms.stride = 100
  for (const missed of missedCounts) prove(rooms, missed)
  const window = (): readonly CaughtUp[] => missedCounts.map((missed) => {
    const times = Array.from({ length: timesPerWindow }, () => missing(rooms, missed))
    return { ...times[0], us: median(times.map(({ us }) => us)) }
  })
  const taken = await takeWindows(id, steal, window, windows)
  const figures = missedCounts.flatMap((missed, index) => {
    const at = { along: 'missed records', value: missed }
    return [
      figure(id, 'the sections of a client', 'time to write', 'us', taken.map((each) => each[index].us), at),
      figure(id, 'the sections of a client', 'bytes', 'B', taken.map((each) => each[index].bytes), at),
    ]
  })
  return { figures, ratios: {}, targets: [] }
}
