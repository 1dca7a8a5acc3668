/** The crowds of the fan-out bench: how many rooms of which type, and how many clients in each. */
import { windowsWanted } from '../paired.js'
import { isSmoke } from '../report.js'
import type { RoomType } from './project/shared/place.js'

/** `role`: which of the targets it is for. */
export interface CrowdShape { readonly id: string; readonly role: 'few' | 'many' | 'rooms'; readonly type: RoomType; readonly rooms: number; readonly clients: number; readonly windows: number }

/** Of many clients in one room what is above the floor is a tenth of what is measured: it takes more windows to tell it. */
const windowsOfMany = isSmoke ? windowsWanted : 25

const shape = (role: CrowdShape['role'], type: RoomType, rooms: number, clients: number): CrowdShape =>
  ({ id: `fanout/${rooms}x${clients}`, role, type, rooms, clients, windows: role === 'many' ? windowsOfMany : windowsWanted })

const allShapes = isSmoke
  ? [shape('rooms', 'small', 3, 2), shape('few', 'crowd', 1, 4), shape('many', 'crowd', 1, 8)]
  // Many rooms first: they tick so often that V8 has compiled every contestant's code when single rooms have their turn, which at 20 Hz would take it minutes.
  : [shape('rooms', 'small', 100, 10), shape('few', 'crowd', 1, 200), shape('many', 'crowd', 1, 1000)]

/** `PART` runs one. */
export const crowdShapes: readonly CrowdShape[] = allShapes.filter(({ role }) => role === (process.env.PART ?? role))

/** Ticks of a turn, at 20 Hz; and with inputs, of every client one a tick, so many: the last are applied before the room stands still. */
export const ticksPerTurn = isSmoke ? 3 : 15, inputsPerTurn = ticksPerTurn - 2

/** Windows before anything is timed, so that just-in-time compilers have seen it, and that something is there to be proved. */
export const warmUpWindows = isSmoke ? 0 : 2

export const roomNames = ({ id, rooms }: CrowdShape): string[] => Array.from({ length: rooms }, (_, n) => `${id.slice('fanout/'.length)}-${n}`)
