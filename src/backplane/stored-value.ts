/**
 * A stored value: what a file of the data folder must look like before anything in it is believed. Main thread; one writer, one reader.
 *
 *   0  magic 'KASV'   format   xxHash32 of all from 16 on   bytes from 16 on
 *  16  epoch (f64)    seq      tick       ts       version (each f64)
 *  56  data
 */
import { hashBytes } from '../base/hash.js'
import { isEpoch, type StoredSnapshot } from './backplane.js'

const magic = 0x5653414b, format = 1
const headBytes = 56, hashedFrom = 16

export function writeStored({ data, epoch, seq, tick, ts, version }: StoredSnapshot): Uint8Array {
  const bytes = new Uint8Array(headBytes + data.length), view = new DataView(bytes.buffer)
  view.setUint32(0, magic, true)
  view.setUint32(4, format, true)
  view.setUint32(12, bytes.length - hashedFrom, true)
  for (const [index, value] of [epoch, seq, tick, ts, version].entries()) view.setFloat64(hashedFrom + index * 8, value, true)
  bytes.set(data, headBytes)
  view.setUint32(8, hashBytes(bytes.subarray(hashedFrom)), true)
  return bytes
}

/** The value, or undefined for bytes that {@link writeStored} has not written whole. Never throws. */
export function readStored(bytes: Uint8Array): StoredSnapshot | undefined {
  if (bytes.length < headBytes) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (view.getUint32(0, true) !== magic || view.getUint32(4, true) !== format || view.getUint32(12, true) !== bytes.length - hashedFrom) return undefined
  if (view.getUint32(8, true) !== hashBytes(bytes.subarray(hashedFrom))) return undefined
  const numbers = [0, 1, 2, 3, 4].map((index) => view.getFloat64(hashedFrom + index * 8, true)), [epoch, seq, tick, ts, version] = numbers
  // A hash is no signature: what is written with care may still be no number that an owner can go on from.
  if (!isEpoch(epoch) || !numbers.every((value) => Number.isSafeInteger(value) && value >= 0)) return undefined
  return { data: bytes.slice(headBytes), epoch, seq, tick, ts, version }
}
