/** Quantized values: the same arithmetic as the kernels, step by step in f32, so that both sides of a wire agree to the bit. */
import type { FieldSpec } from './field-tables.js'

const magic = 2 ** 23

/** The step's number: round half to even of (value - min) / step, clamped to 0 … steps, NaN to 0. */
export function quantize(field: FieldSpec, value: number): number {
  const x = Math.fround(Math.fround(Math.fround(value) - Math.fround(field.min!)) * Math.fround(1 / field.step!))
  const low = x > 0 ? x : 0
  const clamped = low < field.steps! ? low : field.steps!
  return Math.fround(clamped + magic) - magic
}

/** The value of a step's number. */
export const dequantize = (field: FieldSpec, wire: number): number => Math.fround(field.min! + wire * field.step!)
