/**
 * What a snapshot costs the worker, and how large it is, against the room's entities: all of them in chunks, for one client, in this thread. A decoder that has seen
 * nothing takes the chunks, and then has to see the room as it is.
 */
import { createFollower } from '../follower.js'
import { takeWindows, type Steal } from '../paired.js'
import { figure, isSmoke, median, type Measured } from '../report.js'
import { createTickingRooms, type TickingRooms } from '../tick/ticking-rooms.js'
import { catchUp, nowhere, type CaughtUp } from './catch-up.js'
import { entityCounts } from './entities.js'

const id = 'growth/snapshot', timesPerWindow = isSmoke ? 1 : 20, windows = isSmoke ? 1 : 5

function createProved(entities: number): TickingRooms {
  const rooms = createTickingRooms(entities, 1, undefined, () => {}), follower = createFollower(id, rooms.actors[0])
  rooms.check()
  for (const section of catchUp(rooms, nowhere, 'snapshot').sections) follower.take(section)
  follower.check()
  return rooms
}

function take(rooms: TickingRooms): CaughtUp {
  const times = Array.from({ length: timesPerWindow }, () => catchUp(rooms, nowhere, 'snapshot'))
  return { ...times[0], us: median(times.map(({ us }) => us)) }
}

export async function measureSnapshot(steal: Steal): Promise<Measured> {
  const sizes = entityCounts.map(createProved), taken = await takeWindows(id, steal, () => sizes.map(take), windows)
  const figures = entityCounts.flatMap((entities, index) => {
    const at = { along: 'entities', value: entities }
    return [
      figure(id, 'a snapshot', 'time to write', 'us', taken.map((each) => each[index].us), at),
      figure(id, 'a snapshot', 'bytes', 'B', taken.map((each) => each[index].bytes), at),
    ]
  })
  return { figures, ratios: {}, targets: [] }
}
