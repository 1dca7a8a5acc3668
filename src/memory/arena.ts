/**
 * The arena: one shared memory of a fixed size per worker, and the power-of-two blocks in it. Drawn in arena-layout.ts.
 *
 * Made by the main thread; blocks are given out by the worker that opens a room. The block table is the only truth: a successor
 * needs nothing else. Invariant: open blocks never overlap, each is aligned to its size, and reads zero when given out.
 */
import { assert } from '../base/assert.js'
import { blockBytesMin, roomsPerWorkerMax } from '../base/limits.js'
import {
  arenaMagic, arenaVersion, atArenaBytes, atArmed, atBlocks, atBlockTable, atGeneration, atHighWater, atMagic, atMarkHandler,
  atMarkNumberHigh, atMarkNumberLow, atMarkRoom, atTurns, atVersion, atWorker, blockEntryBytes,
} from './arena-layout.js'
import { loadKernels, type Kernels } from './kernels.js'
import { createViews, type Views } from './views.js'

const pageBytes = 65536

export interface Arena extends Views {
  readonly memory: WebAssembly.Memory
  readonly bytes: number
  readonly worker: number
  readonly kernels: Kernels
}

/** Makes the memory of worker number `worker`; `bytes` is rounded down to whole pages. Main thread. */
export function createArena(bytes: number, worker: number): Arena {
  const pages = Math.floor(bytes / pageBytes)
  assert(pages * pageBytes > atBlocks + blockBytesMin, 'arena: too small for its rings and one block')
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
  const { u32 } = createViews(memory.buffer)
  u32[atMagic >>> 2] = arenaMagic
  u32[atVersion >>> 2] = arenaVersion
  u32[atArenaBytes >>> 2] = pages * pageBytes
  u32[atWorker >>> 2] = worker
  return attachArena(memory)
}

/** Views and kernels over an existing arena. Any thread. */
export function attachArena(memory: WebAssembly.Memory): Arena {
  const views = createViews(memory.buffer)
  assert(views.u32[atMagic >>> 2] === arenaMagic && views.u32[atVersion >>> 2] === arenaVersion, 'arena: not an arena of this version')
  return {
    ...views, memory, bytes: views.u32[atArenaBytes >>> 2], worker: views.u32[atWorker >>> 2], kernels: loadKernels(memory),
  }
}

/** Takes the arena over for a new thread: what an earlier one would still write is void from here on. Worker thread, once. */
export function takeGeneration(arena: Arena): number {
  Atomics.store(arena.i32, atArmed >>> 2, 0)
  mark(arena, 0, 0, 0)
  return Atomics.add(arena.i32, atGeneration >>> 2, 1) + 1
}

/** True while `generation` is the newest. Publish and commit check it. */
export const holdsGeneration = (arena: Arena, generation: number): boolean =>
  Atomics.load(arena.i32, atGeneration >>> 2) === generation

/** True if the doorbell was not under way: then the caller has to ring it. Worker thread. */
export const armDoorbell = (arena: Arena): boolean => Atomics.exchange(arena.i32, atArmed >>> 2, 1) === 0

/** To be called *before* draining, so that what is published meanwhile rings again. Main thread. */
export const disarmDoorbell = (arena: Arena): void => { Atomics.store(arena.i32, atArmed >>> 2, 0) }

/** Names the author code that runs now: whoever finds the thread dead reads it. `handler` 0: none. Worker thread. */
export function mark(arena: Arena, roomKey: number, handler: number, journalNumber: number): void {
  arena.u32[atMarkRoom >>> 2] = roomKey
  arena.u32[atMarkNumberLow >>> 2] = journalNumber >>> 0
  arena.u32[atMarkNumberHigh >>> 2] = Math.floor(journalNumber / 0x1_0000_0000)
  arena.u32[atMarkHandler >>> 2] = handler
}

