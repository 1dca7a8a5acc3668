/** What `npm pack` makes, used as somebody would who has nothing else: an empty project, the README's counter, Node 20, 22 and a later one. */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { until } from '../support/engine.js'

const run = promisify(execFile)
const npmMsMax = 90_000
const checkout = process.cwd()
const folder = mkdtempSync(join(tmpdir(), 'kasagi-package-'))
const app = join(folder, 'app'), installed = join(app, 'node_modules/kasagi-engine')

/** The sockets of a server on each Node; clients have a WebSocket of Node's own from 22 on. */
const sockets = new Map([[20, 'uWebSockets.js'], [22, 'uWebSockets.js'], [24, 'ws']])
const nodes = new Map<number, string>()

/** The counter of the README, as it stands there. */
const program = (() => {
  const [, section] = /\n## The counter.*?\n(.*?)\n## /s.exec(readFileSync('README.md', 'utf8'))!
  const [shared, rooms, main, page] = [...section.matchAll(/```\w+\n(.*?)```/gs)].map(([, text]) => text)
  return { 'shared/counter.ts': shared, 'rooms/counter.ts': rooms, 'web/main.ts': main, 'web/index.html': page }
})()

/** Adds one from Node; says which WebSocket it had, and the count before and after. */
const client = `
import { connect } from 'kasagi-engine/client'
import { counter } from './built/shared/counter.js'

const room = await connect(process.argv[2]).join(counter, { name: 'main' })
const before = room.globals.count
await room.ask('add', { by: 1 })
console.log(globalThis.WebSocket === undefined ? 'ws' : 'global', before, room.globals.count)
await room.leave()
`

async function npm(where: string, ...args: string[]): Promise<void> {
  mkdirSync(where, { recursive: true })
  const settings = ['--no-audit', '--no-fund', '--prefer-offline', '--fetch-retries=1', '--fetch-retry-mintimeout=1000', '--fetch-timeout=30000']
  await run('npm', [...args, ...settings], { cwd: where, timeout: npmMsMax }).catch(({ stderr, killed }: { stderr: string; killed: boolean }) => {
    const [reason = stderr.trim()] = killed ? [`not within ${npmMsMax} ms`] : stderr.split('\n').filter((line) => /^npm error (?!code |syscall |errno |A complete log)/.test(line))
    throw new Error(`npm ${args[0]} failed; this test needs npm and its registry: ${reason}`)
  })
}

/** Node of this major version: this one, or npm's package of it. */
async function getNode(major: number): Promise<void> {
  if (Number(process.versions.node.split('.')[0]) === major) return void nodes.set(major, process.execPath)
  const name = `node-${process.platform}-${process.arch}`, where = join(folder, `node-${major}`)
  await npm(where, 'install', '--ignore-scripts', '--prefix', where, `${name}@${major}`)
  nodes.set(major, join(where, 'node_modules', name, 'bin/node'))
}

async function makeApp(): Promise<void> {
  await npm(checkout, 'pack', '--pack-destination', folder)
  await npm(app, 'init', '-y')
  const [tarball] = readdirSync(folder).filter((file) => file.endsWith('.tgz'))
  await npm(app, 'install', '--ignore-scripts', join(folder, tarball))
  for (const [path, text] of Object.entries({ ...program, 'client.mjs': client })) write(path, text)
  // What the README says to those who want NodeNext; `npm init` writes "commonjs".
  write('package.json', JSON.stringify({ ...JSON.parse(readFileSync(join(app, 'package.json'), 'utf8')) as object, type: 'module' }))
}

function write(path: string, text: string): void {
  mkdirSync(dirname(join(app, path)), { recursive: true })
  writeFileSync(join(app, path), text)
}

/** What tsc has to say of the program, and of the package's types; nothing if all is well. Compiles to built/. */
async function compile(module: 'ESNext' | 'NodeNext', moduleResolution: 'bundler' | 'NodeNext'): Promise<string> {
  const compilerOptions = { strict: true, target: 'ES2022', lib: ['ES2023', 'DOM'], module, moduleResolution, rootDir: '.', outDir: 'built' }
  write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['shared', 'rooms', 'web'] }))
  return run(process.execPath, [join(checkout, 'node_modules/typescript/bin/tsc')], { cwd: app }).then(({ stdout }) => stdout, (error: { stdout: string }) => error.stdout)
}

interface Served { readonly child: ChildProcess; readonly exit: Promise<unknown[]>; out: string; url: string }
const started: ChildProcess[] = []

/** Starts a server in a process group of its own, as a shell does, and waits for its banner. */
async function serve(command: string, ...args: string[]): Promise<Served> {
  const child = spawn(command, [...args, '--port', '0', '--workers', '1'], { cwd: app, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  started.push(child)
  const served: Served = { child, exit: once(child, 'exit'), out: '', url: '' }
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Uint8Array) => { served.out += Buffer.from(text).toString() })
  await until(() => {
    if (child.exitCode !== null) throw new Error(`it ended: ${served.out}`)
    return served.out.includes('Ctrl+C')
  }, () => `the banner is printed, only: ${served.out}`, 20_000)
  served.url = /http:\/\/localhost:\d+/.exec(served.out)![0]
  return served
}

function endGroup({ pid }: ChildProcess): void {
  try { process.kill(-pid!, 'SIGKILL') } catch { /* All of it has ended. */ }
}

