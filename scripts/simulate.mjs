// Bundles the simulation (test/sim) and runs it: `node scripts/simulate.mjs`, with SEEDS= and FROM=, or SEED= for the trace of one.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const folder = mkdtempSync(join(tmpdir(), 'kasagi-simulate-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
const outfile = join(folder, 'main.mjs')
await build({ entryPoints: [join(root, 'test/sim/main.ts')], bundle: true, platform: 'node', format: 'esm', outfile, logLevel: 'error' })
await import(pathToFileURL(outfile).href)
