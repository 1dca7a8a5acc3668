/** A room whose number of entities is an option: what the memory of one more entity is measured with. Its columns are reserved for all that there may be. */
import { defineSchema, quantized, table, u32 } from 'kasagi-engine/schema'

const worldSize = 4000, place = quantized(0, worldSize, 1 / 16)

export const wide = defineSchema('wide', {
  globals: { turn: u32 },
  options: { entities: u32, turns: u32 },
  tables: { movers: table({ x: place, y: place }, { capacity: 131_072 }) },
})

/** Where a mover is at a turn, x and y alike. */
export const placeAt = (row: number, turn: number): number => (row * 37 + turn) % worldSize
