// Runs the benches one after the other, each in a process of its own; ONLY=tick runs one, SMOKE=1 shows in seconds that they work. `node scripts/bench.mjs`
import { spawnSync } from 'node:child_process'

const benches = ['delta', 'frame', 'cluster', 'tick']
const wanted = process.env.ONLY === undefined ? benches : benches.filter((name) => name === process.env.ONLY)
if (wanted.length === 0) {
  console.error(`bench: ONLY=${process.env.ONLY} is none of ${benches.join(', ')}`)
  process.exit(2)
}
for (const name of wanted) {
  console.log(`bench ${name}`)
  const { status } = spawnSync(process.execPath, ['--expose-gc', `dist/bench/${name}.bench.js`], { stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
console.log(`results: ${process.env.SMOKE === undefined ? 'bench/results/latest.json' : 'dist/bench/smoke.json, which say nothing'}`)
