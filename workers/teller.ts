/**
 * What the main thread must hear once, though its ring may be full: that a room is open, or not, and every refusal. Worker thread; what is owed is
 * told before anything new of its kind. Records, snapshots and what rooms say of themselves wait elsewhere: a later one says it all.
 */
import { send } from '../src/memory/crossing.js'
import type { RingWriter } from '../src/memory/ring.js'

export interface Teller {
  tell(kind: number, words: readonly number[], bytes?: Uint8Array): void
  /** Tells what is owed, as far as there is space; true if nothing is left. */
  pay(): boolean
}

export function createTeller(output: RingWriter): Teller {
  const owed: { readonly kind: number; readonly words: readonly number[]; readonly bytes: Uint8Array }[] = []
  const pay = (): boolean => {
    if (owed.length === 0) return true
    let paid = 0
    while (paid < owed.length && send(output, owed[paid].kind, owed[paid].words, owed[paid].bytes)) paid++
    owed.splice(0, paid)
    return owed.length === 0
  }
  return {
    pay,
    tell: (kind, words, bytes = nothing) => { if (owed.length > 0 || !send(output, kind, words, bytes)) owed.push({ kind, words, bytes }) },
  }
}

const nothing = new Uint8Array(0)
