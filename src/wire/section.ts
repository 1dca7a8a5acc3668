/**
 * Writer of sections (schema/section.fbs), front to back into shared memory. Worker thread. Values are put at `cursor` by the caller, which
 * knows where they come from; this file owns the order of the parts and their numbers. The matching reader of clients is client/apply.ts,
 * the worker's own is workers/apply.ts.
 */
import {
  appendStructs, closeData, createStaging, defineEnvelope, headAt, openEnvelope, setScalar, stage, structAt, zeroTo, type Staging, type WordViews,
} from './envelope.js'
import { alignedVector, scalar, struct, structVector, type TableRule } from './verifier.js'

export const sectionShape = defineEnvelope('KSEC', 8, 6, 1)
export const sectionVectors = { data: 0, ranges: 1, rowSets: 2, columns: 3, events: 4, hashes: 5 } as const
export const rowSetWords = 5, columnWords = 3, rangeWords = 3, eventWords = 3, hashWords = 2
/** Of `bitmaps`: address and words. */
export const bitmapWords = 2

/** What a section from outside is verified by; what its numbers mean is checked where it is applied. */
export const sectionRule: TableRule = {
  fields: [
    struct(32, true), alignedVector, structVector(rangeWords * 4), structVector(rowSetWords * 4), structVector(columnWords * 4), structVector(eventWords * 4),
    structVector(hashWords * 4), scalar(4),
  ],
}

export const what = { changed: 0, spawned: 1, despawned: 2 } as const
export const form = { range: 0, bitmap: 1, gaps: 2 } as const

/** Streams: kind << 24 | index. Kinds 3 and 4 are kept for cells and groups. */
export const roomStream = 0
export const serverStream = 1 << 24
export const sessionKind = 2
export const sessionStream = (slot: number): number => (sessionKind << 24) | slot
export const streamKind = (stream: number): number => stream >>> 24
/** Events to some sessions: not a stream with a position; what lies in it is taken wherever it arrives. */
export const addressedStream = 5 << 24
/** The slot of rows without an owner: their section reaches nobody, but committed state follows it. */
export const nobodySlot = 0xffffff

/** The event number that tells a session its own row: u32 row, u16 generation, u16 present. In its own stream only. */
export const ownRowEvent = 65535

export interface SectionWriter {
  readonly views: WordViews
  at: number
  /** Address of the next byte of data. */
  cursor: number
  readonly ranges: Staging
  readonly rowSets: Staging
  readonly columns: Staging
  readonly events: Staging
  readonly hashes: Staging
  missedEvents: number
  /**
   * For each row set since the record began, two numbers: where its rows still lie as a bitmap whose first bit is the set's first row, and
   * how many words it has; 0 and 0 if they do not.
   * Lets the thread that wrote a record apply it without reading gap lists back.
   */
  readonly bitmaps: Staging
}

export const createSectionWriter = (views: WordViews): SectionWriter => ({
  views, at: 0, cursor: 0, missedEvents: 0, bitmaps: createStaging(bitmapWords),
  ranges: createStaging(rangeWords), rowSets: createStaging(rowSetWords), columns: createStaging(columnWords),
  events: createStaging(eventWords), hashes: createStaging(hashWords),
})

export interface SectionHead { epoch: number; seq: number; prevSeq: number; tick: number; stream: number }

const high = (value: number): number => Math.floor(value / 0x1_0000_0000)

/** Begins a section at `at`, a multiple of 8. */
export function beginSection(writer: SectionWriter, at: number): void {
  openEnvelope(writer.views, sectionShape, at)
  writer.at = at
  writer.cursor = at + sectionShape.dataAt
  writer.ranges.count = writer.rowSets.count = writer.columns.count = writer.events.count = writer.hashes.count = 0
  writer.missedEvents = 0
}

/** True if nothing was added since {@link beginSection}. */
export const isEmptySection = (writer: SectionWriter): boolean =>
  writer.rowSets.count + writer.events.count + writer.hashes.count + writer.ranges.count + writer.missedEvents === 0

const dataOffset = (writer: SectionWriter, address: number): number => address - writer.at - sectionShape.dataAt

/** Moves the cursor to the next multiple of 8 and zeroes what it skips. */
export function alignCursor(writer: SectionWriter): number {
  return writer.cursor = zeroTo(writer.views, writer.cursor, 8)
}

