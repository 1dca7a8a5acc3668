/** What `make simulate` runs: many seeds with a line of progress, or one seed with everything that happens in it. */
import { count, createChecker } from './checker.js'
import { simulate } from './simulate.js'

const { SEED, SEEDS = '20000', FROM = '1' } = process.env

function one(seed: number): void {
  simulate(seed, {}, (line) => console.log(line))
  console.log('nothing went wrong')
}

function many(from: number, seeds: number): void {
  const total = createChecker(), began = performance.now()
  for (let done = 0; done < seeds; done++) {
    const { counts } = simulate(from + done)
    for (const [what, by] of Object.entries(counts)) count(total, what, by)
    if ((done + 1) % 100 === 0 || done + 1 === seeds) {
      const perSecond = (done + 1) / (performance.now() - began) * 1000
      process.stdout.write(`\r${done + 1} of ${seeds} seeds, ${perSecond.toFixed(0)} a second, ${total.counts.takeovers} takeovers, ${total.counts.records} records, ${total.counts.inputs} inputs`)
    }
  }
  console.log(`\n${Object.entries(total.counts).map(([what, by]) => `${what} ${by}`).join(', ')}`)
}

try {
  if (SEED !== undefined) one(Number(SEED))
  else many(Number(FROM), Number(SEEDS))
} catch (error) {
  console.log(`\n${error instanceof Error ? error.message : String(error)}\n  to see it happen: make simulate SEED=${/SEED=(\d+)/.exec(String(error))?.[1] ?? '?'}`)
  process.exit(1)
}
