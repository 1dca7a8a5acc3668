/**
 * What one step of a room costs against its entities: mutation, compare, encode and commit, by the flush alone in this thread. All rows move, or every hundredth,
 * scanned or in a table that tracks touches; in a loop, and 20 times a second, when caches are cold. A client's decoder follows each room before and behind.
 */
import { createFollower } from '../follower.js'
import { createBenchWorker, createMovingRoom, type MovingRoom } from '../moving-room.js'
import { takeWindows, type Steal } from '../paired.js'
import { figure, isSmoke, median, type Measured } from '../report.js'

const id = 'growth/entities'
export const entityCounts = isSmoke ? [1000, 2000] : [1000, 3000, 10_000, 30_000, 100_000]
const loopMs = isSmoke ? 5 : 60, coldSteps = isSmoke ? 1 : 10, periodMs = isSmoke ? 5 : 50, stepsProved = 3, windows = isSmoke ? 1 : 5

interface Way { readonly subject: string; readonly stride: number; readonly track: 'scan' | 'touch' }
const ways: readonly Way[] = [
  { subject: 'all rows move', stride: 1, track: 'scan' }, { subject: '1% moves, scanned', stride: 100, track: 'scan' }, { subject: '1% moves, touched', stride: 100, track: 'touch' },
]

interface Cell { readonly entities: number; readonly way: Way; readonly room: MovingRoom; turn: number; check(): void }
interface Taken { readonly loopUs: number; readonly coldUs: number; readonly bytes: number }

function step(cell: Cell): void {
  const { room: { x, y, touch, flush }, entities, way: { stride, track } } = cell, turn = cell.turn++, by = turn % 200 < 100 ? 1.7 : -1.7
  for (let row = turn % stride; row < entities; row += stride) {
    x[row] += by
    y[row] += by
    if (track === 'touch') touch(row)
  }
  flush()
}

/** Its follower has all rows, and is told of some steps whenever it is asked to check. */
function createCell(room: MovingRoom, entities: number, way: Way): Cell {
  const follower = createFollower(id, room.actor), told = way.stride * stepsProved
  follower.take(room.section())
  const cell: Cell = { entities, way, room, turn: 0, check: () => {
    for (let n = 0; n < told; n++) { step(cell); follower.take(room.section()) }
    follower.check()
  } }
  return cell
}

const sleeping = new Int32Array(new SharedArrayBuffer(4))

function timed(cell: Cell): number {
  const began = performance.now()
  step(cell)
  return (performance.now() - began) * 1000
}

function take(cell: Cell): Taken {
  const warm: number[] = [], cold: number[] = []
  for (const end = performance.now() + loopMs; performance.now() < end;) warm.push(timed(cell))
  for (let n = 0; n < coldSteps; n++) {
    Atomics.wait(sleeping, 0, 0, periodMs)
    cold.push(timed(cell))
  }
  return { loopUs: median(warm), coldUs: median(cold), bytes: cell.room.section().byteLength }
}

export async function measureEntities(steal: Steal): Promise<Measured> {
  const worker = createBenchWorker()
  const cells = entityCounts.flatMap((entities) => ways.map((way) => createCell(createMovingRoom(worker, entities, true, way.track), entities, way)))
  for (const { check } of cells) check()
  // Once for the compiler alone: what it makes of the loops depends on all that went through them.
  cells.map(take)
  const taken = await takeWindows(id, steal, () => cells.map(take), windows)
  // What the timed steps told nobody, all rows' next steps do: each row moves once in a stride.
  for (const { check } of cells) check()
  const figures = cells.flatMap(({ entities, way: { subject } }, index) => {
    const at = { along: 'entities', value: entities }, valuesOf = (of: (each: Taken) => number): number[] => taken.map((each) => of(each[index]))
    return [
      figure(id, `${subject}, in a loop`, 'time of a step', 'us', valuesOf(({ loopUs }) => loopUs), at),
      figure(id, `${subject}, 20 Hz`, 'time of a step', 'us', valuesOf(({ coldUs }) => coldUs), at),
      figure(id, subject, 'bytes of a step', 'B', valuesOf(({ bytes }) => bytes), at),
    ]
  })
  return { figures, ratios: {}, targets: [] }
}
