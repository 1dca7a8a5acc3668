/**
 * The main thread's end of one worker: its arena, both rings, and the doorbell. Everything that leaves a ring goes to {@link LinkHandlers}
 * in the order in which the worker published it. Main thread.
 */
import { inputRingBytes } from '../base/limits.js'
import { createArena, disarmDoorbell, type Arena } from '../memory/arena.js'
import { atInputRing, atOutputRing, atWake, outputRingBytes } from '../memory/arena-layout.js'
import { behindWords, bytesBehind, closedWords, failedWords, listingWords, nackWords, refusedWords, send, snapshotWords, targetWords, textBehind, toMain } from '../memory/crossing.js'
import { createRingReader, createRingWriter, isFilling, read, release, wake, type RingReader, type RingWriter } from '../memory/ring.js'

/** A client that is to get it, and what its Welcome says of its session. */
export interface SnapshotTarget { readonly connection: number; readonly slot: number; readonly lastInput: number; readonly generation: number }

export interface SnapshotPost {
  readonly roomKey: number; readonly kind: number; readonly epoch: number; readonly seq: number; readonly tick: number
  readonly address: number; readonly bytes: number
  readonly targets: readonly SnapshotTarget[]
}

/** A room that is to be stored, in its snapshot area. */
export interface StorePost { readonly roomKey: number; readonly epoch: number; readonly seq: number; readonly tick: number; readonly address: number; readonly bytes: number }

/** What another instance has missed, in the room's snapshot area. `request`: of `fetch`. */
export interface AnswerPost {
  readonly roomKey: number; readonly request: number; readonly kind: number; readonly epoch: number; readonly seq: number
  readonly parentEpoch: number; readonly forkSeq: number; readonly tick: number; readonly address: number; readonly bytes: number
}

export interface LinkHandlers {
  opened(link: WorkerLink, roomKey: number, address: number): void
  failed(link: WorkerLink, roomKey: number, code: string): void
  record(link: WorkerLink, roomKey: number, address: number, bytes: number): void
  snapshot(link: WorkerLink, post: SnapshotPost): void
  refused(link: WorkerLink, roomKey: number, connection: number, code: string): void
  nack(link: WorkerLink, roomKey: number, slot: number, connection: number, number: number, code: string): void
  closed(link: WorkerLink, roomKey: number, isKept: boolean, code: string): void
  store(link: WorkerLink, post: StorePost): void
  /** A followed room could not take a record. */
  behind(link: WorkerLink, roomKey: number, why: string): void
  answer(link: WorkerLink, post: AnswerPost): void
  halted(link: WorkerLink, roomKey: number): void
  /** `packed`: the listing's fields. */
  listing(link: WorkerLink, roomKey: number, isLocked: boolean, sessions: number, packed: Uint8Array): void
}

export interface WorkerLink {
  readonly worker: number
  readonly arena: Arena
  readonly input: RingWriter
  readonly output: RingReader
  /** Rooms that are placed here. */
  rooms: number
  /** False once the worker died too often. */
  usable: boolean
  /** Messages that found the input ring full. */
  ringFull: number
  /** What found the ring full and must not be lost: told again as soon as the worker has read. */
  owed: { readonly kind: number; readonly words: readonly number[] }[]
}

export function createWorkerLink(worker: number, arenaBytes: number): WorkerLink {
  const arena = createArena(arenaBytes, worker)
  return {
    worker, arena, rooms: 0, usable: true, ringFull: 0, owed: [],
    input: createRingWriter(arena, atInputRing, inputRingBytes),
    output: createRingReader(arena, atOutputRing, outputRingBytes),
  }
}

/** Puts one record into the worker's input ring and wakes it; false if the ring is full. */
export function tell(link: WorkerLink, kind: number, words: readonly number[], ...parts: readonly Uint8Array[]): boolean {
  const isTold = tellLater(link, kind, words, ...parts)
  if (isTold) wake(link.arena, atWake)
  return isTold
}

