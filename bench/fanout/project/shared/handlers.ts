/** What all rooms of the fan-out bench do: when they are told to go they move for so many turns, and count the inputs that they apply. Worker. */
import { defineRoom } from 'kasagi-engine'
import { moversOf, placeAt, tickHz, type RoomType } from './place.js'
import type { crowd } from './shapes.js'

/** `maxSessions`: each costs address space for what is kept of a session, so small rooms have few. */
export const moving = (schema: typeof crowd, maxSessions: number) => {
  const movers = moversOf[schema.name as RoomType]
  return defineRoom(schema, {
    tickHz, maxSessions, durability: 'none', graceMs: 0, keepMs: 500,
    onCreate({ tables }) { for (let row = 0; row < movers; row++) tables.movers.spawn({ x: placeAt(row, 0), y: placeAt(row, 0) }) },
    onInput: {
      go({ globals }, _, { turns }) { globals.left = turns },
      steer({ globals }) { globals.applied++ },
    },
    onTick({ globals, tables: { movers: { x, y } } }) {
      if (globals.left === 0) return
      globals.left--
      const turn = ++globals.turn
      for (let row = 0; row < movers; row++) x[row] = y[row] = placeAt(row, turn)
    },
  })
}
