/** A record that came from another instance, or from a log: whole, so that its head can be read. Main thread. */
import { recordInMap } from '../wire/record-in-map.js'
import { verify } from '../wire/verifier.js'
import { readReceivedHead, recordRule, type RecordHead } from '../wire/record.js'

export interface PeerRecord { readonly head: RecordHead; readonly bytes: Uint8Array }

/**
 * Undefined for what is none; a record may lie in a map, as some instances publish them. The bytes are those received, which lie anywhere: its worker gets a
 * copy, and checks what it says.
 */
export function openPeerRecord(received: Uint8Array): PeerRecord | undefined {
  const bytes = verify(received, 'KREC', recordRule) ? received : recordInMap(received)
  if (bytes === undefined || (bytes !== received && !verify(bytes, 'KREC', recordRule))) return undefined
  const head = readReceivedHead(bytes)
  const isHead = [head.epoch, head.seq, head.durableSeq, head.parentEpoch, head.forkSeq].every(Number.isSafeInteger) && head.parentEpoch < head.epoch && head.forkSeq < head.seq
  return isHead ? { head, bytes } : undefined
}
