import { defineRoom } from 'kasagi-engine'
import { crowd, crowdMovers, placeAt } from '../shared/shapes.js'

/** Everything moves, at every tick. */
export default defineRoom(crowd, {
  tickHz: 20, durability: 'none', maxSessions: 1000,
  onCreate({ tables: { movers } }) { for (let row = 0; row < crowdMovers; row++) movers.spawn({ x: placeAt(row, 0), y: placeAt(row, 0) }) },
  onTick({ globals, tables: { movers } }) {
    const turn = ++globals.turn
    for (let row = 0; row < crowdMovers; row++) movers.x[row] = movers.y[row] = placeAt(row, turn)
  },
})