export const readMark = ({ u32 }: Views): { roomKey: number; handler: number; journalNumber: number } => ({
  roomKey: u32[atMarkRoom >>> 2],
  handler: u32[atMarkHandler >>> 2],
  journalNumber: u32[atMarkNumberLow >>> 2] + u32[atMarkNumberHigh >>> 2] * 0x1_0000_0000,
})

/** Counts a turn of the worker's loop. */
export const countLoop = ({ u32 }: Views): void => { u32[atTurns >>> 2]++ }

export interface Block { readonly entry: number; readonly roomKey: number; readonly address: number; readonly bytes: number }

const entryAt = (entry: number): number => (atBlockTable + entry * blockEntryBytes) >>> 2

function readBlock({ u32 }: Views, entry: number): Block | undefined {
  const at = entryAt(entry)
  if (u32[at] !== 1) return undefined
  return { entry, roomKey: u32[at + 1], address: u32[at + 2] * blockBytesMin, bytes: 2 ** u32[at + 3] }
}

/** The open blocks, by address. Any thread. */
export function openBlocks(views: Views): Block[] {
  const blocks: Block[] = []
  for (let entry = 0; entry < roomsPerWorkerMax; entry++) {
    const block = readBlock(views, entry)
    if (block !== undefined) blocks.push(block)
  }
  return blocks.sort((a, b) => a.address - b.address)
}

/** The free stretches between open blocks: what metrics show, and where new blocks go. */
function* freeStretches(arena: Arena): Generator<readonly [start: number, end: number]> {
  let start = atBlocks
  for (const block of openBlocks(arena)) {
    if (block.address > start) yield [start, block.address]
    start = block.address + block.bytes
  }
  if (start < arena.bytes) yield [start, arena.bytes]
}

export function freeBytes(arena: Arena): { free: number; largest: number } {
  let free = 0, largest = 0
  for (const [start, end] of freeStretches(arena)) {
    free += end - start
    largest = Math.max(largest, end - start)
  }
  return { free, largest }
}

/** The block size that holds `bytes`: a power of two, at least blockBytesMin. */
export const blockBytesFor = (bytes: number): number => Math.max(blockBytesMin, 2 ** Math.ceil(Math.log2(bytes)))

/** Gives out the lowest block that holds `bytes`, zeroed; undefined if none fits or the table is full. Worker thread. */
export function allocateBlock(arena: Arena, roomKey: number, bytes: number): Block | undefined {
  const size = blockBytesFor(bytes)
  let entry = 0
  while (entry < roomsPerWorkerMax && arena.u32[entryAt(entry)] !== 0) entry++
  if (entry === roomsPerWorkerMax) return undefined
  for (const [start, end] of freeStretches(arena)) {
    const address = Math.ceil(start / size) * size
    if (address + size > end) continue
    zeroUsed(arena, address, size)
    const at = entryAt(entry)
    arena.u32[at + 1] = roomKey
    arena.u32[at + 2] = address / blockBytesMin
    arena.u32[at + 3] = Math.log2(size)
    Atomics.store(arena.i32, at, 1)
    return { entry, roomKey, address, bytes: size }
  }
  return undefined
}

/** Gives a block back. Its room must be gone on both threads. Worker thread. */
export function freeBlock(arena: Arena, block: Block): void {
  assert(arena.u32[entryAt(block.entry) + 1] === block.roomKey, 'arena: a block is freed by another room')
  Atomics.store(arena.i32, entryAt(block.entry), 0)
}

/** Zeroes what was given out before: above the high-water mark the memory was never touched, and stays so. */
function zeroUsed(arena: Arena, address: number, bytes: number): void {
  const highWater = arena.u32[atHighWater >>> 2] * blockBytesMin
  if (address < highWater) arena.kernels.zero(address, Math.min(bytes, highWater - address))
  if (address + bytes > highWater) arena.u32[atHighWater >>> 2] = (address + bytes) / blockBytesMin
}
