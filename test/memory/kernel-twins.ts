/** A plain twin of every kernel, over the same memory: what the kernels are held against. */
import { createLaneHash, finishLaneHash, hashLane } from '../../src/base/hash.js'

export interface Twins { readonly view: DataView; readonly u8: Uint8Array }

const bit = ({ u8 }: Twins, rows: number, row: number): number => u8[rows + (row >> 3)] >> (row & 7) & 1
const setBit = ({ u8 }: Twins, rows: number, row: number): void => { u8[rows + (row >> 3)] |= 1 << (row & 7) }

export function rowsOf(twins: Twins, rows: number, words: number): number[] {
  const found: number[] = []
  for (let row = 0; row < words * 64; row++) if (bit(twins, rows, row) === 1) found.push(row)
  return found
}

function putRows(twins: Twins, rows: readonly number[], out: number, words: number): number {
  twins.u8.fill(0, out, out + words * 8)
  for (const row of rows) setBit(twins, out, row)
  return rows.length
}

const bytesAt = ({ u8 }: Twins, at: number, bytes: number): string => Buffer.from(u8.subarray(at, at + bytes)).toString('hex')

export const compare = (twins: Twins, width: number, live: number, committed: number, mask: number, out: number, words: number): number =>
  putRows(twins, rowsOf(twins, mask, words).filter((row) => bytesAt(twins, live + row * width, width) !== bytesAt(twins, committed + row * width, width)), out, words)

/** `out`: the rows of `mask` that lie in blocks of 16 which `touched` names. */
export const narrow = (twins: Twins, mask: number, touched: number, out: number, words: number): number =>
  putRows(twins, rowsOf(twins, mask, words).filter((row) => bit(twins, touched, row >> 4) === 1), out, words)

export const compareSlots = (twins: Twins, live: number, committed: number, mask: number, out: number, words: number, slotBytes: number): number => {
  const text = (slot: number): string => bytesAt(twins, slot, 2 + twins.view.getUint16(slot, true))
  return putRows(twins, rowsOf(twins, mask, words).filter((row) => text(live + row * slotBytes) !== text(committed + row * slotBytes)), out, words)
}

const scaled = (twins: Twins, at: number, min: number, perStep: number): number =>
  Math.fround(Math.fround(twins.view.getFloat32(at, true) - Math.fround(min)) * Math.fround(perStep))

export function quantized(twins: Twins, at: number, min: number, perStep: number, steps: number): number {
  const x = scaled(twins, at, min, perStep), low = x > 0 ? x : 0
  return Math.fround((low < steps ? low : steps) + 2 ** 23) - 2 ** 23
}

const read = ({ view }: Twins, at: number, width: number): number => width === 1 ? view.getUint8(at) : width === 2 ? view.getUint16(at, true) : view.getUint32(at, true)

export const compareQuantized = (
  twins: Twins, width: number, live: number, committed: number, mask: number, out: number, words: number, min: number, perStep: number, steps: number,
): number => putRows(twins, rowsOf(twins, mask, words).filter((row) => quantized(twins, live + row * 4, min, perStep, steps) !== read(twins, committed + row * width, width)), out, words)

export const countClamped = (twins: Twins, live: number, rows: number, words: number, min: number, perStep: number, steps: number): number =>
  rowsOf(twins, rows, words).filter((row) => { const x = scaled(twins, live + row * 4, min, perStep); return !(x >= -0.5 && x <= Math.fround(steps + 0.5)) }).length

export function gather(twins: Twins, width: number, source: number, rows: number, words: number, target: number): number {
  let to = target
  for (const row of rowsOf(twins, rows, words)) { twins.u8.copyWithin(to, source + row * width, source + row * width + width); to += width }
  return to - target
}

export function scatter(twins: Twins, width: number, values: number, rows: number, words: number, target: number): number {
  let from = values
  for (const row of rowsOf(twins, rows, words)) { twins.u8.copyWithin(target + row * width, from, from + width); from += width }
  return from - values
}

export function gapList(rows: readonly number[]): number[] {
  const bytes: number[] = []
  let next = 0
  for (const row of rows) {
    let gap = row - next
    for (; gap >= 128; gap = Math.floor(gap / 128)) bytes.push(gap % 128 + 128)
    bytes.push(gap)
    next = row + 1
  }
  return bytes
}

export function hashColumn(twins: Twins, committed: number, alive: number, words: number, width: number): number {
  const hash = createLaneHash()
  for (const row of rowsOf(twins, alive, words)) {
    hashLane(hash, row)
    const at = committed + row * width
    if (width < 4) hashLane(hash, read(twins, at, width))
    else for (let lane = 0; lane < width; lane += 4) hashLane(hash, twins.view.getUint32(at + lane, true))
  }
  return finishLaneHash(hash)
}

export function hashSlots(twins: Twins, committed: number, alive: number, words: number, slotBytes: number): number {
  const hash = createLaneHash()
  for (const row of rowsOf(twins, alive, words)) {
    const slot = committed + row * slotBytes, bytes = twins.view.getUint16(slot, true)
    hashLane(hash, row)
    hashLane(hash, bytes)
    for (let at = 0; at < bytes; at += 4) {
      let lane = 0
      for (let k = 0; k < 4 && at + k < bytes; k++) lane |= twins.u8[slot + 2 + at + k] << (k * 8)
      hashLane(hash, lane)
    }
  }
  return finishLaneHash(hash)
}
