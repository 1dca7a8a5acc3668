/** The engine's rooms of the fan-out bench: 16 bits for x and y, or f32 (`exact`), and many small ones. */
import { defineSchema, f32, quantized, table, u16, u32 } from 'kasagi-engine/schema'
import { moversOf, worldSize, type RoomType } from './place.js'

const shapeOf = (name: RoomType, place: typeof f32) => defineSchema<string, {
  globals: { turn: typeof u32; applied: typeof u32; left: typeof u16 }
  inputs: { go: { turns: typeof u16 }; steer: { to: typeof u32 } }
  tables: { movers: ReturnType<typeof table<{ x: typeof f32; y: typeof f32 }>> }
}>(name, {
  // `left`: turns that it still has to move.
  globals: { turn: u32, applied: u32, left: u16.to('server') },
  inputs: { go: { turns: u16 }, steer: { to: u32 } },
  tables: { movers: table({ x: place, y: place }, { capacity: moversOf[name] }) },
})

const place16 = quantized(0, worldSize, 1 / 16)

export const crowd = shapeOf('crowd', place16), exact = shapeOf('exact', f32), small = shapeOf('small', place16)
