import { describe, expect, it } from 'vitest'
import { nextFloat, nextInt, nextU32, seedPrng } from '../../src/base/prng.js'
import { loadKernels, type Kernels } from '../../src/memory/kernels.js'
import * as twin from './kernel-twins.js'

const seed = Number(process.env.SEED ?? 4711)
const rounds = process.env.LONG === undefined ? 60 : 5000
const state = new Uint32Array(4)
seedPrng(state, seed)
const int = (below: number): number => nextInt(state, below)

const memory = new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true })
const kernels = loadKernels(memory)
const twins: twin.Twins = { view: new DataView(memory.buffer), u8: new Uint8Array(memory.buffer) }
const words = 5
// Well apart, and 64-byte aligned; `theirs` is where twins write.
const [live, committed, mask, alive, out, theirs, wire, touched, narrowed] = [0, 1, 2, 3, 4, 5, 6, 7, 8].map((n) => 65_536 * (n + 1))

/** Words of every character: empty, full, single bits at the ends, random. */
function fillBits(rows: number, count = words): void {
  for (let word = 0; word < count; word++) {
    const kind = int(6)
    const [low, high] = kind === 0 ? [0, 0] : kind === 1 ? [~0, ~0] : kind === 2 ? [1, 0] : kind === 3 ? [0, 1 << 31] : [nextU32(state), nextU32(state)]
    twins.view.setInt32(rows + word * 8, low | 0, true)
    twins.view.setInt32(rows + word * 8 + 4, high | 0, true)
  }
}

const fillBytes = (at: number, bytes: number): void => { for (let n = 0; n < bytes; n++) twins.u8[at + n] = nextU32(state) }

/** Committed is live, but for some rows. */
function almost(width: number, count = words): void {
  fillBytes(live, count * 64 * width)
  twins.u8.copyWithin(committed, live, live + count * 64 * width)
  for (let n = int(120); n > 0; n--) twins.u8[committed + int(count * 64 * width)] ^= 1 << int(8)
}

const bytes = (at: number, count: number): string => Buffer.from(twins.u8.slice(at, at + count)).toString('hex')
const expectSame = (count: number, what: string): void => expect(bytes(out, count), `${what}, SEED=${seed}`).toBe(bytes(theirs, count))
const special = [NaN, Infinity, -Infinity, -0, 0, 1e30, -1e30]

