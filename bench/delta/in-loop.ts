/** How long a step takes that is called again and again. */
import { Bench } from 'tinybench'
import { isSmoke } from '../report.js'

export const loopMs = isSmoke ? 5 : 60

/** Microseconds at the median, called again and again. */
export async function inLoop(step: () => void): Promise<number> {
  const bench = new Bench({ time: loopMs, warmup: false })
  bench.add('step', step)
  const [{ result }] = await bench.run()
  if (result?.state !== 'completed') throw new Error(`delta: ${String(result?.state)}`)
  return result.latency.p50 * 1000
}
