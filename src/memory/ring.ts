/**
 * A ring of records between two threads: one writer, one reader, no locks. Both directions use it.
 *
 *   +0 head   bytes ever published, mod 2^32 (writer)      +8  tail   bytes ever released, mod 2^32 (reader)
 *  +64 data   capacity bytes, a power of two
 *  record     u32 bytes of payload   u32 kind   payload    padded to 8; kind 0 fills up to the end of the data
 *
 * claim/publish on the writer's side, read/release on the reader's. Each side keeps its own position and a copy of the other's, so that
 * the fast path has no atomic. A claimed record that was never published does not exist: the successor of a dead writer claims again.
 */
import { assert } from '../base/assert.js'
import { ringHeaderBytes } from './arena-layout.js'
import { align, type Views } from './views.js'

const recordHeaderBytes = 8
const kindFill = 0

export interface RingWriter { readonly views: Views; readonly at: number; readonly capacity: number; head: number; tailSeen: number; next: number }
export interface RingReader { readonly views: Views; readonly at: number; readonly capacity: number; tail: number; headSeen: number; kind: number; bytes: number }

const headIndex = (at: number): number => at >>> 2
const tailIndex = (at: number): number => (at + 8) >>> 2

/** The ring at address `at`; the position is taken from memory, so a successor goes on where the last one published. */
export function createRingWriter(views: Views, at: number, capacity: number): RingWriter {
  assert((capacity & (capacity - 1)) === 0, 'ring: capacity is a power of two')
  const head = Atomics.load(views.i32, headIndex(at)) >>> 0
  return { views, at, capacity, head, tailSeen: Atomics.load(views.i32, tailIndex(at)) >>> 0, next: head }
}

export function createRingReader(views: Views, at: number, capacity: number): RingReader {
  const tail = Atomics.load(views.i32, tailIndex(at)) >>> 0
  return { views, at, capacity, tail, headSeen: tail, kind: 0, bytes: 0 }
}

function hasSpace(ring: RingWriter, bytes: number): boolean {
  if (((ring.head - ring.tailSeen) >>> 0) + bytes <= ring.capacity) return true
  ring.tailSeen = Atomics.load(ring.views.i32, tailIndex(ring.at)) >>> 0
  return ((ring.head - ring.tailSeen) >>> 0) + bytes <= ring.capacity
}

/** True if the next claim of `bytes` bytes will succeed. */
export const canClaim = (ring: RingWriter, bytes: number): boolean => hasSpace(ring, 2 * (recordHeaderBytes + align(bytes, 8)))

/** True if the reader is more than a quarter of the ring behind. */
export function isFilling(ring: RingWriter): boolean {
  const isBehind = (): boolean => ((ring.head - ring.tailSeen) >>> 0) > ring.capacity / 4
  if (!isBehind()) return false
  ring.tailSeen = Atomics.load(ring.views.i32, tailIndex(ring.at)) >>> 0
  return isBehind()
}

/** Room for a record of `bytes`: the address of its payload, or 0 if the ring is full (then nothing has moved). */
export function claim(ring: RingWriter, kind: number, bytes: number): number {
  const record = recordHeaderBytes + align(bytes, 8)
  assert(record <= ring.capacity / 2 && kind !== kindFill, 'ring: a record fits half the ring and has a kind')
  const offset = ring.head & (ring.capacity - 1)
  const fill = offset + record > ring.capacity ? ring.capacity - offset : 0
  if (!hasSpace(ring, fill + record)) return 0
  const { u32 } = ring.views
  const data = ring.at + ringHeaderBytes
  if (fill !== 0) {
    u32[(data + offset) >>> 2] = fill - recordHeaderBytes
    u32[(data + offset + 4) >>> 2] = kindFill
  }
  const at = data + (fill === 0 ? offset : 0)
  u32[at >>> 2] = bytes
  u32[(at + 4) >>> 2] = kind
  ring.next = (ring.head + fill + record) >>> 0
  return at + recordHeaderBytes
}

/** Makes the claimed record visible to the reader. */
export function publish(ring: RingWriter): void {
  assert(ring.next !== ring.head, 'ring: publish follows a claim')
  ring.head = ring.next
  Atomics.store(ring.views.i32, headIndex(ring.at), ring.head | 0)
}

/** The next record's payload address, its kind and bytes in `ring`; 0 if there is none. Reading again without release gives the same. */
export function read(ring: RingReader): number {
  for (;;) {
    if (ring.tail === ring.headSeen) {
      ring.headSeen = Atomics.load(ring.views.i32, headIndex(ring.at)) >>> 0
      if (ring.tail === ring.headSeen) return 0
    }
    const at = ring.at + ringHeaderBytes + (ring.tail & (ring.capacity - 1))
    ring.bytes = ring.views.u32[at >>> 2]
    ring.kind = ring.views.u32[(at + 4) >>> 2]
    assert(recordHeaderBytes + ring.bytes <= ring.capacity, 'ring: a record lies inside the ring')
    if (ring.kind !== kindFill) return at + recordHeaderBytes
    release(ring)
  }
}

/** Frees the record that was read last. */
export function release(ring: RingReader): void {
  ring.tail = (ring.tail + recordHeaderBytes + align(ring.bytes, 8)) >>> 0
  Atomics.store(ring.views.i32, tailIndex(ring.at), ring.tail | 0)
}

/** Bytes that wait to be read. Any thread. */
export const waitingBytes = ({ i32 }: Views, at: number): number => (Atomics.load(i32, headIndex(at)) - Atomics.load(i32, tailIndex(at))) >>> 0

/** Wakes a reader that sleeps in {@link sleepOn}. */
export function wake(views: Views, at: number): void {
  Atomics.add(views.i32, at >>> 2, 1)
  Atomics.notify(views.i32, at >>> 2)
}

/** What to hand to {@link sleepOn}: taken before the last look for work, so that no wake-up is lost. */
export const wakeCount = (views: Views, at: number): number => Atomics.load(views.i32, at >>> 2)

/** Sleeps until woken, or `ms` have passed, or a wake came since `count` was taken. Worker thread only: it blocks. */
export function sleepOn(views: Views, at: number, count: number, ms: number): void {
  Atomics.wait(views.i32, at >>> 2, count, ms)
}
