import { defineRoom } from 'kasagi-engine'
import { ping } from '../shared/shapes.js'

/** Event-driven: an input flushes at once. */
export default defineRoom(ping, { tickHz: 0, durability: 'none', onInput: { ping({ globals }, _, { number }) { globals.last = number } } })
