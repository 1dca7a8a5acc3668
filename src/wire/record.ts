/**
 * Writer and reader of records (schema/record.fbs), in shared memory. Written by the room's worker; the main thread reads head, section
 * refs, routes, nacks and receivers. Sections are written in place between {@link beginRecord} and {@link finishRecord}.
 */
import {
  appendStructs, closeData, createStaging, defineEnvelope, headAt, openEnvelope, stage, structAt, vectorAt, vectorLength, zeroTo, type Staging, type WordViews,
} from './envelope.js'
import { alignedVector, struct, structVector, type TableRule } from './verifier.js'

export const recordShape = defineEnvelope('KREC', 14, 5, 0)
const vectors = { data: 0, sections: 1, routes: 2, nacks: 3, receivers: 4 } as const
const sectionRefWords = 4, routeWords = 5, nackWords = 4, receiverWords = 2

/** What a record from another instance is verified by. */
export const recordRule: TableRule = {
  fields: [struct(56, true), alignedVector, structVector(sectionRefWords * 4), structVector(routeWords * 4), structVector(nackWords * 4), structVector(receiverWords * 4)],
}

export const recordAudience = { everyone: 0, owner: 1, server: 2, some: 3 } as const
export const routeFlags = { joined: 1, left: 2, closing: 4, replaced: 8 } as const

export interface RecordHead {
  epoch: number; seq: number; durableSeq: number; parentEpoch: number; forkSeq: number; journalThrough: number; tick: number
  /** Whose it is. */
  instance: number
}

export interface RecordWriter {
  readonly views: WordViews
  at: number
  /** Where the next section or nack text goes; a multiple of 8. */
  cursor: number
  readonly sections: Staging
  readonly routes: Staging
  readonly nacks: Staging
  readonly receivers: Staging
}

export const createRecordWriter = (views: WordViews): RecordWriter => ({
  views, at: 0, cursor: 0,
  sections: createStaging(sectionRefWords), routes: createStaging(routeWords), nacks: createStaging(nackWords),
  receivers: createStaging(receiverWords),
})

export function beginRecord(writer: RecordWriter, at: number): void {
  openEnvelope(writer.views, recordShape, at)
  writer.at = at
  writer.cursor = at + recordShape.dataAt
  writer.sections.count = writer.routes.count = writer.nacks.count = writer.receivers.count = 0
}

function advance(writer: RecordWriter, bytes: number): void {
  writer.cursor = zeroTo(writer.views, writer.cursor + bytes, 8)
}

/** Takes in the section of `bytes` bytes that was just written at the cursor; returns its index. */
export function addSection(writer: RecordWriter, stream: number, audience: number, bytes: number): number {
  const at = stage(writer.sections), { words } = writer.sections
  words[at] = stream
  words[at + 1] = audience
  words[at + 2] = writer.cursor - writer.at - recordShape.dataAt
  words[at + 3] = bytes
  advance(writer, bytes)
  return writer.sections.count - 1
}

/** `section`: index of the session's own section, or -1. */
export function addRoute(writer: RecordWriter, slot: number, connection: number, appliedThrough: number, flags: number, section: number): void {
  const at = stage(writer.routes), { words } = writer.routes
  words[at] = slot
  putWide(words, at + 1, connection)
  words[at + 3] = appliedThrough
  words[at + 4] = flags | (section + 1) << 16
}

/** `text`: UTF-8 of the code, or code, LF, text. */
export function addNack(writer: RecordWriter, slot: number, number: number, text: Uint8Array): void {
  const at = stage(writer.nacks), { words } = writer.nacks
  words[at] = slot
  words[at + 1] = number
  words[at + 2] = writer.cursor - writer.at - recordShape.dataAt
  words[at + 3] = text.length
  writer.views.u8.set(text, writer.cursor)
  advance(writer, text.length)
}

export function addReceiver(writer: RecordWriter, slot: number, section: number): void {
  const at = stage(writer.receivers), { words } = writer.receivers
  words[at] = slot
  words[at + 1] = section
}

const putWide = (u32: Uint32Array, at: number, value: number): number => {
  u32[at] = value >>> 0
  u32[at + 1] = Math.floor(value / 0x1_0000_0000)
  return at + 2
}
const getWide = (u32: Uint32Array, at: number): number => u32[at] + u32[at + 1] * 0x1_0000_0000