/** The same for what can wait until the worker wakes anyway, as long as there is space. */
export function tellLater(link: WorkerLink, kind: number, words: readonly number[], ...parts: readonly Uint8Array[]): boolean {
  const isTold = send(link.input, kind, words, ...parts)
  if (!isTold) link.ringFull++
  if (!isTold || isFilling(link.input)) wake(link.arena, atWake)
  return isTold
}

/** The same for what must arrive: a leave, a release. Nothing overtakes what is owed. */
export function tellSurely(link: WorkerLink, kind: number, words: readonly number[]): void {
  if (link.owed.length > 0 || !tell(link, kind, words)) link.owed.push({ kind, words })
}

function payOwed(link: WorkerLink): void {
  while (link.owed.length > 0 && tell(link, link.owed[0].kind, link.owed[0].words)) link.owed.shift()
}

export const wakeWorker = (link: WorkerLink): void => wake(link.arena, atWake)

/** Hands on all that the worker has published. */
export function drainLink(link: WorkerLink, handlers: LinkHandlers): void {
  disarmDoorbell(link.arena)
  payOwed(link)
  for (let at = read(link.output); at !== 0; at = read(link.output)) {
    handOn(link, at, handlers)
    release(link.output)
  }
}

function handOn(link: WorkerLink, at: number, handlers: LinkHandlers): void {
  const ring = link.output, word = at >>> 2
  const { u32 } = link.arena
  const key = u32[word]
  switch (ring.kind) {
    case toMain.opened: return handlers.opened(link, key, u32[word + 1])
    case toMain.failed: return handlers.failed(link, key, textBehind(ring, at, failedWords))
    case toMain.record: return handlers.record(link, key, u32[word + 1], u32[word + 2])
    case toMain.snapshot: return handlers.snapshot(link, readSnapshotPost(link, word))
    case toMain.refused: return handlers.refused(link, key, wideAt(link, word + 1), textBehind(ring, at, refusedWords))
    case toMain.nack: return handlers.nack(link, key, u32[word + 1], wideAt(link, word + 2), u32[word + 4], textBehind(ring, at, nackWords))
    case toMain.closed: return handlers.closed(link, key, u32[word + 1] === 1, textBehind(ring, at, closedWords))
    case toMain.listing: return handlers.listing(link, key, u32[word + 1] === 1, u32[word + 2], bytesBehind(ring, at, listingWords))
    case toMain.behind: return handlers.behind(link, key, textBehind(ring, at, behindWords))
    case toMain.answer: return handlers.answer(link, readAnswerPost(link, word))
    case toMain.halted: return handlers.halted(link, key)
    case toMain.store: return handlers.store(link, readStorePost(link, word))
  }
}

const wideAt = ({ arena: { u32 } }: WorkerLink, word: number): number => u32[word] + u32[word + 1] * 0x1_0000_0000

function readStorePost(link: WorkerLink, word: number): StorePost {
  const { u32 } = link.arena
  return { roomKey: u32[word], epoch: wideAt(link, word + 1), seq: wideAt(link, word + 3), tick: u32[word + 5], address: u32[word + 6], bytes: u32[word + 7] }
}

function readAnswerPost(link: WorkerLink, word: number): AnswerPost {
  const { u32 } = link.arena
  return {
    roomKey: u32[word], request: u32[word + 1], kind: u32[word + 2], epoch: wideAt(link, word + 3), seq: wideAt(link, word + 5),
    parentEpoch: wideAt(link, word + 7), forkSeq: wideAt(link, word + 9), tick: u32[word + 11], address: u32[word + 12], bytes: u32[word + 13],
  }
}

function readSnapshotPost(link: WorkerLink, word: number): SnapshotPost {
  const { u32 } = link.arena
  const targets = Array.from({ length: u32[word + 9] }, (_, index) => {
    const from = word + snapshotWords + index * targetWords
    return { connection: wideAt(link, from), slot: u32[from + 2], lastInput: u32[from + 3], generation: u32[from + 4] }
  })
  return { roomKey: u32[word], kind: u32[word + 1], epoch: wideAt(link, word + 2), seq: wideAt(link, word + 4), tick: u32[word + 6], address: u32[word + 7], bytes: u32[word + 8], targets }
}
