import { describe, expect, it } from 'vitest'
import { createRingReader, createRingWriter, read, release } from '../../src/memory/ring.js'
import { createViews } from '../../src/memory/views.js'
import { createTeller } from '../../workers/teller.js'

describe('teller', () => {
  it('teller: what finds the ring full is told later, once and in order', () => {
    const capacity = 1024, views = createViews(new SharedArrayBuffer(64 + capacity))
    const writer = createRingWriter(views, 0, capacity), reader = createRingReader(views, 0, capacity), teller = createTeller(writer)
    const heard: string[] = []
    const hear = (most: number): void => {
      for (let n = 0, at = read(reader); at !== 0 && n < most; n++, at = read(reader)) {
        heard.push(`${reader.kind} ${views.u32[at >>> 2]} ${views.u8[at + 4]}`)
        release(reader)
      }
    }
    for (let n = 0; n < 200; n++) {
      teller.tell(1 + n % 3, [n], Uint8Array.of(n))
      // Now and then there is space for what is told next, while older words are still owed.
      if (n % 50 === 25) hear(7)
      if (n % 50 === 49) { hear(7); teller.pay() }
    }
    expect(teller.pay()).toBe(false)
    let rounds = 0
    while (!teller.pay() && ++rounds < 200) hear(3)
    expect(rounds).toBeLessThan(200)
    hear(Infinity)
    expect(teller.pay()).toBe(true)
    hear(Infinity)
    expect(heard).toEqual(Array.from({ length: 200 }, (_, n) => `${1 + n % 3} ${n} ${n}`))
  })
})
