import { defineRoom } from 'kasagi-engine'
import { moverCount, placeAt, storm, tickHz } from '../shared/shapes.js'

/** All of its movers move at every tick. */
export default defineRoom(storm, {
  tickHz, durability: 'none', graceMs: 0, keepMs: 0, maxSessions: 1000,
  onCreate({ tables: { movers } }) { for (let row = 0; row < moverCount; row++) movers.spawn({ x: placeAt(row, 0), y: placeAt(row, 0), vx: 1, vy: 1, hp: 100 }) },
  onTick({ globals, tables: { movers: { x, y } } }) {
    globals.startedMs = performance.now()
    const turn = ++globals.turn
    for (let row = 0; row < moverCount; row++) x[row] = y[row] = placeAt(row, turn)
  },
})
