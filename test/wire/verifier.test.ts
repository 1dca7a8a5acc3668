/** The verifier against messages that are whole, cut, and broken on purpose. */
import { readdirSync, readFileSync } from 'node:fs'
import { Builder } from 'flatbuffers'
import { describe, expect, it } from 'vitest'
import { Nack } from '../../schema/generated/kasagi/wire/nack.js'
import { Own } from '../../schema/generated/kasagi/wire/own.js'
import { Position } from '../../schema/generated/kasagi/wire/position.js'
import { ServerBody } from '../../schema/generated/kasagi/wire/server-body.js'
import { ServerMessage } from '../../schema/generated/kasagi/wire/server-message.js'
import { nextInt, seedPrng } from '../../src/base/prng.js'
import { readClientMessage, verifyClientMessage, writeInput, writeJoin, writeResync } from '../../src/wire/client-messages.js'
import { readServerMessage, verifyServerMessage, writeNotice, writeOwn } from '../../src/wire/server-messages.js'
import { scalar, string, verify, type TableRule } from '../../src/wire/verifier.js'

const seed = Number(process.env.SEED ?? 20_261_124)
const folder = 'test/wire/golden'
const bytesOf = (name: string): Uint8Array => new Uint8Array(Buffer.from(readFileSync(`${folder}/${name}`, 'utf8').trim(), 'hex'))
const goldens = readdirSync(folder).map((name) => ({ name, bytes: bytesOf(name) }))
const none = new Uint8Array(0)
const isWhole = (bytes: Uint8Array): boolean => verifyClientMessage(bytes) || verifyServerMessage(bytes)

/** Where the root table, its vtable, and the body's table lie. */
function placesOf(bytes: Uint8Array) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const vtableOf = (table: number): number => table - view.getInt32(table, true)
  const slotOf = (table: number, field: number): number => table + view.getUint16(vtableOf(table) + 4 + field * 2, true)
  const root = view.getUint32(0, true), bodySlot = slotOf(root, 1)
  const body = bodySlot + view.getUint32(bodySlot, true)
  return { view, root, vtable: vtableOf(root), bodySlot, body, bodyVtable: vtableOf(body), slotOf }
}

type Places = ReturnType<typeof placesOf>

/** True if the message still passes after `change`. */
function passes(message: Uint8Array, change: (places: Places) => void): boolean {
  const bytes = message.slice()
  expect(isWhole(bytes)).toBe(true)
  change(placesOf(bytes))
  return isWhole(bytes)
}

const join = writeJoin({ schema: 'arena', schemaHash: 1, name: 'main', open: 0, join: new Uint8Array(5), options: none })
const input = writeInput(1, 2, new Uint8Array([1, 2, 3])), resync = writeResync(1, 2)

