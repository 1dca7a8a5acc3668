import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bool, choice, defineSchema, f32, f64, i16, i32, i8, quantized, ref, table, text, u16, u32, u8 } from '../../src/schema/index.js'
import { dequantize, quantize } from '../../src/schema/quantize.js'
import { fieldsOf } from '../../src/schema/tables-of.js'
import { packToBytes, unpackFields } from '../../src/wire/fields.js'

const schema = defineSchema('all', {
  tables: { things: table({ v: u8 }, { capacity: 1 }) },
  inputs: { all: { a: i8, b: u8, c: i16, d: u16, e: i32, f: u32, g: f32, h: f64, q: quantized(-10, 10, 0.01), ok: bool, kind: choice('x', 'y'), line: text(12), to: ref('things') } },
})
const fields = fieldsOf(schema.inputs!.all)
const unpack = (bytes: Uint8Array): Record<string, unknown> | undefined => unpackFields(fields, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length)
const quantizedField = fields.find(({ name }) => name === 'q')!

const values = fc.record({
  a: fc.integer({ min: -128, max: 127 }), b: fc.nat(255), c: fc.integer({ min: -32768, max: 32767 }), d: fc.nat(65535), e: fc.integer(), f: fc.nat(2 ** 32 - 1),
  g: fc.float({ noNaN: true, noDefaultInfinity: true }), h: fc.double({ noNaN: true, noDefaultInfinity: true }), q: fc.double({ min: -10, max: 10, noNaN: true }), ok: fc.boolean(),
  kind: fc.constantFrom('x', 'y'), line: fc.constantFrom('', 'ann', '\uFEFFbom', '日本語', 'twelve bytes'), to: fc.option(fc.nat(2 ** 40)),
})

describe('packed fields', () => {
  it('fields: what is packed is unpacked, quantized to its step', () => {
    fc.assert(fc.property(values, (given) => {
      expect(unpack(packToBytes(fields, given))).toEqual({ ...given, q: dequantize(quantizedField, quantize(quantizedField, given.q)) })
    }))
  })

  it('fields: values that do not fit are refused by the writer, by name', () => {
    for (const wrong of [{ a: 128 }, { b: -1 }, { d: 1.5 }, { f: 2 ** 32 }, { g: NaN }, { h: Infinity }, { ok: 1 }, { kind: 'z' }, { line: 'x'.repeat(13) }, { line: 5 }, { to: -1 }]) {
      expect(() => packToBytes(fields, wrong)).toThrow(`bad-input: ${Object.keys(wrong)[0]}:`)
    }
  })

  it('fields: truncated, longer, mutated and random bytes are read or refused, never thrown at', () => {
    const whole = packToBytes(fields, { line: 'ann' })
    for (let length = 0; length < whole.length; length++) expect(unpack(whole.slice(0, length))).toBeUndefined()
    expect(unpack(new Uint8Array([...whole, 0]))).toBeUndefined()
    fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => { unpack(bytes) }), { numRuns: 5000 })
    const badText = packToBytes(fields, { line: 'ann' })
    badText[badText.indexOf(97)] = 0xff
    expect(unpack(badText)).toBeUndefined()
  })
})
