// Profiles every thread of a server under fan-out load, and says where each spent its time. The files in .cpuprofile open in Chrome's and VS Code's profilers. `node scripts/cpuprofile.mjs`
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync } from 'node:fs'

const folder = '.cpuprofile', shown = 12
rmSync(folder, { recursive: true, force: true })
const { status, pid } = spawnSync(process.execPath, ['--cpu-prof', `--cpu-prof-dir=${folder}`, 'dist/bench/under-load.js'], { stdio: 'inherit' })
if (status !== 0) process.exit(status ?? 1)

/** Milliseconds that each function was at the top of the stack. */
function timesOf({ nodes, samples, timeDeltas }) {
  const nameOf = new Map(nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) =>
    [id, functionName.startsWith('(') ? functionName : `${functionName || 'anonymous'} ${url.replace(/^.*\/(?=dist\/|node_modules\/)/, '')}:${lineNumber + 1}`]))
  const times = new Map()
  samples.forEach((id, n) => times.set(nameOf.get(id), (times.get(nameOf.get(id)) ?? 0) + timeDeltas[n] / 1000))
  return times
}

// CPU.<date>.<time>.<process>.<thread>.<number>: those of the load are not wanted.
for (const file of readdirSync(folder).filter((name) => name.split('.')[3] === String(pid)).sort()) {
  const times = timesOf(JSON.parse(readFileSync(`${folder}/${file}`, 'utf8')))
  for (const name of times.keys()) if (name === '(idle)' || name.startsWith('sleepOn ')) times.delete(name)
  const all = [...times.values()].reduce((sum, ms) => sum + ms, 0)
  console.log(`\n${folder}/${file}: ${file.split('.')[4] === '0' ? 'main thread' : 'a worker'}, busy for ${Math.round(all)} ms`)
  for (const [name, ms] of [...times].sort((a, b) => b[1] - a[1]).slice(0, shown)) console.log(`  ${(100 * ms / all).toFixed(1).padStart(5)}%  ${name}`)
}
