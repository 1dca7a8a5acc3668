import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bool, choice, defineSchema, f32, f64, i16, i32, i64, i8, json, list, optional, quantized, ref, table, text, u16, u32, u64, u8, type Fields } from '../../src/schema/index.js'
import { dequantize, quantize } from '../../src/schema/quantize.js'
import { fieldsOf } from '../../src/schema/tables-of.js'
import { packSlot, packToBytes, unpackFields, unpackSlot } from '../../src/wire/fields.js'
import { fits, utf8Bytes } from '../../src/schema/values.js'

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

const unpackAs = (tables: ReturnType<typeof fieldsOf>, bytes: Uint8Array): Record<string, unknown> | undefined =>
  unpackFields(tables, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length)

type AnyField = Fields[string]
interface Sample { field: AnyField; value: unknown }
const sample = (field: AnyField, value: fc.Arbitrary<unknown>): fc.Arbitrary<Sample> => value.map((given) => ({ field, value: given }))
const words = fc.constantFrom('', 'ann', '\uFEFF', '日本', '\u{1F600}', '\0"\\')
/** What JSON says, without the one number that it does not tell from another: -0. */
const jsonValue = fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.parse(JSON.stringify(value)) as unknown).filter((value) => fits(json(600).spec, value))
const leaf = fc.oneof(
  sample(u8, fc.nat(255)), sample(i16, fc.integer({ min: -32768, max: 32767 })), sample(f32, fc.float({ noNaN: true, noDefaultInfinity: true })),
  sample(f64, fc.double({ noNaN: true, noDefaultInfinity: true })), sample(u64, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })), sample(i64, fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
  sample(bool, fc.boolean()), sample(choice('x', 'y'), fc.constantFrom('x', 'y')), sample(text(12), words), sample(json(600), jsonValue),
)
/** A field and a value of it, nested up to two deep: lists of one item's kind, optionals that are there or not. */
const nested = (inner: fc.Arbitrary<Sample>): fc.Arbitrary<Sample> => fc.oneof(
  inner,
  fc.tuple(inner, fc.nat(4)).map(([{ field, value }, count]) => ({ field: list(field, 4), value: Array.from({ length: count }, () => value) })),
  fc.tuple(inner, fc.boolean()).filter(([{ field }]) => field.spec.kind !== 'optional' && field.spec.kind !== 'json').map(([{ field, value }, there]) => ({ field: optional(field), value: there ? value : null })),
)
const anySample = nested(nested(leaf))

