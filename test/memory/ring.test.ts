import { describe, expect, it } from 'vitest'
import { nextInt, seedPrng } from '../../src/base/prng.js'
import { claim, createRingReader, createRingWriter, publish, read, release } from '../../src/memory/ring.js'
import { createViews } from '../../src/memory/views.js'

const seed = Number(process.env.SEED ?? 5)
const capacity = 1024

describe('ring', () => {
  it('ring: records come out whole and in order, over many turns round the end', () => {
    const state = new Uint32Array(4)
    seedPrng(state, seed)
    const views = createViews(new SharedArrayBuffer(4096)), writer = createRingWriter(views, 64, capacity), reader = createRingReader(views, 64, capacity)
    const sent: { kind: number; bytes: number; mark: number }[] = []
    let mark = 0, received = 0
    for (let n = 0; n < 20_000; n++) {
      const bytes = nextInt(state, 200), kind = 1 + nextInt(state, 9)
      const at = claim(writer, kind, bytes)
      if (at !== 0) {
        mark = (mark + 1) % 256
        views.u8.fill(mark, at, at + bytes)
        publish(writer)
        sent.push({ kind, bytes, mark })
      }
      for (let k = nextInt(state, 3); k > 0; k--) {
        const from = read(reader)
        if (from === 0) break
        const wanted = sent[received++]
        expect([reader.kind, reader.bytes], `SEED=${seed}`).toEqual([wanted.kind, wanted.bytes])
        if (!views.u8.slice(from, from + reader.bytes).every((byte) => byte === wanted.mark)) throw new Error(`record ${received} is not whole, SEED=${seed}`)
        release(reader)
      }
    }
    expect(received).toBeGreaterThan(10_000)
  })

  it('ring: a full ring refuses the record and moves nothing', () => {
    const views = createViews(new SharedArrayBuffer(4096)), writer = createRingWriter(views, 0, capacity), reader = createRingReader(views, 0, capacity)
    let count = 0
    while (claim(writer, 1, 100) !== 0) { publish(writer); count++ }
    const head = writer.head
    expect(claim(writer, 1, 100)).toBe(0)
    expect(writer.head).toBe(head)
    for (let n = 0; n < count; n++) { expect(read(reader)).not.toBe(0); release(reader) }
    expect(read(reader)).toBe(0)
    expect(claim(writer, 1, 100)).not.toBe(0)
  })

  it('ring: a claimed record that was never published does not exist for a successor', () => {
    const views = createViews(new SharedArrayBuffer(4096)), dead = createRingWriter(views, 0, capacity)
    views.u8[claim(dead, 3, 8)] = 99
    const successor = createRingWriter(views, 0, capacity), reader = createRingReader(views, 0, capacity)
    expect(read(reader)).toBe(0)
    views.u8[claim(successor, 4, 8)] = 7
    publish(successor)
    expect(views.u8[read(reader)]).toBe(7)
    expect(reader.kind).toBe(4)
  })
})
