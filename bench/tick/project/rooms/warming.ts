import { defineRoom } from 'kasagi-engine'
import { moverCount, placeAt, warming } from '../shared/shapes.js'

/** The movers of the steady room twelve times as fast: so V8 compiles a worker's loop within seconds instead of minutes. */
export default defineRoom(warming, {
  tickHz: 240, keepMs: 0, durability: 'none', graceMs: 0,
  onCreate({ tables: { movers } }) { for (let row = 0; row < moverCount; row++) movers.spawn({ x: placeAt(row, 0), y: placeAt(row, 0), vx: 1, vy: 1, hp: 100 }) },
  onTick({ time: { tick }, tables: { movers: { x, y } } }) { for (let row = 0; row < moverCount; row++) x[row] = y[row] = placeAt(row, tick) },
})
