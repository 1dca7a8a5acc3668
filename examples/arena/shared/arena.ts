import { defineSchema, f32, quantized, table, text, u16, u8 } from 'kasagi-engine/schema'

export const size = 4000
export const speed = 220
export const radiusOf = (mass: number): number => 5 + Math.sqrt(mass) * 2

const place = { x: quantized(0, size, 0.1), y: quantized(0, size, 0.1) }
const grid = { x: 'x', y: 'y', cell: 200 } as const

export const arena = defineSchema('arena', {
  player: 'cells',
  tables: {
    cells: table({
      ...place,
      mass: u16.default(20),
      name: text(24),
      hue: u16,
      tx: f32.to('server'),
      ty: f32.to('server'),
      bot: u8.to('server'),
    }, { capacity: 4000, grid }),
    food: table({ ...place, kind: u8 }, { capacity: 20_000, grid }),
  },
  inputs: { aim: { x: f32, y: f32 }, again: { name: text(24) } },
  events: { eaten: { by: text(24), x: f32, y: f32 } },
  join: { name: text(24).default('anon') },
  options: { bots: u16.default(300), food: u16.default(2500) },
  listing: { region: text(8) },
})
