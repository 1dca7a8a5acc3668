/**
 * The kernels' door: the one .wasm module (workers/kernels), instantiated over an arena's memory, once per thread and arena.
 *
 * Conventions: all arguments are byte addresses in the shared memory, or counts. A *word* is a u64 of bitmap: bit i of word w is row 64w + i.
 * Columns are padded to 64 rows; bitmaps begin 8-aligned. A gather may write up to 64 bytes behind its last value: callers leave that slack.
 * Values are compared and moved bit by bit, so NaN equals itself and -0 differs from 0.
 */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

type Compare = (live: number, committed: number, mask: number, out: number, words: number) => number
type CompareQuantized = (
  live: number, committed: number, alive: number, mask: number, out: number, wire: number, words: number, min: number, perStep: number, steps: number,
) => number
type CompareTouched = (live: number, committed: number, stayed: number, touched: number, out: number, words: number) => number
type CompareTouchedQuantized = (
  live: number, committed: number, stayed: number, touched: number, out: number, wire: number, words: number, min: number, perStep: number, steps: number,
) => number
type TouchesEdge = (values: number, count: number, steps: number) => number
type Gather = (source: number, rows: number, words: number, target: number) => number
type Scatter = (values: number, rows: number, words: number, target: number) => number

export interface Kernels {
  /** out = rows of `mask` whose values differ; returns how many. */
  readonly compare8: Compare
  readonly compare16: Compare
  readonly compare32: Compare
  readonly compare64: Compare
  /** The same for text slots (u16 length, then bytes). */
  compareSlots(live: number, committed: number, mask: number, out: number, words: number, slotBytes: number): number
  /**
   * The same with quantize(live) on the left: round half to even of (v - min) * perStep in f32, clamped to 0 … steps, NaN to 0. The quantized
   * values of every word with a row in `alive` are left at `wire`, for the gather that follows.
   */
  readonly compareQuantized8: CompareQuantized
  readonly compareQuantized16: CompareQuantized
  readonly compareQuantized32: CompareQuantized
  /**
   * The same in marked blocks only: bit i of `touched` is the rows 16i … 16i + 15. Where nothing differs (0), `out` is left as it was. The quantized ones
   * leave at `wire` the values of marked blocks.
   */
  readonly compareTouched8: CompareTouched
  readonly compareTouched16: CompareTouched
  readonly compareTouched32: CompareTouched
  readonly compareTouched64: CompareTouched
  readonly compareTouchedQuantized8: CompareTouchedQuantized
  readonly compareTouchedQuantized16: CompareTouchedQuantized
  readonly compareTouchedQuantized32: CompareTouchedQuantized
  /** Packs the values of the set rows to `target`; returns bytes written. */
  readonly gather8: Gather
  readonly gather16: Gather
  readonly gather32: Gather
  readonly gather64: Gather
  /** How many live values of the set rows lie more than half a step outside, or are NaN. */
  countClamped(live: number, rows: number, words: number, min: number, perStep: number, steps: number): number
  /** 1 if one of `count` packed wire values is the first or the last step: only then may one have been clamped. */
  readonly touchesEdge8: TouchesEdge
  readonly touchesEdge16: TouchesEdge
  readonly touchesEdge32: TouchesEdge
  /** The inverse of gather; returns bytes read. */
  readonly scatter8: Scatter
  readonly scatter16: Scatter
  readonly scatter32: Scatter
  readonly scatter64: Scatter
  /** target &= source. */
  and(target: number, source: number, words: number): void
  /** stayed = live & committed, spawned = live & ~committed, despawned = committed & ~live. */
  masks(live: number, committed: number, stayed: number, spawned: number, despawned: number, words: number): void
  countBits(rows: number, words: number): number
  /** 1 if equal, else 0. */
  equalBits(a: number, b: number, words: number): number
  /** Index of the first word that is not 0, or `words`. */
  firstWord(rows: number, words: number): number
  /** Index behind the last word that is not 0, or 0. */
  lastWord(rows: number, words: number): number
  /** Writes `stamp` into the u32 of each word that is not 0. */
  stampWords(rows: number, words: number, stamps: number, stamp: number): void
  setRange(rows: number, first: number, count: number): void
  /** LEB128 of the first set row, then of each row minus the row before minus 1; bytes written, 0 if they would be more than `bytesMax`. */
  writeGaps(rows: number, words: number, target: number, bytesMax: number): number
  /** Sets the listed rows; 1 if exactly `count` rows below 64 * words stood in exactly `bytes` bytes, else 0. */
  readGaps(source: number, bytes: number, count: number, rows: number, words: number): number
  copy(target: number, source: number, bytes: number): void
  zero(target: number, bytes: number): void
  /** xxHash32 of (row, value) of the living rows, as a signed 32-bit number; see schema/section.fbs. */
  hashColumn(committed: number, alive: number, words: number, width: number): number
  hashSlots(committed: number, alive: number, words: number, slotBytes: number): number
}

let module: WebAssembly.Module | undefined

/** The built module, also when this file runs from its sources. */
function compile(): WebAssembly.Module {
  const here = dirname(fileURLToPath(import.meta.url))
  const built = join(here, '../../workers/kernels/kernels.wasm')
  const file = existsSync(built) ? built : join(here, '../../dist/workers/kernels/kernels.wasm')
  return new WebAssembly.Module(new Uint8Array(readFileSync(file)))
}

/** Any thread. The first call of a thread compiles. */
export function loadKernels(memory: WebAssembly.Memory): Kernels {
  module ??= compile()
  return new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Kernels
}
