import { defineSchema, i8, u32 } from 'kasagi-engine/schema'

export const counter = defineSchema('counter', {
  globals: { count: u32 },
  inputs: { add: { by: i8 } },
})
