/**
 * Where the time of a tick goes, by the named points that the engine passes anyway (workers/faults.ts), and a clock around the gather kernels. Plain numbers; reading
 * the clock costs 40 ns, so a whole tick is measured without it.
 */
import type { Kernels } from '../../src/memory/kernels.js'

export const phases = ['journal', 'author code', 'compare', 'gather', 'encode', 'post', 'commit'] as const
export type Phase = (typeof phases)[number]

export interface PhaseClock {
  /** Microseconds of each phase, over all ticks. */
  readonly us: Record<Phase, number>
  fault(name: string): void
  withKernels(kernels: Kernels): Kernels
  /** What follows is `phase` until a point says otherwise. */
  begin(phase: Phase): void
  /** Whatever runs now has ended, and nothing is measured. */
  end(): void
  clear(): void
}

/** What begins behind a point. */
const behind: Readonly<Record<string, Phase | undefined>> = {
  'handler:before': 'author code', 'handler:after': 'journal', 'flush:reserved': 'encode', 'flush:pending': 'post', 'flush:published': 'commit',
}

export function createPhaseClock(): PhaseClock {
  const us: Record<Phase, number> = { journal: 0, 'author code': 0, compare: 0, gather: 0, encode: 0, post: 0, commit: 0 }
  let running: Phase | undefined, sinceMs = 0
  const turnTo = (phase: Phase | undefined): void => {
    const now = performance.now()
    if (running !== undefined) us[running] += (now - sinceMs) * 1000
    running = phase
    sinceMs = now
  }
  const timed = <A extends unknown[]>(kernel: (...args: A) => number) => (...args: A): number => {
    const before = running
    turnTo('gather')
    const result = kernel(...args)
    turnTo(before)
    return result
  }
  return {
    us, begin: turnTo, end: () => turnTo(undefined),
    fault: (name) => { if (running !== undefined && behind[name] !== undefined) turnTo(behind[name]) },
    withKernels: (kernels) => ({ ...kernels, gather8: timed(kernels.gather8), gather16: timed(kernels.gather16), gather32: timed(kernels.gather32), gather64: timed(kernels.gather64) }),
    clear: () => { for (const phase of phases) us[phase] = 0 },
  }
}