describe('packed fields of every kind', () => {
  it('fields: whatever is declared, what is packed is unpacked, frozen, and no shorter or longer bytes are read', () => {
    fc.assert(fc.property(fc.array(anySample, { minLength: 1, maxLength: 4 }), (samples) => {
      const tables = fieldsOf(Object.fromEntries(samples.map(({ field }, n) => [`f${n}`, field]))), given = Object.fromEntries(samples.map(({ value }, n) => [`f${n}`, value]))
      const bytes = packToBytes(tables, given), read = unpackAs(tables, bytes)
      expect(read).toEqual(given)
      for (const value of Object.values(read!)) expect(Object.isFrozen(value)).toBe(true)
      for (let length = 0; length < bytes.length; length++) expect(unpackAs(tables, bytes.slice(0, length))).toBeUndefined()
      expect(unpackAs(tables, new Uint8Array([...bytes, 0]))).toBeUndefined()
    }), { numRuns: 400 })
  })

  it('fields: a slot holds what was put there, and reads no other length', () => {
    fc.assert(fc.property(anySample.filter(({ field }) => field.spec.maxBytes !== undefined), ({ field: { spec }, value }) => {
      const target = new DataView(new ArrayBuffer(spec.bytes + 8)), end = packSlot(spec, value, target, 4)
      expect(end - 4).toBeLessThanOrEqual(spec.maxBytes!)
      expect(unpackSlot(spec, target, 4, end - 4)).toEqual(value)
      if (spec.kind === 'list' || spec.kind === 'optional') expect(unpackSlot(spec, target, 4, end - 3)).toBeUndefined()
    }), { numRuns: 400 })
    expect(unpackSlot(optional(u8).spec, new DataView(new ArrayBuffer(1)), 0, 1)).toBeUndefined()
    expect([list(u8, 3), optional(u8), json(9), text(3)].map(({ spec }) => unpackSlot(spec, new DataView(new ArrayBuffer(0)), 0, 0))).toEqual([[], null, null, ''])
  })

  it('fields: random and mutated bytes are a value of the field or refused, never thrown at', () => {
    let read = 0
    fc.assert(fc.property(anySample, fc.uint8Array({ maxLength: 60 }), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }), ({ field, value }, random, changes) => {
      const tables = fieldsOf({ f: field }), bytes = packToBytes(tables, { f: value })
      for (const [at, byte] of changes) if (bytes.length > 0) bytes[at % bytes.length] = byte
      for (const hostile of [bytes, random]) {
        const got = unpackAs(tables, hostile)
        if (got === undefined) continue
        read++
        expect(fits(field.spec, got.f)).toBe(true)
      }
    }), { numRuns: 3000 })
    expect(read).toBeGreaterThan(500)
  })

  it('fields: counts above the maximum, marks of presence that are none, broken JSON and its depth bombs are refused', () => {
    const tables = fieldsOf({ l: list(u8, 3) }), others = fieldsOf({ o: optional(u8) }), documents = fieldsOf({ j: json(32_000) })
    expect(unpackAs(tables, Uint8Array.of(3, 0, 1, 2, 3))).toEqual({ l: [1, 2, 3] })
    expect(unpackAs(tables, Uint8Array.of(4, 0, 1, 2, 3, 4))).toBeUndefined()
    expect([[0], [1, 7], [2], [2, 7], [1], []].map((bytes) => unpackAs(others, Uint8Array.from(bytes)))).toEqual([{ o: null }, { o: 7 }, undefined, undefined, undefined, undefined])
    const document = (text: string | Uint8Array): unknown => {
      const bytes = Buffer.from(text as string)
      return unpackAs(documents, Uint8Array.from([bytes.length & 255, bytes.length >> 8, ...bytes]))
    }
    expect([document('{"a":[1]}'), document('null'), document('"\\\\"')]).toEqual([{ j: { a: [1] } }, { j: null }, { j: '\\' }])
    expect(unpackAs(fieldsOf({ j: json(4) }), Uint8Array.of(4, 0, ...Buffer.from('1e20')))).toBeUndefined()
    for (const broken of ['', '{', '[1,]', 'undefined', '\uFEFF1', '1e999', '[{"a":1e999}]', '"\n"']) expect(document(broken), broken).toBeUndefined()
    expect(document(Uint8Array.of(34, 0xff, 34))).toBeUndefined()
    expect(document(`${'['.repeat(64)}${']'.repeat(64)}`)).toBeDefined()
    expect(document(`"\\"${'['.repeat(70)}"`)).toBeDefined()
    for (const bomb of [`${'['.repeat(65)}${']'.repeat(65)}`, '['.repeat(30_000), '{"a":'.repeat(6000), `${'['.repeat(15_000)}${']'.repeat(15_000)}`]) expect(document(bomb)).toBeUndefined()
  })

  it('fields: bytes of text are counted as they are encoded, halves of pairs included', () => {
    fc.assert(fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.array(fc.constantFrom('\ud83d', '\ude00', 'x', 'é', '日')).map((parts) => parts.join(''))), (text) => {
      expect(utf8Bytes(text)).toBe(new TextEncoder().encode(text).length)
    }), { numRuns: 1000 })
  })

  it('fields: null is a value where it is one, and absence takes the default', () => {
    const tables = fieldsOf({ o: optional(u8).default(5), j: json(20).default([1]), w: u64.default(9n), l: list(u64, 2).default([3n]) })
    expect(unpackAs(tables, packToBytes(tables, {}))).toEqual({ o: 5, j: [1], w: 9n, l: [3n] })
    expect(unpackAs(tables, packToBytes(tables, { o: null, j: null }))).toEqual({ o: null, j: null, w: 9n, l: [3n] })
  })

  it('fields: values of other kinds are refused by the writer, by name and reason', () => {
    const circle: unknown[] = [], holes = new Array(2), deep: unknown[] = []
    circle.push(circle)
    let inner = deep
    for (let n = 0; n < 20_000; n++) { const next: unknown[] = []; inner.push(next); inner = next }
    const tables = fieldsOf({ wide: u64, low: i64, tags: list(text(3), 2), maybe: optional(u8), any: json(10), small: f32 })
    for (const [wrong, why] of [
      [{ wide: -1n }, 'wide: -1n is no u64'], [{ wide: 2n ** 64n }, 'is no u64'], [{ wide: 5 }, 'wide: 5 is no u64'], [{ low: -(2n ** 63n) - 1n }, 'is no i64'],
      [{ tags: ['a', 'b', 'c'] }, 'tags: 3 items, at most 2'], [{ tags: ['four'] }, 'tags: ["four"] is no list of text'], [{ tags: holes }, 'tags: [null,null] is no list of text'],
      [{ tags: 'ab' }, 'tags: "ab" is no list of text'], [{ tags: null }, 'tags: null is no list'], [{ maybe: 256 }, 'maybe: 256 is no optional of u8'], [{ maybe: [1] }, 'is no optional'],
      [{ any: 'x'.repeat(9) }, 'any: 11 bytes of JSON, at most 10'], [{ any: circle }, 'any: an object without JSON is no json'], [{ any: () => 1 }, 'is no json'], [{ any: 1n }, 'any: 1n is no json'],
      [{ any: deep }, 'is no json'], [{ small: 1e39 }, 'small: 1e+39 is no f32'],
    ] as const) expect(() => packToBytes(tables, wrong), why).toThrow(why)
  })
})
