/**
 * Everything that crosses between the main thread and a room worker, in one place.
 *
 * Two rings per worker carry what is ordered or frequent; payloads are u32 words followed by bytes, drawn below. A message port carries
 * what is rare and unordered: catalogs, log lines, metrics. Nothing else crosses, but the few words that each thread stores for the
 * other in the headers of arena and rooms (arena-layout.ts, room-layout.ts).
 */
import type { FieldTable, PublicTables } from '../schema/field-tables.js'
import { claim, publish, type RingReader, type RingWriter } from './ring.js'

/** Input ring, main to worker. Words, then bytes. */
export const toWorker = {
  open: 1,      // roomKey, typeNumber, epochLow, epochHigh, parentLow, parentHigh, forkLow, forkHigh, seqLow, seqHigh, flags, idBytes, optionsBytes | id, options, match
  join: 2,      // roomKey, connectionLow, connectionHigh, sessionIdBytes, userBytes | session id, user as JSON, join data
  input: 3,     // roomKey, slot, connectionLow, connectionHigh, number, from, input | data
  leave: 4,     // roomKey, connectionLow, connectionHigh, why (0 left, 1 dropped)
  resync: 5,    // roomKey, slot, connectionLow, connectionHigh, epochLow, epochHigh, seqLow, seqHigh: the client's position, or nobody's
  release: 6,   // roomKey: the main thread has let go of the block of a closed room, or of one that was followed
  stop: 7,      //
  resume: 8,    // roomKey, connectionLow, connectionHigh, generation, firstHeld | session id
  ready: 9,     // roomKey, connectionLow, connectionHigh, generation: the Welcome that issued it has arrived
  record: 10,   // roomKey, 0 | a record of the room's owner, for a room that is followed
  own: 11,      // roomKey, epochLow, epochHigh: a followed room is this instance's from here on, in that epoch
  follow: 12,   // roomKey: a room is no longer this instance's, and is followed
  fetch: 13,    // roomKey, request, epochLow, epochHigh, seqLow, seqHigh: another instance stands there
  sweep: 14,    // roomKey, instances: sessions of all others have lost their connections
  present: 15,  // roomKey, instance, sockets: sessions of that instance with any other have lost theirs
  hold: 16,     // roomKey, how: see `holds`
  save: 17,     // roomKey: what is committed is to be stored, whenever it was last
  begin: 18,    // roomKey: whoever waited for the room to open has been sent in; from here on it may be found empty
} as const
/** `hold`: 0 go on, 1 apply nothing, 2 apply nothing more, flush what is applied, say `halted`. */
export const holds = { goOn: 0, pause: 1, halt: 2 } as const
export const openWords = 13, joinWords = 5, inputWords = 7, resumeWords = 5

/** Output ring, worker to main. */
export const toMain = {
  opened: 1,    // roomKey, block address
  failed: 2,    // roomKey | code                                            the room did not open
  record: 3,    // roomKey, address, bytes                                   in the room's history
  snapshot: 4,  // roomKey, kind, epochLow, epochHigh, seqLow, seqHigh, tick, address, bytes, targets | connectionLow, connectionHigh, slot, last input, generation of each
  refused: 5,   // roomKey, connectionLow, connectionHigh | code             a join
  nack: 6,      // roomKey, slot, connectionLow, connectionHigh, number | code   an input that never reached the journal
  closed: 7,    // roomKey, keep | code                                      the main thread answers with release. keep 0: forget what is stored
  listing: 9,   // roomKey, isLocked, sessions | packed listing              what joins and lists may know; sessions: of all instances
  behind: 10,   // roomKey, epochLow, epochHigh, seqLow, seqHigh | code      where a followed room stands that could not take a record
  answer: 11,   // roomKey, request, kind, epochLow, epochHigh, seqLow, seqHigh, parentLow, parentHigh, forkLow, forkHigh, tick, address, bytes   to `fetch`, in the snapshot area
  halted: 12,   // roomKey, seqLow, seqHigh: nothing is applied any more, and nothing that was is not committed
  store: 8,     // roomKey, epochLow, epochHigh, seqLow, seqHigh, tick, address, bytes    in the room's snapshot area
} as const
export const failedWords = 1, recordWords = 3, snapshotWords = 10, refusedWords = 3, nackWords = 5, closedWords = 2, listingWords = 3, behindWords = 5

export const targetWords = 5

/** `open`: 1 what is stored of it was posted, 2 it stays though nobody is in it, 4 it is another instance's, and followed. */
export const openFlags = { stored: 1, stays: 2, follows: 4 } as const
/** `answer`: every record behind the position, or the whole state. */
export const answerKind = { records: 0, state: 1 } as const
export const snapshotKind = { sections: 0, snapshot: 1 } as const
export const leaveWhy = ['left', 'dropped', 'ended'] as const

