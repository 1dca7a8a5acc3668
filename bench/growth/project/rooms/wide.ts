import { defineRoom } from 'kasagi-engine'
import { placeAt, wide } from '../shared/wide.js'

/** All of its movers move for so many turns, then stand still. Fast, so that its history is soon full. */
export default defineRoom(wide, {
  tickHz: 60, durability: 'none', graceMs: 0, keepMs: 0,
  onCreate({ tables: { movers }, options: { entities } }) { for (let row = 0; row < entities; row++) movers.spawn({ x: placeAt(row, 0), y: placeAt(row, 0) }) },
  onTick({ globals, options: { entities, turns }, tables: { movers: { x, y } } }) {
    if (globals.turn === turns) return
    const turn = ++globals.turn
    for (let row = 0; row < entities; row++) x[row] = y[row] = placeAt(row, turn)
  },
})
