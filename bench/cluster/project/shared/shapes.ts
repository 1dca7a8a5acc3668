/** The rooms that the cluster bench's instances serve. */
import { defineSchema, quantized, table, u32 } from 'kasagi-engine/schema'

export const ping = defineSchema('ping', { globals: { last: u32 }, inputs: { ping: { number: u32 } } })

export const crowdSize = 4000, crowdMovers = 1000

export const crowd = defineSchema('crowd', {
  globals: { turn: u32 },
  tables: { movers: table({ x: quantized(0, crowdSize, 1 / 16), y: quantized(0, crowdSize, 1 / 16) }, { capacity: crowdMovers }) },
})

/** The same, to warm up with. */
export const warming = defineSchema('warming', { globals: { turn: u32 }, tables: { movers: table({ x: quantized(0, crowdSize, 1 / 16), y: quantized(0, crowdSize, 1 / 16) }, { capacity: crowdMovers }) } })

/** Where a mover is at a turn: whoever sees the room can tell whether all of it is right. */
export const placeAt = (row: number, turn: number): number => (row * 37 + turn) % crowdSize
