/** A record that came from another instance, or from a log: whole, so that its head can be read. Main thread. */
import { verify } from '../wire/verifier.js'
import { readReceivedHead, recordRule, type RecordHead } from '../wire/record.js'

export interface PeerRecord { readonly head: RecordHead; readonly bytes: Uint8Array }

/** Undefined for what is none. The bytes are those received, which lie anywhere: its worker gets a copy, and checks what it says. */
export function openPeerRecord(bytes: Uint8Array): PeerRecord | undefined {
  if (!verify(bytes, 'KREC', recordRule)) return undefined
  const head = readReceivedHead(bytes)
  const isHead = [head.epoch, head.seq, head.durableSeq, head.parentEpoch, head.forkSeq].every(Number.isSafeInteger)
  return isHead ? { head, bytes } : undefined
}
