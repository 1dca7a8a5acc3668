/**
 * Which living row of a `drop-oldest` table was spawned first: a list of rows through two typed arrays, in order of birth. Worker thread;
 * allocates nothing once it is made.
 *
 * Invariant: it holds exactly the table's living rows. It is not state: `$born` is, and a successor builds the list again from that.
 */
import { nextRow, type Rows } from '../src/memory/rows.js'
import type { NumberArray } from './columns.js'

const nobody = -1

export interface Ages {
  readonly before: Int32Array
  readonly after: Int32Array
  oldest: number
  newest: number
}

export const createAges = (rows: Rows): Ages =>
  ({ before: new Int32Array(rows.capacity), after: new Int32Array(rows.capacity), oldest: nobody, newest: nobody })

/** Takes in a row that was spawned after all others. */
export function enterRow(ages: Ages, row: number): void {
  const { before, after, newest } = ages
  before[row] = newest
  after[row] = nobody
  if (newest === nobody) ages.oldest = row
  else after[newest] = row
  ages.newest = row
}

/** Takes out a row that is despawned. */
export function leaveRow(ages: Ages, row: number): void {
  const { before, after } = ages
  const older = before[row], younger = after[row]
  if (older === nobody) ages.oldest = younger
  else after[older] = younger
  if (younger === nobody) ages.newest = older
  else before[younger] = older
}

/** Builds the list from the living rows and their order of birth. */
export function sortRows(ages: Ages, rows: Rows, born: NumberArray): void {
  const living: number[] = []
  for (let row = nextRow(rows, 0); row >= 0; row = nextRow(rows, row + 1)) living.push(row)
  ages.oldest = ages.newest = nobody
  for (const row of living.sort((a, b) => born[a] - born[b])) enterRow(ages, row)
}
