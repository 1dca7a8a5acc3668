/** The rooms that the tick bench's server runs. */
import { defineSchema, f32, f64, quantized, table, u16, u32 } from 'kasagi-engine/schema'

export const worldSize = 4000, moverCount = 10_000, tickHz = 20

const place = quantized(0, worldSize, 1 / 16)
const movers = table({ x: place, y: place, vx: f32, vy: f32, rot: f32, hp: u16 }, { capacity: moverCount })

/** What its thread allocates: of every sample, the bytes of a tick. `minors`, `majors`: collections since the room began. */
export const steady = defineSchema('steady', { globals: { turn: u32, samples: u32, bytesPerTick: f64, minors: u32, majors: u32 }, tables: { movers } })

/** Only keeps a worker busy. */
export const warming = defineSchema('warming', { tables: { movers } })

/** Says when each of its ticks began, by its thread's clock. */
export const storm = defineSchema('storm', { globals: { turn: u32, startedMs: f64 }, tables: { movers } })

/** The same, and takes `share` of every tick for itself. */
export const burning = defineSchema('burning', { globals: { turn: u32, startedMs: f64, share: f32 }, inputs: { burn: { share: f32 } } })
export const burningHz = 50

/** Where a mover is at a turn: whoever sees the room can tell whether all of it is right. */
export const placeAt = (row: number, turn: number): number => (row * 37 + turn) % worldSize
