/**
 * Stored values: what a file of the data folder must look like before anything in it is believed. Main thread; one writer, one reader each.
 *
 *  a snapshot                                                                a record of the log
 *   0  magic 'KASV'   format   xxHash32 of all from 16 on   bytes from 16 on      0  magic 'KASL'   format   xxHash32 …   bytes …
 *  16  epoch (f64)    seq      tick       ts       version (each f64)            16  epoch (f64)    seq (f64)
 *  56  data                                                                      32  record
 */
import { hashBytes } from '../base/hash.js'
import { isEpoch, type LoggedRecord, type StoredSnapshot } from './backplane.js'

const snapshotMagic = 0x5653414b, recordMagic = 0x4c53414b, format = 1
const hashedFrom = 16

export const writeStored = ({ data, epoch, seq, tick, ts, version }: StoredSnapshot): Uint8Array => write(snapshotMagic, [epoch, seq, tick, ts, version], data)

/** The value, or undefined for bytes that {@link writeStored} has not written whole. Never throws. */
export function readStored(bytes: Uint8Array): StoredSnapshot | undefined {
  const value = read(snapshotMagic, bytes, 5)
  if (value === undefined) return undefined
  const [epoch, seq, tick, ts, version] = value.numbers
  return { data: value.data, epoch, seq, tick, ts, version }
}

export const writeLogged = ({ record, epoch, seq }: LoggedRecord): Uint8Array => write(recordMagic, [epoch, seq], record)

/** The record, or undefined for bytes that {@link writeLogged} has not written whole. Never throws. */
export function readLogged(bytes: Uint8Array): LoggedRecord | undefined {
  const value = read(recordMagic, bytes, 2)
  return value === undefined ? undefined : { epoch: value.numbers[0], seq: value.numbers[1], record: value.data }
}

function write(magic: number, numbers: readonly number[], data: Uint8Array): Uint8Array {
  const dataAt = hashedFrom + numbers.length * 8
  const bytes = new Uint8Array(dataAt + data.length), view = new DataView(bytes.buffer)
  view.setUint32(0, magic, true)
  view.setUint32(4, format, true)
  view.setUint32(12, bytes.length - hashedFrom, true)
  for (const [index, value] of numbers.entries()) view.setFloat64(hashedFrom + index * 8, value, true)
  bytes.set(data, dataAt)
  view.setUint32(8, hashBytes(bytes.subarray(hashedFrom)), true)
  return bytes
}

function read(magic: number, bytes: Uint8Array, count: number): { readonly numbers: readonly number[]; readonly data: Uint8Array } | undefined {
  const dataAt = hashedFrom + count * 8
  if (bytes.length < dataAt) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (view.getUint32(0, true) !== magic || view.getUint32(4, true) !== format || view.getUint32(12, true) !== bytes.length - hashedFrom) return undefined
  if (view.getUint32(8, true) !== hashBytes(bytes.subarray(hashedFrom))) return undefined
  const numbers = Array.from({ length: count }, (_, index) => view.getFloat64(hashedFrom + index * 8, true))
  // A hash is no signature: what is written with care may still be no number that an owner can go on from.
  if (!isEpoch(numbers[0]) || !numbers.every((value) => Number.isSafeInteger(value) && value >= 0)) return undefined
  return { numbers, data: bytes.slice(dataAt) }
}