describe('verifier', () => {
  it('verifier: every released message passes, whole; the other side\'s never do', () => {
    expect(goldens.length).toBeGreaterThan(12)
    for (const { name, bytes } of goldens) {
      const isClients = bytes[5] === 'C'.charCodeAt(0)
      expect([name, verifyClientMessage(bytes), verifyServerMessage(bytes)]).toEqual([name, isClients, !isClients])
    }
  })

  it('verifier: a message that was cut anywhere is refused, or says the same as the whole one', () => {
    for (const { name, bytes } of goldens) {
      for (let length = 0; length < bytes.length; length++) {
        const cut = bytes.slice(0, length)
        if (!isWhole(cut)) continue
        // Only padding may be missing.
        const whole = [readClientMessage(bytes), readServerMessage(bytes)]
        expect([readClientMessage(cut), readServerMessage(cut)], `${name}, ${length} bytes`).toEqual(whole)
      }
    }
  })

  it('verifier: a root that is unaligned, or outside, is refused', () => {
    const rootAt = (root: number) => ({ view }: Places): void => view.setUint32(0, root, true)
    for (const root of [2, input.length, 0x7fffffff, 0xffffffff]) expect(passes(input, rootAt(root)), `root ${root}`).toBe(false)
    expect(passes(input, ({ view, root }) => view.setUint32(0, root + 1, true))).toBe(false)
  })

  it('verifier: a vtable that is odd, outside, or longer than the message is refused', () => {
    const offsetTo = (offset: number) => ({ view, root }: Places): void => view.setInt32(root, offset, true)
    const vtableOf = (bytes: number) => ({ view, vtable }: Places): void => view.setUint16(vtable, bytes, true)
    const tableOf = (bytes: number) => ({ view, vtable }: Places): void => view.setUint16(vtable + 2, bytes, true)
    for (const offset of [-0x80000000, 0x7fffffff, 1, -1]) expect(passes(input, offsetTo(offset)), `${offset}`).toBe(false)
    for (const bytes of [0, 2, 5, 0x7ffe, 0xfffe]) expect(passes(input, vtableOf(bytes)), `vtable of ${bytes}`).toBe(false)
    for (const bytes of [0, 3, 0x7ffc, 0xfffc]) expect(passes(input, tableOf(bytes)), `table of ${bytes}`).toBe(false)
  })

  it('verifier: a vtable may lie behind its table, but not at an odd place', () => {
    const moved = (gap: number): Uint8Array => {
      const { view, root, vtable } = placesOf(input), from = input.slice(vtable, vtable + view.getUint16(vtable, true))
      const bytes = Uint8Array.from([...input, ...new Uint8Array(gap), ...from])
      placesOf(bytes).view.setInt32(root, root - (input.length + gap), true)
      return bytes
    }
    expect([verifyClientMessage(moved(0)), verifyClientMessage(moved(1)), verifyClientMessage(moved(2))]).toEqual([true, false, true])
    expect(readClientMessage(moved(2))).toEqual(readClientMessage(input))
  })

  it('verifier: a field that lies over the vtable\'s offset, or behind its table, is refused', () => {
    const fieldAt = (offset: number) => ({ view, bodyVtable }: Places): void => view.setUint16(bodyVtable + 4, offset, true)
    for (const offset of [1, 3, 100, 0xfffc]) expect(passes(input, fieldAt(offset)), `${offset}`).toBe(false)
  })

  it('verifier: numbers of a table beyond 15 bits are refused, since generated readers take them as negative', () => {
    const large = new Uint8Array(70_000)
    large.set(input)
    expect(verifyClientMessage(large)).toBe(true)
    expect(passes(large, ({ view, bodyVtable }) => view.setUint16(bodyVtable + 2, 0x7ffc, true))).toBe(true)
    expect(passes(large, ({ view, bodyVtable }) => view.setUint16(bodyVtable + 2, 0xfffc, true))).toBe(false)
    expect(passes(large, ({ view, bodyVtable }) => view.setUint16(bodyVtable, 0xfffe, true))).toBe(false)
  })

  it('verifier: a vector or text that does not lie inside is refused', () => {
    const length = (value: number) => ({ view, body, slotOf }: Places): void => {
      const slot = slotOf(body, 2)
      view.setUint32(slot + view.getUint32(slot, true), value, true)
    }
    expect(passes(input, length(3))).toBe(true)
    for (const value of [input.length, 0x7fffffff, 0xffffffff]) expect(passes(input, length(value)), `${value}`).toBe(false)
    expect(passes(input, ({ view, body, slotOf }) => view.setUint32(slotOf(body, 2), 0x7ffffff0, true))).toBe(false)
  })

  it('verifier: a text without its zero, too long, or no UTF-8 is not read', () => {
    const schemaAt = ({ view, body, slotOf }: Places): number => slotOf(body, 1) + view.getUint32(slotOf(body, 1), true)
    expect(passes(join, (places) => places.view.setUint8(schemaAt(places) + 4 + 5, 1))).toBe(false)
    const long = writeJoin({ schema: 'a'.repeat(65), schemaHash: 1, name: undefined, open: 0, join: none, options: none })
    expect(verifyClientMessage(long)).toBe(false)
    const bytes = join.slice(), places = placesOf(bytes)
    places.view.setUint8(schemaAt(places) + 4, 0xff)
    expect([verifyClientMessage(bytes), readClientMessage(bytes)]).toEqual([true, undefined])
  })

  it('verifier: a union without a type, of an unknown one, or without a body is refused', () => {
    const typeOf = (type: number) => ({ view, root, slotOf }: Places): void => view.setUint8(slotOf(root, 0), type)
    for (const type of [0, 8, 255]) expect(passes(input, typeOf(type)), `type ${type}`).toBe(false)
    expect(passes(input, ({ view, vtable }) => view.setUint16(vtable + 6, 0, true))).toBe(false)
  })

  it('verifier: what is required must be there', () => {
    expect(passes(resync, ({ view, bodyVtable }) => view.setUint16(bodyVtable + 4, 0, true))).toBe(false)
    expect(passes(join, ({ view, bodyVtable }) => view.setUint16(bodyVtable + 6, 0, true))).toBe(false)
    expect(passes(writeNotice('left', ''), ({ view, bodyVtable }) => view.setUint16(bodyVtable + 4, 0, true))).toBe(false)
  })

  it('verifier: as many nacks as a message holds pass; offsets that share one table do not multiply the work', () => {
    const nacks = Array.from({ length: 2000 }, (_, number) => ({ number, code: 'x', text: '' }))
    expect(verifyServerMessage(writeOwn({ epoch: 1, seq: 1, durableSeq: 1, lastInput: 1, wanted: 0, sections: 0, nacks }))).toBe(true)
    expect(verifyServerMessage(manyOffsets(200_000))).toBe(false)
  })

  it('verifier: a text that many share counts each time: whoever reads them all reads no more than the message, twice', () => {
    expect([1, 2, 3, 1000].map((nacks) => verifyServerMessage(sharedText(nacks, 100_000)))).toEqual([true, true, false, false])
  })

  it('verifier: tables that fan out are bounded by the bytes of their message', () => {
    // Eight levels, each a vector of 100 offsets to the one table of the next: 10^16 visits, were nobody counting.
    const leaf: TableRule = { fields: [scalar(4)] }
    const rule = Array.from({ length: 8 }).reduce<TableRule>((inner) => ({ fields: [{ kind: 'tables', rule: inner }] }), leaf)
    const builder = new Builder(8192)
    builder.startObject(1)
    builder.addFieldInt32(0, 5, 0)
    let table = builder.endObject()
    for (let level = 0; level < 8; level++) {
      builder.startVector(4, 100, 4)
      for (let n = 0; n < 100; n++) builder.addOffset(table)
      const vector = builder.endVector()
      builder.startObject(1)
      builder.addFieldOffset(0, vector, 0)
      table = builder.endObject()
    }
    builder.finish(table, 'TEST')
    const began = performance.now()
    expect(verify(builder.asUint8Array(), 'TEST', rule)).toBe(false)
    expect(performance.now() - began).toBeLessThan(50)
  })

  it('verifier: a text is as long as its rule allows, and not longer', () => {
    const builder = new Builder(64), name = builder.createString('four')
    builder.startObject(1)
    builder.addFieldOffset(0, name, 0)
    builder.finish(builder.endObject(), 'TEST')
    expect([3, 4].map((bytesMax) => verify(builder.asUint8Array(), 'TEST', { fields: [string(bytesMax)] }))).toEqual([false, true])
  })

  it('verifier: 50,000 mutated servers\' messages are read or refused, never thrown at', () => {
    const state = new Uint32Array(4)
    seedPrng(state, seed)
    const originals = goldens.filter(({ bytes }) => verifyServerMessage(bytes))
    let read = 0
    for (let round = 0; round < 50_000; round++) {
      const bytes = originals[nextInt(state, originals.length)].bytes.slice()
      for (let n = 1 + nextInt(state, 3); n > 0; n--) {
        bytes[nextInt(state, bytes.length)] = nextInt(state, 3) === 0 ? 255 : nextInt(state, 256)
      }
      try {
        if (readServerMessage(bytes) !== undefined) read++
      } catch (error) {
        throw new Error(`SEED=${seed}, round ${round}`, { cause: error })
      }
    }
    expect(read).toBeGreaterThan(1000)
  })
})