describe('kernels', () => {
  for (const width of [1, 2, 4, 8] as const) {
    const name = `${width * 8}` as '8'
    it(`kernels: compare${name}, gather${name} and scatter${name} do what their twins do`, () => {
      for (let round = 0; round < rounds; round++) {
        almost(width)
        fillBits(mask)
        const count = kernels[`compare${name}`](live, committed, mask, out, words)
        expect(count).toBe(twin.compare(twins, width, live, committed, mask, theirs, words))
        expectSame(words * 8, `compare${name}`)
        expect(kernels[`gather${name}`](live, mask, words, out)).toBe(twin.gather(twins, width, live, mask, words, theirs))
        expectSame(twin.rowsOf(twins, mask, words).length * width, `gather${name}`)
        twins.u8.copyWithin(out, committed, committed + words * 64 * width)
        twins.u8.copyWithin(theirs, committed, committed + words * 64 * width)
        expect(kernels[`scatter${name}`](live, mask, words, out)).toBe(twin.scatter(twins, width, live, mask, words, theirs))
        expectSame(words * 64 * width, `scatter${name}`)
        expect(kernels.hashColumn(live, mask, words, width) >>> 0, `hashColumn ${width}, SEED=${seed}`).toBe(twin.hashColumn(twins, live, mask, words, width))
      }
    })
  }

  for (const [width, steps] of [[1, 200], [2, 65_535], [2, 300], [4, 2 ** 23 - 1]] as const) {
    it(`kernels: quantized columns of ${steps} steps round, clamp and count as their twins do`, () => {
      for (let round = 0; round < rounds; round++) {
        const min = int(3) === 0 ? 0 : Math.fround((nextFloat(state) - 0.5) * 1000), step = Math.fround(0.001 + nextFloat(state)), perStep = 1 / step
        for (let row = 0; row < words * 64; row++) {
          const value = int(12) === 0 ? special[int(special.length)] : min + (nextFloat(state) * 1.2 - 0.1) * steps * step
          twins.view.setFloat32(live + row * 4, value, true)
          const same = twin.quantized(twins, live + row * 4, min, perStep, steps) ^ (int(3) === 0 ? 1 : 0)
          if (width === 1) twins.view.setUint8(committed + row, same)
          else if (width === 2) twins.view.setUint16(committed + row * 2, same, true)
          else twins.view.setUint32(committed + row * 4, same, true)
        }
        fillBits(mask)
        twins.u8.fill(255, alive, alive + words * 8)
        const name = `${width * 8}` as '8'
        const count = kernels[`compareQuantized${name}`](live, committed, alive, mask, out, wire, words, min, perStep, steps)
        expect(count).toBe(twin.compareQuantized(twins, width, live, committed, mask, theirs, words, min, perStep, steps))
        expectSame(words * 8, `compareQuantized${name}`)
        for (let row = 0; row < words * 64; row += 7) {
          const left = width === 1 ? twins.view.getUint8(wire + row) : width === 2 ? twins.view.getUint16(wire + row * 2, true) : twins.view.getUint32(wire + row * 4, true)
          expect(left, `wire value of row ${row}, SEED=${seed}`).toBe(twin.quantized(twins, live + row * 4, min, perStep, steps))
        }
        const clamped = twin.countClamped(twins, live, mask, words, min, perStep, steps)
        expect(kernels.countClamped(live, mask, words, min, perStep, steps), `SEED=${seed}`).toBe(clamped)
        const gathered = kernels[`gather${name}`](wire, mask, words, out) / width
        if (clamped > 0) expect(kernels[`touchesEdge${name}`](out, gathered, steps)).toBe(1)
      }
    })
  }

  for (const width of [1, 2, 4, 8] as const) {
    it(`kernels: compareTouched${width * 8} finds what compare${width * 8} does, in marked blocks alone, and leaves its output where nothing differs`, () => {
      const many = 37, name = `compareTouched${width * 8}` as 'compareTouched8'
      for (let round = 0; round < rounds; round++) {
        almost(width, many)
        fillBits(mask, many)
        // Marks also behind the last row.
        fillBits(touched, 4)
        fillBytes(out, many * 8)
        twins.u8.copyWithin(theirs, out, out + many * 8)
        twin.narrow(twins, mask, touched, narrowed, many)
        const before = bytes(out, many * 8), count = kernels[name](live, committed, mask, touched, out, many)
        expect(count, `SEED=${seed}`).toBe(twin.compare(twins, width, live, committed, narrowed, theirs, many))
        if (count === 0) expect(bytes(out, many * 8)).toBe(before)
        else expectSame(many * 8, name)
      }
    })
  }

  for (const [width, steps] of [[1, 200], [2, 65_535], [4, 2 ** 23 - 1]] as const) {
    it(`kernels: compareTouchedQuantized${width * 8} does what its twin does, and leaves the values of marked blocks`, () => {
      const name = `compareTouchedQuantized${width * 8}` as 'compareTouchedQuantized8'
      const read = (at: number): number => width === 1 ? twins.view.getUint8(at) : width === 2 ? twins.view.getUint16(at, true) : twins.view.getUint32(at, true)
      for (let round = 0; round < rounds; round++) {
        const min = int(3) === 0 ? 0 : Math.fround((nextFloat(state) - 0.5) * 1000), step = Math.fround(0.001 + nextFloat(state)), perStep = 1 / step
        fillBytes(committed, words * 64 * width)
        for (let row = 0; row < words * 64; row++) {
          twins.view.setFloat32(live + row * 4, int(12) === 0 ? special[int(special.length)] : min + (nextFloat(state) * 1.2 - 0.1) * steps * step, true)
          const same = twin.quantized(twins, live + row * 4, min, perStep, steps), at = committed + row * width
          if (int(3) === 0) continue
          if (width === 1) twins.view.setUint8(at, same)
          else if (width === 2) twins.view.setUint16(at, same, true)
          else twins.view.setUint32(at, same, true)
        }
        fillBits(mask)
        fillBits(touched, 1)
        fillBytes(wire, words * 64 * width)
        twin.narrow(twins, mask, touched, narrowed, words)
        const left = twins.u8.slice(wire, wire + words * 64 * width), count = kernels[name](live, committed, mask, touched, out, wire, words, min, perStep, steps)
        expect(count, `SEED=${seed}`).toBe(twin.compareQuantized(twins, width, live, committed, narrowed, theirs, words, min, perStep, steps))
        if (count > 0) expectSame(words * 8, name)
        for (let row = 0; row < words * 64; row++) {
          const isMarked = (twins.u8[touched + (row >> 7)] >> (row >> 4 & 7) & 1) === 1
          if (isMarked) expect(read(wire + row * width), `row ${row}, SEED=${seed}`).toBe(twin.quantized(twins, live + row * 4, min, perStep, steps))
          else expect(twins.u8[wire + row * width]).toBe(left[row * width])
        }
      }
    })
  }

  it('kernels: bitmaps are counted, compared, combined and bounded as their twins do', () => {
    for (let round = 0; round < rounds; round++) {
      fillBits(mask)
      fillBits(alive)
      const a = twin.rowsOf(twins, mask, words), b = new Set(twin.rowsOf(twins, alive, words))
      expect(kernels.countBits(mask, words)).toBe(a.length)
      expect(kernels.equalBits(mask, alive, words)).toBe(bytes(mask, words * 8) === bytes(alive, words * 8) ? 1 : 0)
      expect(kernels.equalBits(mask, mask, words)).toBe(1)
      expect(kernels.firstWord(mask, words)).toBe(a.length === 0 ? words : a[0] >> 6)
      expect(kernels.lastWord(mask, words)).toBe(a.length === 0 ? 0 : (a[a.length - 1] >> 6) + 1)
      kernels.masks(mask, alive, out, theirs, wire, words)
      expect(twin.rowsOf(twins, out, words)).toEqual(a.filter((row) => b.has(row)))
      expect(twin.rowsOf(twins, theirs, words)).toEqual(a.filter((row) => !b.has(row)))
      expect(twin.rowsOf(twins, wire, words)).toEqual([...b].filter((row) => !a.includes(row)).sort((x, y) => x - y))
      kernels.and(out, theirs, words)
      expect(kernels.countBits(out, words)).toBe(0)
      fillBytes(out, words * 4)
      const stamps = Array.from({ length: words }, (_, word) => a.some((row) => row >> 6 === word) ? 0xfffffff1 : twins.view.getUint32(out + word * 4, true))
      kernels.stampWords(mask, words, out, 0xfffffff1)
      expect(Array.from({ length: words }, (_, word) => twins.view.getUint32(out + word * 4, true)), `SEED=${seed}`).toEqual(stamps)
      const first = int(words * 64), count = int(words * 64 - first)
      kernels.zero(out, words * 8)
      kernels.setRange(out, first, count)
      expect(twin.rowsOf(twins, out, words)).toEqual(Array.from({ length: count }, (_, n) => first + n))
    }
  })

  it('kernels: gap lists are read back as written, and anything else is refused', () => {
    for (let round = 0; round < rounds; round++) {
      fillBits(mask)
      const rows = twin.rowsOf(twins, mask, words), list = twin.gapList(rows)
      const written = kernels.writeGaps(mask, words, out, 65_536)
      expect(bytes(out, written)).toBe(Buffer.from(list).toString('hex'))
      const clear = (): void => kernels.zero(theirs, words * 8)
      clear()
      expect(kernels.readGaps(out, written, rows.length, theirs, words)).toBe(1)
      expect(bytes(theirs, words * 8)).toBe(bytes(mask, words * 8))
      if (rows.length === 0) continue
      for (const [length, count, size] of [[written - 1, rows.length, words], [written, rows.length + 1, words], [written, rows.length - 1, words], [written, rows.length, rows[rows.length - 1] >> 6]]) {
        clear()
        expect(kernels.readGaps(out, length, count, theirs, size), `SEED=${seed}`).toBe(0)
      }
      expect(kernels.writeGaps(mask, words, out, Math.floor(list.length / 2))).toBe(0)
    }
  })

  it('kernels: text slots are compared and hashed up to their length', () => {
    const slotBytes = 26
    for (let round = 0; round < rounds; round++) {
      fillBytes(live, words * 64 * slotBytes)
      twins.u8.copyWithin(committed, live, live + words * 64 * slotBytes)
      for (let row = 0; row < words * 64; row++) {
        const length = int(slotBytes - 1)
        for (const column of [live, committed]) twins.view.setUint16(column + row * slotBytes, length, true)
        if (int(4) === 0) twins.u8[committed + row * slotBytes + int(slotBytes - 2) + 2] ^= 1
        if (int(9) === 0) twins.view.setUint16(committed + row * slotBytes, int(slotBytes - 1), true)
      }
      fillBits(mask)
      const count = kernels.compareSlots(live, committed, mask, out, words, slotBytes)
      expect(count).toBe(twin.compareSlots(twins, live, committed, mask, theirs, words, slotBytes))
      expectSame(words * 8, 'compareSlots')
      expect(kernels.hashSlots(live, mask, words, slotBytes) >>> 0, `SEED=${seed}`).toBe(twin.hashSlots(twins, live, mask, words, slotBytes))
    }
  })

  it('kernels: each one has been held against its twin here', () => {
    const tested: (keyof Kernels)[] = [
      'compare8', 'compare16', 'compare32', 'compare64', 'gather8', 'gather16', 'gather32', 'gather64', 'scatter8', 'scatter16', 'scatter32', 'scatter64',
      'compareQuantized8', 'compareQuantized16', 'compareQuantized32', 'countClamped',
      'compareTouched8', 'compareTouched16', 'compareTouched32', 'compareTouched64', 'compareTouchedQuantized8', 'compareTouchedQuantized16', 'compareTouchedQuantized32', 'touchesEdge8', 'touchesEdge16', 'touchesEdge32', 'compareSlots',
      'and', 'masks', 'countBits', 'equalBits', 'firstWord', 'lastWord', 'setRange', 'stampWords', 'writeGaps', 'readGaps', 'copy', 'zero', 'hashColumn', 'hashSlots',
    ]
    expect(Object.keys(kernels).sort()).toEqual([...tested].sort())
    fillBytes(live, 100)
    kernels.copy(out, live, 100)
    expect(bytes(out, 100)).toBe(bytes(live, 100))
  })
})
