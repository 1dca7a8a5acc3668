import { defineRoom } from 'kasagi-engine'
import { burning, burningHz } from '../shared/shapes.js'

/** Author code that takes a set share of every tick. The clock is the machine's: what is measured is when it is called. */
export default defineRoom(burning, {
  tickHz: burningHz, durability: 'none', graceMs: 0, keepMs: 0,
  onInput: { burn({ globals }, _, { share }) { globals.share = share } },
  onTick({ globals }, dtMs) {
    const startedMs = performance.now(), untilMs = startedMs + globals.share * dtMs
    globals.turn++
    globals.startedMs = startedMs
    while (performance.now() < untilMs);
  },
})
