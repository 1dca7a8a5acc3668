/**
 * Named fault points: where tests end a worker, to see that its successor loses nothing. A fault is `name` or `name:n` (the n-th passing);
 * it fires once per arena, however many threads follow. Without one, passing a point costs a comparison.
 */
import { atFaultFired } from '../src/memory/arena-layout.js'
import { loadWord, storeWord, type Views } from '../src/memory/views.js'

/** The exit code of a thread that ended at a fault point. */
export const faultExitCode = 86

/** Gives the function to call at each point. */
export function createFaults(views: Views, fault: string | undefined): (name: string) => void {
  if (fault === undefined || loadWord(views, atFaultFired) !== 0) return () => {}
  const at = fault.lastIndexOf(':')
  const counted = /:\d+$/.test(fault)
  const name = counted ? fault.slice(0, at) : fault
  let left = counted ? Number(fault.slice(at + 1)) : 1
  return (passed) => {
    if (passed !== name || --left > 0 || loadWord(views, atFaultFired) !== 0) return
    storeWord(views, atFaultFired, 1)
    process.exit(faultExitCode)
  }
}