/** Files of the package, by their path in it. */
const packed = (): string[] => readdirSync(installed, { recursive: true, encoding: 'utf8' }).filter((file) => statSync(join(installed, file)).isFile())
const has = (...path: string[]): boolean => existsSync(join(installed, ...path))

/** Once. Settled whatever fails, so that no npm is left running. */
let made: Promise<PromiseSettledResult<void>[]> | undefined

describe('the package', () => {
  // Not beforeAll, whose failure would count tests as skipped.
  beforeEach(async () => {
    for (const result of await (made ??= Promise.allSettled([makeApp(), ...[...sockets.keys()].map(getNode)]))) if (result.status === 'rejected') throw result.reason
  }, 120_000)
  afterAll(() => { started.forEach(endGroup); rmSync(folder, { recursive: true, force: true }) })

  it('package: holds every module with its types and all that these name, the documents with what they show, and nothing of bench and test', () => {
    const files = packed(), read = (file: string): string => readFileSync(join(installed, file), 'utf8')
    const modules = files.filter((file) => /^(src|workers)\/.*\.ts$/.test(file) && !file.startsWith('workers/kernels/'))
    expect(modules.length).toBeGreaterThan(80)
    const { exports, bin } = JSON.parse(read('package.json')) as { exports: Record<string, string | Record<string, string>>; bin: Record<string, string> }
    const named = [
      ...modules.flatMap((file) => [file.replace(/\.ts$/, '.js'), file.replace(/\.ts$/, '.d.ts')].map((built) => join('dist', built))),
      ...Object.values(exports).flatMap((target) => typeof target === 'string' ? [target] : Object.values(target)), ...Object.values(bin),
      ...files.filter((file) => file.endsWith('.map')).flatMap((file) => (JSON.parse(read(file)) as { sources: string[] }).sources.map((source) => join(dirname(file), source))),
      ...files.filter((file) => /\.(js|d\.ts)$/.test(file)).flatMap((file) => [...read(file).matchAll(/^\/\/# sourceMappingURL=(.+)$/gm)].map(([, map]) => join(dirname(file), map))),
      ...[...read('README.md').matchAll(/\]\(([^:)]+)\)/g)].map(([, target]) => target), 'LICENSE', 'schema/section.fbs', 'dist/workers/kernels/kernels.wasm',
    ]
    expect(named.filter((file) => !has(file))).toEqual([])
    expect(files.filter((file) => /bench|test|\.mjs$|\.log$/.test(file))).toEqual([])
    expect(files.reduce((sum, file) => sum + statSync(join(installed, file)).size, 0)).toBeLessThan(4_000_000)
  })

  it('package: the counter of the README is examples/counter', () => {
    for (const file of ['shared/counter.ts', 'rooms/counter.ts', 'web/main.ts'] as const) expect(program[file]).toBe(readFileSync(join(installed, 'examples/counter', file), 'utf8'))
  })

  it('package: shared, rooms and web compile with --strict, by bundler and by NodeNext; a misspelt input does not', async () => {
    expect(await compile('ESNext', 'bundler')).toBe('')
    expect(await compile('NodeNext', 'NodeNext')).toBe('')
    write('web/wrong.ts', program['web/main.ts'].replace("send('add'", "send('ad'"))
    expect(await compile('ESNext', 'bundler')).toMatch(/^web\/wrong\.ts\(\d+,\d+\): error TS2345: Argument of type '"ad"' is not assignable to parameter of type '"add"'/)
    rmSync(join(app, 'web/wrong.ts'))
  })

  it('package: npx kasagi serve . serves the page and its bundle; Ctrl+C saves and stops it', async () => {
    const { child, exit, url } = await serve('npx', 'kasagi', 'serve', '.')
    expect(await (await fetch(url)).text()).toBe(program['web/index.html'])
    const bundle = await fetch(`${url}/main.js`)
    expect(bundle.headers.get('content-type')).toContain('javascript')
    expect(await bundle.text()).toContain('location.origin')
    expect(existsSync(join(app, '.kasagi/lock'))).toBe(true)
    // A terminal tells all of the foreground's processes.
    process.kill(-child.pid!, 'SIGINT')
    await exit
    await until(() => !existsSync(join(app, '.kasagi/lock')), 'the data folder is let go of')
    await expect(fetch(url)).rejects.toThrow()
  })

  it('package: whichever Node serves, clients on each add and read; SIGTERM ends it with 0, and the next one has the count', async () => {
    expect(await compile('NodeNext', 'NodeNext')).toBe('')
    let count = 0
    for (const [major, library] of sockets) {
      const { child, exit, url, out } = await serve(nodes.get(major)!, 'node_modules/.bin/kasagi', 'serve')
      expect(out).toContain(` · Node ${major}.`)
      expect(out).toContain(` · ${library} · `)
      for (const [other, node] of nodes) {
        const { stdout } = await run(node, ['client.mjs', url], { cwd: app, timeout: 20_000 })
        expect(stdout.trim(), `server ${major}, client ${other}`).toBe(`${other < 22 ? 'ws' : 'global'} ${count} ${++count}`)
      }
      child.kill('SIGTERM')
      expect(await exit, out).toEqual([0, null])
    }
    expect(count).toBe(9)
  }, 60_000)
})
