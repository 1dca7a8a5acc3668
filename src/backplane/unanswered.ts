/** What a backplane was asked for and has not answered: bounded, so that a store that is slow or gone fills nobody's memory. Main thread. */
import { KasagiError } from '../base/errors.js'
import { unansweredBytesMax, unansweredPublishesMax } from '../base/limits.js'

export interface Unanswered { count: number; bytes: number }

export const createUnanswered = (): Unanswered => ({ count: 0, bytes: 0 })

/** Runs `call` unless too much waits already: then it rejects with KasagiError `backplane-busy` at once. */
export async function runCounted<T>(unanswered: Unanswered, bytes: number, call: () => Promise<T>): Promise<T> {
  if (unanswered.count >= unansweredPublishesMax || unanswered.count > 0 && unanswered.bytes + bytes > unansweredBytesMax) {
    throw new KasagiError('backplane-busy', `${unanswered.count} records of ${unanswered.bytes} bytes are not answered yet`)
  }
  unanswered.count++
  unanswered.bytes += bytes
  try {
    return await call()
  } finally {
    unanswered.count--
    unanswered.bytes -= bytes
  }
}
