/** Our forward writer against generated readers, and against the verifier: every byte is FlatBuffers. */
import { ByteBuffer } from 'flatbuffers'
import { describe, expect, it } from 'vitest'
import { Record as RecordTable } from '../../schema/generated/kasagi/wire/record.js'
import { Section } from '../../schema/generated/kasagi/wire/section.js'
import { openSection } from '../../src/client/apply.js'
import { addNack, addReceiver, addRoute, addSection, beginRecord, createRecordWriter, finishRecord, readNacks, readReceivedHead, readReceivers, readRecordHead, readRoutes, readSections, recordRule } from '../../src/wire/record.js'
import { addColumn, addEvent, addHash, addRange, addRowSet, beginSection, createSectionWriter, finishSection, readSectionHead } from '../../src/wire/section.js'
import { verify } from '../../src/wire/verifier.js'
import { createViews } from '../../src/memory/views.js'

const head = { epoch: 2 ** 41 + 5, seq: 2 ** 33 + 7, prevSeq: 2 ** 33 + 1, tick: 99, stream: 2 << 24 | 3 }

function writeSection(views: ReturnType<typeof createViews>, at: number): number {
  const writer = createSectionWriter(views)
  beginSection(writer, at)
  addRange(writer, 4, 64, 128, true)
  views.u8.set([1, 2, 3], writer.cursor)
  const rows = addRowSet(writer, 4, 1, 2, 64, 3, 3)
  views.u8.set([9, 8, 7, 6, 5, 4], writer.cursor)
  addColumn(writer, rows, 65535, 6)
  addEvent(writer, 2, new Uint8Array([42]))
  addHash(writer, 4, 1, 0xdeadbeef)
  writer.missedEvents = 6
  return finishSection(writer, head)
}

describe('section', () => {
  it('section: generated readers read what the forward writer wrote', () => {
    const views = createViews(new ArrayBuffer(4096)), bytes = writeSection(views, 64)
    const message = views.u8.slice(64, 64 + bytes), section = Section.getRootAsSection(new ByteBuffer(message))
    expect(Section.bufferHasIdentifier(new ByteBuffer(message))).toBe(true)
    expect([section.head()!.epochLow(), section.head()!.epochHigh(), section.head()!.seqLow(), section.head()!.seqHigh()]).toEqual([5, 512, 7, 2])
    expect([section.head()!.prevSeqLow(), section.head()!.tick(), section.head()!.stream()]).toEqual([1, 99, 0x2000003])
    expect([section.rangesLength(), section.ranges(0)!.table(), section.ranges(0)!.last(), section.ranges(0)!.first(), section.ranges(0)!.end()]).toEqual([1, 4, 1, 64, 128])
    const rows = section.rowSets(0)!
    expect([rows.table(), rows.what(), rows.form(), rows.first(), rows.count(), rows.offset(), rows.bytes()]).toEqual([4, 1, 2, 64, 3, 0, 3])
    expect([section.columns(0)!.rowSet(), section.columns(0)!.field(), section.columns(0)!.offset(), section.columns(0)!.bytes()]).toEqual([0, 65535, 8, 6])
    expect([...section.dataArray()!.slice(8, 14)]).toEqual([9, 8, 7, 6, 5, 4])
    expect(section.dataArray()!.byteOffset % 8).toBe(0)
    expect([section.events(0)!.event(), section.dataArray()![section.events(0)!.offset()]]).toEqual([2, 42])
    expect([section.hashes(0)!.field(), section.hashes(0)!.hash(), section.missedEvents()]).toEqual([1, 0xdeadbeef, 6])
    expect(readSectionHead(views, 64)).toEqual(head)
    expect(openSection(message.buffer)).toMatchObject(head)
  })

  it('section: any truncation is refused, never thrown at', () => {
    const views = createViews(new ArrayBuffer(4096)), bytes = writeSection(views, 0)
    for (let length = 12; length < bytes; length++) expect(() => openSection(views.u8.slice(0, length).buffer)).toThrow('no FlatBuffer')
  })

  it('record: generated readers and our own read what was written, sections included', () => {
    const views = createViews(new ArrayBuffer(8192)), writer = createRecordWriter(views)
    beginRecord(writer, 128)
    const first = addSection(writer, 0, 0, writeSection(views, writer.cursor)), second = addSection(writer, 2 << 24, 1, writeSection(views, writer.cursor))
    addRoute(writer, 7, 1234, 56, 1, second)
    addRoute(writer, 8, 1235, 0, 2, -1)
    addNack(writer, 7, 57, new TextEncoder().encode('no\nreason'))
    addReceiver(writer, 7, first)
    const recordHead = { epoch: head.epoch, seq: head.seq, durableSeq: 3, parentEpoch: 2 ** 40, forkSeq: 1, journalThrough: 2 ** 32 + 1, tick: 9, instance: 0 }
    const bytes = finishRecord(writer, recordHead)
    expect(readRecordHead(views, 128)).toEqual(recordHead)
    // As it comes over a socket: anywhere.
    const received = new Uint8Array([1, 2, 3, ...views.u8.slice(128, 128 + bytes)]).subarray(3)
    expect([verify(received, 'KREC', recordRule), readReceivedHead(received)]).toEqual([true, recordHead])
    expect(readRoutes(views, 128)).toEqual([{ slot: 7, connection: 1234, appliedThrough: 56, flags: 1, section: 1 }, { slot: 8, connection: 1235, appliedThrough: 0, flags: 2, section: -1 }])
    expect(readReceivers(views, 128)).toEqual([{ slot: 7, section: 0 }])
    const [nack] = readNacks(views, 128)
    expect([nack.number, new TextDecoder().decode(views.u8.slice(nack.address, nack.address + nack.bytes))]).toEqual([57, 'no\nreason'])
    const message = views.u8.slice(128, 128 + bytes), record = RecordTable.getRootAsRecord(new ByteBuffer(message))
    expect([record.head()!.journalThroughLow(), record.head()!.journalThroughHigh(), record.sectionsLength(), record.routes(1)!.flags()]).toEqual([1, 1, 2, 2])
    for (const section of readSections(views, 128)) {
      expect(section.address % 8).toBe(0)
      expect(openSection(views.u8.slice(section.address, section.address + section.bytes).buffer)).toMatchObject(head)
    }
  })
})
