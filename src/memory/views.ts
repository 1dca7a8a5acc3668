/** Typed views over a whole shared memory, made once per thread. Index a view by address divided by its element's bytes. */

export interface Views {
  readonly buffer: ArrayBufferLike
  readonly u8: Uint8Array
  readonly u16: Uint16Array
  readonly u32: Uint32Array
  readonly i32: Int32Array
  readonly f32: Float32Array
  readonly f64: Float64Array
  /** For packed fields, which lie anywhere. Indexed by address. */
  readonly packed: DataView
}

export const createViews = (buffer: ArrayBufferLike): Views => ({
  buffer,
  u8: new Uint8Array(buffer),
  u16: new Uint16Array(buffer),
  u32: new Uint32Array(buffer),
  i32: new Int32Array(buffer),
  f32: new Float32Array(buffer),
  f64: new Float64Array(buffer),
  packed: new DataView(buffer),
})

const low32 = 0x1_0000_0000

/** A number below 2^53 from two u32, the low one first. */
export const readWide = (views: Views, address: number): number =>
  views.u32[address >>> 2] + views.u32[(address >>> 2) + 1] * low32

export function writeWide(views: Views, address: number, value: number): void {
  views.u32[address >>> 2] = value >>> 0
  views.u32[(address >>> 2) + 1] = Math.floor(value / low32)
}

export const align = (bytes: number, to: number): number => Math.ceil(bytes / to) * to

/** A u32 that the other thread stores, and the store of one that the other thread reads: whatever was written before is visible with it. */
export const loadWord = ({ i32 }: Views, address: number): number => Atomics.load(i32, address >>> 2) >>> 0
export const storeWord = ({ i32 }: Views, address: number, value: number): void => { Atomics.store(i32, address >>> 2, value | 0) }

/** A wide number that the other thread stores with {@link storeWide}. Exact while its high word stands still, so for 2^32 flushes. */
export const loadWide = (views: Views, address: number): number =>
  loadWord(views, address) + views.u32[(address >>> 2) + 1] * low32

export function storeWide(views: Views, address: number, value: number): void {
  views.u32[(address >>> 2) + 1] = Math.floor(value / low32)
  storeWord(views, address, value >>> 0)
}
