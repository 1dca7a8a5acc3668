/**
 * Stored values: what a file of the data folder must look like before anything in it is believed. Main thread; one writer, one reader each.
 *
 *  a snapshot, format 2                                                      a record of the log, format 1
 *   0  magic 'KASV'   format   xxHash32 of all from 16 on   bytes from 16 on      0  magic 'KASL'   format   xxHash32 …   bytes …
 *  16  epoch (f64)    seq      tick     ts     version                           16  epoch (f64)    seq (f64)
 *  56  by             forks                                                      32  record
 *  72  of each fork: epoch   parentEpoch   forkSeq (each f64)
 *   …  data
 *
 * `by` is the epoch of the owner that stored it. Format 1 had the data from 56 on: what stored it was the owner that made the last record, and
 * nothing is known of those before it.
 */
import { hashBytes } from '../base/hash.js'
import { lineageForksMax } from '../base/lineage.js'
import { isEpoch, type LoggedRecord, type StoredSnapshot } from './backplane.js'
import { lineageOf, storedForks } from './stored-lineage.js'

const snapshotMagic = 0x5653414b, snapshotFormat = 2, recordMagic = 0x4c53414b, recordFormat = 1
const hashedFrom = 16
/** Numbers before the data, or the forks. */
const snapshotNumbers = 7, oldSnapshotNumbers = 5, recordNumbers = 2

/** A snapshot, and the epoch of the owner that stored it. */
export interface StoredValue { readonly by: number; readonly snapshot: StoredSnapshot }

export function writeStored({ by, snapshot }: StoredValue): Uint8Array {
  const { data, epoch, seq, tick, ts, version, lineage } = snapshot, forks = storedForks(lineage, epoch)
  return write(snapshotMagic, snapshotFormat, [epoch, seq, tick, ts, version, by, forks.length, ...forks.flat()], data)
}

/** The value, or undefined for bytes that {@link writeStored} has not written whole. Never throws. */
export function readStored(bytes: Uint8Array): StoredValue | undefined {
  if (isWhole(snapshotMagic, 1, bytes)) return readOld(bytes)
  const numbers = isWhole(snapshotMagic, snapshotFormat, bytes) ? numbersOf(bytes, snapshotNumbers) : undefined
  if (numbers === undefined) return undefined
  const [epoch, seq, tick, ts, version, by, forks] = numbers
  const all = forks > lineageForksMax ? undefined : numbersOf(bytes, snapshotNumbers + forks * 3)
  const lineage = all && lineageOf(Array.from({ length: forks }, (_, at) => all.slice(snapshotNumbers + at * 3, snapshotNumbers + at * 3 + 3)), epoch)
  if (lineage === undefined || !isEpoch(by) || by < epoch) return undefined
  return { by, snapshot: { data: dataOf(bytes, snapshotNumbers + forks * 3), epoch, seq, tick, ts, version, lineage } }
}

function readOld(bytes: Uint8Array): StoredValue | undefined {
  const numbers = numbersOf(bytes, oldSnapshotNumbers)
  if (numbers === undefined) return undefined
  const [epoch, seq, tick, ts, version] = numbers, lineage = lineageOf([[epoch, 0, 0]], epoch)
  return lineage && { by: epoch, snapshot: { data: dataOf(bytes, oldSnapshotNumbers), epoch, seq, tick, ts, version, lineage } }
}

export const writeLogged = ({ record, epoch, seq }: LoggedRecord): Uint8Array => write(recordMagic, recordFormat, [epoch, seq], record)

/** The record, or undefined for bytes that {@link writeLogged} has not written whole. Never throws. */
export function readLogged(bytes: Uint8Array): LoggedRecord | undefined {
  const numbers = isWhole(recordMagic, recordFormat, bytes) ? numbersOf(bytes, recordNumbers) : undefined
  return numbers && { epoch: numbers[0], seq: numbers[1], record: dataOf(bytes, recordNumbers) }
}

function write(magic: number, format: number, numbers: readonly number[], data: Uint8Array): Uint8Array {
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

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

function isWhole(magic: number, format: number, bytes: Uint8Array): boolean {
  if (bytes.length < hashedFrom) return false
  const view = viewOf(bytes)
  return view.getUint32(0, true) === magic && view.getUint32(4, true) === format && view.getUint32(12, true) === bytes.length - hashedFrom
    && view.getUint32(8, true) === hashBytes(bytes.subarray(hashedFrom))
}

/** A hash is no signature: what is written with care may still be no number that an owner can go on from. */
function numbersOf(bytes: Uint8Array, count: number): number[] | undefined {
  if (bytes.length < hashedFrom + count * 8) return undefined
  const view = viewOf(bytes), numbers = Array.from({ length: count }, (_, index) => view.getFloat64(hashedFrom + index * 8, true))
  return isEpoch(numbers[0]) && numbers.every((value) => Number.isSafeInteger(value) && value >= 0) ? numbers : undefined
}

/** A copy: what LMDB gives is a Buffer, whose `slice` is a view of memory that is used again. */
const dataOf = (bytes: Uint8Array, count: number): Uint8Array => new Uint8Array(bytes.subarray(hashedFrom + count * 8))
