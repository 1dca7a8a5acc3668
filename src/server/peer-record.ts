/** A record that came from another instance, or from a log: whole and aligned, so that its head can be read. Main thread. */
import { recordInMap } from '../wire/record-in-map.js'
import { verify } from '../wire/verifier.js'
import { readRecordHead, recordRule, type RecordHead } from '../wire/record.js'

export interface PeerRecord { readonly head: RecordHead; readonly bytes: Uint8Array }

/** Undefined for what is none; a record may lie in a map, as some instances publish them. The bytes are a copy: what comes over a socket lies anywhere. Its worker checks what it says. */
export function openPeerRecord(from: Uint8Array): PeerRecord | undefined {
  const received = verify(from, 'KREC', recordRule) ? from : recordInMap(from)
  if (received === undefined || (received !== from && !verify(received, 'KREC', recordRule))) return undefined
  const bytes = received.length % 8 === 0 ? new Uint8Array(received) : padded(received)
  const head = readRecordHead({ u8: bytes, u16: new Uint16Array(bytes.buffer), u32: new Uint32Array(bytes.buffer) }, 0)
  const isHead = [head.epoch, head.seq, head.durableSeq, head.parentEpoch, head.forkSeq].every(Number.isSafeInteger)
  return isHead ? { head, bytes: bytes.subarray(0, received.length) } : undefined
}

function padded(received: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array((received.length + 7) & ~7)
  bytes.set(received)
  return bytes
}
