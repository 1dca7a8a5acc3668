/** What something costs, on a machine that pauses now and then: the fastest of five times. */
export function leastMs(run: () => void): number {
  let least = Infinity
  for (let n = 0; n < 5; n++) least = Math.min(least, timed(run))
  return least
}

/** How long it took this once. */
export function timed(run: () => void): number {
  const began = performance.now()
  run()
  return performance.now() - began
}