/** Handlers by number, as they stand in the arena's mark while author code runs. */
export const handlers = ['none', 'onCreate', 'onClose', 'onTick', 'onJoin', 'onLeave', 'onInput', 'onTimer', 'derive', 'onDrop', 'onResume', 'migrate'] as const
export type HandlerName = (typeof handlers)[number]

/** Metrics that workers count. */
export type CountedMetric = 'handlerErrors' | 'flushSkipped' | 'quantizedClamped' | 'inputsLost' | 'ticksMissed' | 'eventsMissed' | 'poisoned' | 'unmarked'

/** Upper bounds of all buckets but the last. */
export const turnSecondsBounds = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1] as const
export const lateSecondsBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1] as const
export interface Buckets { readonly counts: readonly number[]; readonly sum: number }

/** What a worker has counted since it last told. */
export interface WorkerTally {
  readonly counts: readonly { readonly metric: CountedMetric; readonly labels: Readonly<Record<string, string>>; readonly by: number }[]
  readonly types: readonly { readonly type: string; readonly turns: Buckets; readonly sessions: number }[]
  readonly late: Buckets
  readonly busySeconds: number
  readonly heapBytes: number
}

export type ReportLevel = 'debug' | 'info' | 'warn' | 'error'

/** What one of a worker's messages says over its port. */
export type WorkerMessage =
  | { readonly kind: 'started'; readonly threadId: number }
  | { readonly kind: 'catalog'; readonly types: readonly CatalogEntry[] }
  | { readonly kind: 'log'; readonly level: ReportLevel; readonly text: string; readonly fields: Record<string, unknown> }
  | { readonly kind: 'tally'; readonly tally: WorkerTally }
  | { readonly kind: 'bell' }

/** What the main thread says over a worker's port: rare, and too large for a ring. */
export type MainMessage =
  | 'go'
  /** What is stored of a room, its snapshot and the records behind it; posted before its `open` is told. Without a snapshot they are all that it ever made. */
  | { readonly roomKey: number; readonly stored: Uint8Array | undefined; readonly records: readonly Uint8Array[] }

/** What the main thread knows of a room type; workers import the modules. */
export interface CatalogEntry {
  readonly number: number
  readonly name: string
  readonly tables: PublicTables
  readonly hash: number
  readonly tickHz: number
  readonly flushHz: number
  readonly maxSessions: number
  /** `none`, `snapshot`, `ops` or `ops-sync`. */
  readonly durability: string
  readonly whenDetached: 'continue' | 'freeze'
  readonly listing: readonly FieldTable[]
  /** Who may open a room: whoever joins, or the server's operator alone. */
  readonly opens: 'anyone' | 'server'
  readonly version: number
  /** What a room takes of an arena. */
  readonly blockBytes: number
}

/** What a worker is started with. */
export interface WorkerStart {
  readonly memory: WebAssembly.Memory
  readonly roomBundles: readonly string[]
  /** This process's number among its peers; 0: it has none. */
  readonly instance: number
  readonly port: MessagePort
  /** The thread before it in this arena ended because its heap was full. */
  readonly ranOutOfHeap: boolean
  /** Name and count of a fault point, for tests: the thread ends there, once. */
  readonly fault: string | undefined
  /** Development: tables that track touches are looked through for what was left unmarked. */
  readonly verifies: boolean
}

/** Puts one record of `words` and the bytes of `parts` into a ring; false if the ring is full. */
export function send(ring: RingWriter, kind: number, words: readonly number[], ...parts: readonly Uint8Array[]): boolean {
  const at = claim(ring, kind, parts.reduce((sum, { length }) => sum + length, words.length * 4))
  if (at === 0) return false
  const { u32, u8 } = ring.views
  for (let i = 0; i < words.length; i++) u32[(at >>> 2) + i] = words[i]
  let to = at + words.length * 4
  for (const part of parts) {
    u8.set(part, to)
    to += part.length
  }
  publish(ring)
  return true
}

/** The descriptor of a record: what is told with every flush. Allocates nothing. False if the ring is full. */
export function sendRecord(ring: RingWriter, roomKey: number, address: number, bytes: number): boolean {
  const at = claim(ring, toMain.record, recordWords * 4)
  if (at === 0) return false
  const { u32 } = ring.views, word = at >>> 2
  u32[word] = roomKey
  u32[word + 1] = address
  u32[word + 2] = bytes
  publish(ring)
  return true
}

/** A number below 2^53 as two words, the low one first. */
export const wideWords = (value: number): [number, number] => [value >>> 0, Math.floor(value / 0x1_0000_0000)]

/** A copy of the bytes behind the words of the record just read at `at`. */
export const bytesBehind = (ring: RingReader, at: number, words: number): Uint8Array =>
  ring.views.u8.slice(at + words * 4, at + ring.bytes)

export const textBehind = (ring: RingReader, at: number, words: number): string => new TextDecoder().decode(bytesBehind(ring, at, words))