/** An Own whose nacks are `count` offsets to one and the same table. */
function manyOffsets(count: number): Uint8Array {
  const builder = new Builder(1024), code = builder.createString('x')
  builder.startObject(3)
  builder.addFieldOffset(1, code, 0)
  const nack = builder.endObject()
  builder.startVector(4, count, 4)
  for (let n = 0; n < count; n++) builder.addOffset(nack)
  const nacks = builder.endVector()
  Own.startOwn(builder)
  Own.addPosition(builder, Position.createPosition(builder, 1, 0, 1, 0))
  Own.addNacks(builder, nacks)
  builder.finish(ServerMessage.createServerMessage(builder, ServerBody.Own, Own.endOwn(builder)), 'KSRV')
  return builder.asUint8Array()
}

/** An Own whose `count` nacks have one and the same code of `letters` letters. */
function sharedText(count: number, letters: number): Uint8Array {
  const builder = new Builder(1024), code = builder.createString('x'.repeat(letters))
  const nacks = Array.from({ length: count }, (_, number) => Nack.createNack(builder, number, code, 0))
  const vector = Own.createNacksVector(builder, nacks)
  Own.startOwn(builder)
  Own.addPosition(builder, Position.createPosition(builder, 1, 0, 1, 0))
  Own.addNacks(builder, vector)
  builder.finish(ServerMessage.createServerMessage(builder, ServerBody.Own, Own.endOwn(builder)), 'KSRV')
  return builder.asUint8Array()
}
