/** `kasagi-engine/schema`: what authors of rooms and of clients describe their world with. Safe in a browser. */
export { defineSchema } from './define-schema.js'
export {
  bool, choice, f32, f64, i16, i32, i64, i8, json, list, optional, quantized, ref, table, text, u16, u32, u64, u8,
  type Column, type Field, type Fields, type Ref, type Schema, type Shape, type TableDef, type Values,
} from './fields.js'
export type { Audience } from './field-tables.js'