/** Ends the record; returns its length in bytes. */
export function finishRecord(writer: RecordWriter, head: RecordHead): number {
  const { views, at } = writer
  let to = headAt(recordShape, at) >>> 2
  to = putWide(views.u32, to, head.epoch)
  to = putWide(views.u32, to, head.seq)
  to = putWide(views.u32, to, head.durableSeq)
  to = putWide(views.u32, to, head.parentEpoch)
  to = putWide(views.u32, to, head.forkSeq)
  to = putWide(views.u32, to, head.journalThrough)
  views.u32[to] = head.tick >>> 0
  views.u32[to + 1] = head.instance
  let end = closeData(views, recordShape, at, writer.cursor)
  end = appendStructs(views, recordShape, at, vectors.sections, end, writer.sections)
  end = appendStructs(views, recordShape, at, vectors.routes, end, writer.routes)
  end = appendStructs(views, recordShape, at, vectors.nacks, end, writer.nacks)
  end = appendStructs(views, recordShape, at, vectors.receivers, end, writer.receivers)
  return end - at
}

export function readRecordHead(views: WordViews, at: number): RecordHead {
  const from = structAt(views, at, 0) >>> 2, { u32 } = views
  return {
    epoch: getWide(u32, from), seq: getWide(u32, from + 2), durableSeq: getWide(u32, from + 4), parentEpoch: getWide(u32, from + 6),
    forkSeq: getWide(u32, from + 8), journalThrough: getWide(u32, from + 10), tick: u32[from + 12], instance: u32[from + 13],
  }
}

/** Of its head alone the journal entry that it goes through: every commit reads it. */
export const readJournalThrough = (views: WordViews, at: number): number => getWide(views.u32, (structAt(views, at, 0) >>> 2) + 10)

/** The same of bytes that lie anywhere, and that {@link recordRule} has passed. */
export function readReceivedHead(bytes: Uint8Array): RecordHead {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length), table = view.getUint32(0, true)
  const from = table + view.getUint16(table - view.getInt32(table, true) + 4, true)
  const word = (index: number): number => view.getUint32(from + index * 4, true), wide = (index: number): number => word(index) + word(index + 1) * 0x1_0000_0000
  return { epoch: wide(0), seq: wide(2), durableSeq: wide(4), parentEpoch: wide(6), forkSeq: wide(8), journalThrough: wide(10), tick: word(12), instance: word(13) }
}

export interface SectionRef { readonly stream: number; readonly audience: number; readonly address: number; readonly bytes: number }
export interface Route { readonly slot: number; readonly connection: number; readonly appliedThrough: number; readonly flags: number; readonly section: number }

/** Calls `visit` with each section, in order: `context` is whatever it needs. Every flush reads them; allocates nothing. */
export function eachSection<T>(views: WordViews, at: number, context: T, visit: (context: T, stream: number, audience: number, address: number, bytes: number) => void): void {
  const { u32 } = views, data = vectorAt(views, at, vectors.data), from = vectorAt(views, at, vectors.sections)
  for (let word = from >>> 2, end = word + vectorLength(views, from) * sectionRefWords; word < end; word += sectionRefWords) {
    visit(context, u32[word], u32[word + 1], data + u32[word + 2], u32[word + 3])
  }
}

/** The sections, in order. */
export function readSections(views: WordViews, at: number): SectionRef[] {
  const sections: SectionRef[] = []
  eachSection(views, at, sections, (to, stream, audience, address, bytes) => { to.push({ stream, audience, address, bytes }) })
  return sections
}

/** Most records have neither routes nor nacks nor receivers: then nothing is made. */
const none: readonly never[] = []

export function readRoutes(views: WordViews, at: number): readonly Route[] {
  const { u32 } = views, from = vectorAt(views, at, vectors.routes), length = vectorLength(views, from)
  if (length === 0) return none
  return Array.from({ length }, (_, index) => {
    const word = (from >>> 2) + index * routeWords
    return { slot: u32[word], connection: getWide(u32, word + 1), appliedThrough: u32[word + 3], flags: u32[word + 4] & 0xffff, section: (u32[word + 4] >>> 16) - 1 }
  })
}

export interface RouteNack { readonly slot: number; readonly number: number; readonly address: number; readonly bytes: number }
export function readNacks(views: WordViews, at: number): readonly RouteNack[] {
  const { u32 } = views, data = vectorAt(views, at, vectors.data), from = vectorAt(views, at, vectors.nacks), length = vectorLength(views, from)
  if (length === 0) return none
  return Array.from({ length }, (_, index) => {
    const word = (from >>> 2) + index * nackWords
    return { slot: u32[word], number: u32[word + 1], address: data + u32[word + 2], bytes: u32[word + 3] }
  })
}

export function readReceivers(views: WordViews, at: number): readonly { readonly slot: number; readonly section: number }[] {
  const { u32 } = views, from = vectorAt(views, at, vectors.receivers), length = vectorLength(views, from)
  if (length === 0) return none
  return Array.from({ length }, (_, index) => {
    const word = (from >>> 2) + index * receiverWords
    return { slot: u32[word], section: u32[word + 1] }
  })
}