export function addRange(writer: SectionWriter, table: number, first: number, end: number, last: boolean): void {
  const at = stage(writer.ranges), { words } = writer.ranges
  words[at] = table | (last ? 1 << 16 : 0)
  words[at + 1] = first
  words[at + 2] = end
}

/** A row set whose `bytes` bytes were just put at the cursor; returns its index. The cursor moves behind them. */
export function addRowSet(writer: SectionWriter, table: number, kind: number, rowForm: number, first: number, count: number, bytes: number): number {
  const at = stage(writer.rowSets), { words } = writer.rowSets
  words[at] = table | kind << 16 | rowForm << 24
  words[at + 1] = first
  words[at + 2] = count
  words[at + 3] = dataOffset(writer, writer.cursor)
  words[at + 4] = bytes
  writer.cursor += bytes
  alignCursor(writer)
  return writer.rowSets.count - 1
}

/** The values of one field for a row set: `bytes` bytes that were just put at the cursor. */
export function addColumn(writer: SectionWriter, rowSet: number, field: number, bytes: number): void {
  const at = stage(writer.columns), { words } = writer.columns
  words[at] = rowSet | field << 16
  words[at + 1] = dataOffset(writer, writer.cursor)
  words[at + 2] = bytes
  writer.cursor += bytes
  alignCursor(writer)
}

/** An event and its packed fields. */
export function addEvent(writer: SectionWriter, event: number, bytes: Uint8Array): void {
  const at = stage(writer.events), { words } = writer.events
  words[at] = event
  words[at + 1] = dataOffset(writer, writer.cursor)
  words[at + 2] = bytes.length
  writer.views.u8.set(bytes, writer.cursor)
  writer.cursor += bytes.length
  alignCursor(writer)
}

export function addHash(writer: SectionWriter, table: number, field: number, hash: number): void {
  const at = stage(writer.hashes), { words } = writer.hashes
  words[at] = table | field << 16
  words[at + 1] = hash
}

/** Ends the section; returns its length in bytes. */
export function finishSection(writer: SectionWriter, head: SectionHead): number {
  const { views, at } = writer
  const { u32 } = views
  let to = headAt(sectionShape, at) >>> 2
  u32[to++] = head.epoch >>> 0
  u32[to++] = high(head.epoch)
  u32[to++] = head.seq >>> 0
  u32[to++] = high(head.seq)
  u32[to++] = head.prevSeq >>> 0
  u32[to++] = high(head.prevSeq)
  u32[to++] = head.tick >>> 0
  u32[to] = head.stream
  if (writer.missedEvents !== 0) setScalar(views, sectionShape, at, 0, writer.missedEvents)
  let end = closeData(views, sectionShape, at, writer.cursor)
  end = appendStructs(views, sectionShape, at, sectionVectors.ranges, end, writer.ranges)
  end = appendStructs(views, sectionShape, at, sectionVectors.rowSets, end, writer.rowSets)
  end = appendStructs(views, sectionShape, at, sectionVectors.columns, end, writer.columns)
  end = appendStructs(views, sectionShape, at, sectionVectors.events, end, writer.events)
  end = appendStructs(views, sectionShape, at, sectionVectors.hashes, end, writer.hashes)
  return end - at
}

/** Says a section again in another epoch: its copy, never the one in a record. */
export function writeSectionEpoch({ u32 }: WordViews, at: number, epoch: number): void {
  const from = (at + u32[at >>> 2] + 4) >>> 2
  u32[from] = epoch >>> 0
  u32[from + 1] = high(epoch)
}

/** The head of a section of our own. */
export function readSectionHead(views: WordViews, at: number): SectionHead {
  const { u32 } = views, from = structAt(views, at, 0) >>> 2
  const wide = (word: number): number => u32[from + word] + u32[from + word + 1] * 0x1_0000_0000
  return { epoch: wide(0), seq: wide(2), prevSeq: wide(4), tick: u32[from + 6], stream: u32[from + 7] }
}

/** Epoch and seq of a section of our own, in bytes that lie anywhere. */
export function readSectionPosition(section: Uint8Array): { readonly epoch: number; readonly seq: number } {
  const view = new DataView(section.buffer, section.byteOffset, section.length), head = view.getUint32(0, true) + 4
  const wide = (at: number): number => view.getUint32(head + at, true) + view.getUint32(head + at + 4, true) * 0x1_0000_0000
  return { epoch: wide(0), seq: wide(8) }
}
