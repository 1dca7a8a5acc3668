/** Records in MessagePack maps, from whoever can write to Redis: what is none is refused, quickly, whatever lengths it claims. */
import fc from 'fast-check'
import { Packr } from 'msgpackr'
import { describe, expect, it } from 'vitest'
import { openPeerRecord } from '../../src/server/peer-record.js'
import { recordInMap } from '../../src/wire/record-in-map.js'
import { addNack, beginRecord, createRecordWriter, finishRecord } from '../../src/wire/record.js'
import { leastMs } from '../support/time.js'
import { changes, everyField, mutate } from './mutations.js'

const seed = Number(process.env.SEED ?? Date.now() % 0x7fff_ffff)
const head = { epoch: 2 ** 50 + 1, seq: 9, durableSeq: 8, parentEpoch: 3, forkSeq: 1, journalThrough: 4, tick: 7, instance: 5 }

function recordBytes(): Uint8Array {
  const u8 = new Uint8Array(4096), writer = createRecordWriter({ u8, u16: new Uint16Array(u8.buffer), u32: new Uint32Array(u8.buffer) })
  beginRecord(writer, 0)
  addNack(writer, 3, 9, new TextEncoder().encode('no'))
  return u8.slice(0, finishRecord(writer, head))
}

const packr = new Packr({ useRecords: false, variableMapSize: true })
const pack = (value: unknown): Uint8Array => Uint8Array.from(packr.pack(value))
const record = recordBytes(), bin = Buffer.from(record)
const deep = (depth: number): unknown => depth === 0 ? 1 : [deep(depth - 1)]
const rest = { despawned: { things: [1, 2 ** 20] }, spawned: { things: [{ row: 3, id: 'three', big: 2n ** 63n - 1n, low: -(2n ** 62n), at: 0.5, note: { deep: deep(20) }, none: null, is: true }] }, changed: { things: Array.from({ length: 40 }, (_, row) => ({ row, at: -row })) }, events: [{ name: 'rang', data: { text: 'x'.repeat(300) }, to: [1, 2] }] }
const map = pack({ epoch: head.epoch, seq: 9, tick: 7, ...rest, record: bin })

describe('hostile: records in maps', () => {
  it('hostile: a map gives the record that lies in it, wherever it stands, from any address', () => {
    for (const packed of [map, pack({ record: bin, epoch: 1 }), pack({ more: Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`key${n}`, n])), record: bin })]) {
      const anywhere = new Uint8Array(packed.length + 3)
      anywhere.set(packed, 3)
      const opened = openPeerRecord(anywhere.subarray(3))!
      expect([opened.head, [...opened.bytes]]).toEqual([head, [...record]])
    }
    expect(openPeerRecord(record)!.head).toEqual(head)
  })

  it('hostile: what is no such map is refused: no record, two, one that is text, extensions, bytes behind it, lengths beyond the end', () => {
    const two = pack({ record: bin, Record: bin })
    two.set(new TextEncoder().encode('record'), two.lastIndexOf(0xa6) + 1)
    const none: Uint8Array[] = [
      new Uint8Array(0), pack({}), pack([bin]), pack({ epoch: 1 }), pack({ record: 'KREC' }), pack({ record: null }), pack({ record: [bin] }), pack({ inner: { record: bin } }), pack({ record: Buffer.alloc(0) }),
      pack({ at: new Date(0), record: bin }), pack({ at: undefined, record: bin }), Uint8Array.from([...map, 0xc0]), map.subarray(0, map.length - 1), Uint8Array.of(0x81), Uint8Array.of(0xde), Uint8Array.of(0xde, 0xff, 0xff),
      Uint8Array.from(new Packr().pack({ record: bin, a: [{ b: 1 }, { b: 2 }] })), Uint8Array.of(0x82, 0xa1, 0x61, 0xc1, ...pack({ record: bin }).subarray(1)),
      // Four thousand million values that are not there.
      Uint8Array.of(0x81, 0xa1, 0x61, 0xdd, 0xff, 0xff, 0xff, 0xff), Uint8Array.of(0x81, 0xa1, 0x61, 0xdf, 0xff, 0xff, 0xff, 0xff, 0xa0), Uint8Array.of(0x81, 0xa1, 0x61, 0xc6, 0xff, 0xff, 0xff, 0xff),
    ]
    for (const bytes of none) expect(openPeerRecord(Uint8Array.from(bytes)), Buffer.from(bytes).toString('hex').slice(0, 80)).toBeUndefined()
    expect(recordInMap(two)).toBeUndefined()
  })

  it('hostile: 20,000 broken maps are a record or none; none throws', () => {
    let refused = 0
    const open = (bytes: Uint8Array): void => {
      const opened = openPeerRecord(bytes)
      if (opened === undefined) refused++
      else expect(Number.isSafeInteger(opened.head.epoch)).toBe(true)
    }
    for (const change of everyField(map.length)) open(mutate(map, [change]))
    fc.assert(fc.property(changes, (list) => open(mutate(map, list))), { numRuns: 20_000, seed })
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => open(Uint8Array.from([0x88, ...bytes]))), { numRuns: 5000, seed })
    expect(refused, `SEED=${seed}`).toBeGreaterThan(5000)
  })

  it('hostile: a megabyte of nested arrays, or of empty maps, takes no longer than its bytes', () => {
    const nested = new Uint8Array(1024 * 1024).fill(0x91), empty = new Uint8Array(1024 * 1024).fill(0x80)
    for (const bytes of [nested, empty]) {
      bytes.set([0x81, 0xa1, 0x61, 0xdd, 0, 0x20, 0, 0])
      expect(leastMs(() => { expect(openPeerRecord(bytes)).toBeUndefined() })).toBeLessThan(100)
    }
  })
})
