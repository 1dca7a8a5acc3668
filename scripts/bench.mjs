// Runs the benches one after the other, each in a process of its own, and ends with the table of targets. ONLY=fanout runs one (PART=… a part of it), FULL=1 adds growth and
// the highest client counts, SMOKE=1 shows within a minute that all of it works. `node scripts/bench.mjs`
import { spawnSync } from 'node:child_process'

const { ONLY: only, FULL: full, SMOKE: smoke } = process.env
const benches = ['delta', 'frame', 'tick', 'fanout', 'cluster', 'growth']
const isUsual = (name) => name !== 'growth' || full !== undefined || smoke !== undefined
const wanted = benches.filter((name) => only === undefined ? isUsual(name) : name === only)
if (wanted.length === 0) {
  console.error(`bench: ONLY=${only} is none of ${benches.join(', ')}`)
  process.exit(2)
}
const began = Date.now()
const run = (name) => {
  const { status } = spawnSync(process.execPath, ['--expose-gc', `dist/bench/${name}.js`], { stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
for (const [index, name] of wanted.entries()) {
  console.log(`bench ${index + 1} of ${wanted.length}: ${name}, ${Math.round((Date.now() - began) / 1000)} s so far`)
  run(`${name}.bench`)
}
run('finish')
