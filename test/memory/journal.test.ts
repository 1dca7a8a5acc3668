/** The journal alone, over memory of its own. */
import { describe, expect, it } from 'vitest'
import { journalBytesMin as journalBytes } from '../../src/base/limits.js'
import { nextInt, seedPrng } from '../../src/base/prng.js'
import { appendEntry, cutJournal, nextEntry, openJournal } from '../../src/memory/journal.js'
import { roomHeaderBytes, type RoomLayout } from '../../src/memory/room-layout.js'
import { createViews } from '../../src/memory/views.js'

const source = roomHeaderBytes + journalBytes
const layout = { base: 0, journal: roomHeaderBytes, journalBytes } as RoomLayout

describe('journal', () => {
  it('journal: entries of any size come out as they went in, over every wrap, and again for a successor', () => {
    const seed = Number(process.env.SEED ?? Date.now() >>> 0), random = new Uint32Array(4)
    seedPrng(random, seed)
    const views = createViews(new SharedArrayBuffer(source + 4096)), model: { number: number; bytes: number; mark: number }[] = []
    let journal = openJournal(views, layout), written = 0, read = 0, refused = 0
    for (let n = 0; n < 60_000; n++) {
      const bytes = nextInt(random, nextInt(random, 20) === 0 ? 3000 : 120), mark = nextInt(random, 256)
      views.u8.fill(mark, source, source + bytes)
      if (appendEntry(journal, 1 + nextInt(random, 9), source, bytes, nextInt(random, 2) === 0)) model.push({ number: ++written, bytes, mark })
      else refused++
      while (nextInt(random, 3) > 0 || model.length > 600) {
        const entry = nextEntry(journal), expected = model[read]
        if (entry === undefined) { expect(read, `SEED=${seed}`).toBe(model.length); break }
        if (entry.number !== expected.number || entry.bytes !== expected.bytes || (entry.bytes > 0 && views.u8[entry.at + entry.bytes - 1] !== expected.mark)) throw new Error(`SEED=${seed} entry ${entry.number} is not ${expected.number}`)
        read++
      }
      if (nextInt(random, 500) > 0 || read === 0) continue
      // A commit; now and then its thread dies, and a successor begins behind what is committed.
      const through = 1 + nextInt(random, read)
      cutJournal(journal, model[through - 1].number)
      model.splice(0, through)
      read -= through
      if (nextInt(random, 5) > 0) continue
      journal = openJournal(views, layout)
      read = 0
    }
    expect([written > 10_000, refused > 100], `SEED=${seed} ${written} written, ${refused} refused`).toEqual([true, true])
  })
})
