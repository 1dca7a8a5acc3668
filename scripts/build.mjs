// Builds dist/: kernels by AssemblyScript, TypeScript by tsc, and prints the size of the browser SDK. `node scripts/build.mjs`
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import asc from 'assemblyscript/asc'
import { build } from 'esbuild'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const kernels = join(root, 'dist/workers/kernels')

console.log('building …')
mkdirSync(kernels, { recursive: true })
const { error, stderr } = await asc.main([
  join(root, 'workers/kernels/index.ts'), '-o', join(kernels, 'kernels.wasm'), '--runtime', 'stub', '--importMemory', '--sharedMemory',
  '--initialMemory', '1', '--maximumMemory', '65536', '--noExportMemory', '--noAssert', '-O3',
  '--enable', 'simd', '--enable', 'threads', '--enable', 'bulk-memory',
])
if (error !== null) { console.error(stderr.toString()); process.exit(1) }

execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(root, 'tsconfig.json')], { stdio: 'inherit', cwd: root })
chmodSync(join(root, 'dist/src/bin.js'), 0o755)
// What an earlier build made of sources that are gone would still be packed.
for (const file of readdirSync(join(root, 'dist'), { recursive: true })) {
  const [, stem] = /^(.+?)(\.d\.ts|\.js)(\.map)?$/.exec(file) ?? []
  if (stem !== undefined && !existsSync(join(root, `${stem}.ts`))) rmSync(join(root, 'dist', file))
}

const { outputFiles } = await build({
  entryPoints: [join(root, 'dist/src/client/index.js')], bundle: true, minify: true, format: 'esm', platform: 'browser', target: 'es2022',
  external: ['ws'], write: false,
})
const [bundle] = outputFiles
const kB = (bytes) => `${(bytes / 1000).toFixed(1)} kB`
console.log(`browser SDK: ${kB(bundle.contents.length)} minified, ${kB(gzipSync(bundle.contents).length)} gzipped`)
writeFileSync(join(root, 'dist/.built'), '')
