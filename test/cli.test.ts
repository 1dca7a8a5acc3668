import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { canMakeCertificates, makeCertificate } from './support/certificate.js'
import { until } from './support/engine.js'
import { ask } from './support/http.js'

const folder = mkdtempSync(join(tmpdir(), 'kasagi-cli-'))
const started: ReturnType<typeof spawn>[] = []
afterAll(() => { for (const child of started) child.kill('SIGKILL'); rmSync(folder, { recursive: true, force: true }) })

interface Run { readonly child: ReturnType<typeof spawn>; readonly exit: Promise<number | null>; out: string; err: string }

const kasagi = (...argv: string[]): Run => runNode(['dist/src/cli.js', ...argv])

function runNode(argv: readonly string[]): Run {
  const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, KASAGI_DATA: join(folder, `data-${started.length}`) } })
  started.push(child)
  const run: Run = { child, out: '', err: '', exit: new Promise((resolve) => { child.on('exit', resolve) }) }
  child.stdout.on('data', (data: Buffer) => { run.out += data.toString() })
  child.stderr.on('data', (data: Buffer) => { run.err += data.toString() })
  return run
}

function project(name: string, room: string): string {
  mkdirSync(join(folder, name, 'rooms'), { recursive: true })
  writeFileSync(join(folder, name, 'rooms/room.ts'), room)
  return join(folder, name)
}

const expectOneLine = async (run: Run, text: string): Promise<void> => {
  expect(await run.exit, run.err).toBe(2)
  expect(run.err.trim().split('\n')).toHaveLength(1)
  expect(run.err).toContain(text)
}

describe('cli', () => {
  it('cli: --help says what a project is, in 80 columns', async () => {
    const run = kasagi('--help')
    expect(await run.exit).toBe(0)
    expect(run.out).toContain('kasagi serve PROJECT')
    for (const line of run.out.split('\n')) expect(line.length).toBeLessThanOrEqual(80)
  })

  it('cli: a wrong command, a wrong option and a missing project are one line and exit code 2', async () => {
    await expectOneLine(kasagi('sevre', 'x'), 'sevre is no command')
    await expectOneLine(kasagi('serve', '--wrokers', '2', 'x'), 'did you mean --workers?')
    await expectOneLine(kasagi('serve', join(folder, 'absent')), 'does not exist')
    await expectOneLine(kasagi('serve', '-p', '9002'), '-p is no option; did you mean --port?; see kasagi serve --help')
    await expectOneLine(kasagi('serve', 'README.md'), 'README.md is no folder')
    await expectOneLine(kasagi('serve', 'docs'), 'docs has no rooms; a room is a file in ')
    await expectOneLine(kasagi('serve'), 'this folder has no rooms/')
  })

  it('cli: on a Node that is too old, or without a package\'s binary, nothing starts: one line', async () => {
    const older = "data:text/javascript,Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.9.0' } })"
    await expectOneLine(runNode(['--import', older, 'dist/src/bin.js', '--version']), 'needs Node 20.10 or later; this is 20.9.0')
    const foreign = "data:text/javascript,Object.defineProperty(process, 'arch', { value: 'none' })"
    await expectOneLine(runNode(['--import', foreign, 'dist/src/bin.js', '--version']), 'run npm install again')
    const run = runNode(['dist/src/bin.js', '--version'])
    expect([await run.exit, run.out]).toEqual([0, '0.1.0\n'])
  })

  it('cli: a room that does not compile, or whose schema is wrong, is named by file, in one line', async () => {
    await expectOneLine(kasagi('serve', '--port', '0', project('broken', 'export default defineRoom(')), 'room.ts:1')
    const wrong = "import { defineSchema, u8 } from 'kasagi-engine/schema'\nimport { defineRoom } from 'kasagi-engine'\nexport default defineRoom(defineSchema('wrong', { globals: { size1: u8.default(300) } }), {})"
    await expectOneLine(kasagi('serve', '--port', '0', project('wrong', wrong)), 'globals.size1')
    await expectOneLine(kasagi('serve', '--port', '0', project('other', 'export default { tickHz: 20 }')), 'what defineRoom returns')
    const slow = "import { defineSchema } from 'kasagi-engine/schema'\nimport { defineRoom } from 'kasagi-engine'\nexport default defineRoom(defineSchema('slow', {}), { async onTick() {} })"
    await expectOneLine(kasagi('serve', '--port', '0', project('slow', slow)), 'onTick is async; handlers are synchronous')
  })

  it('cli: a busy port is one line that says what to type', async () => {
    const holder = createServer()
    const port = await new Promise<number>((resolve) => { holder.listen(0, '0.0.0.0', () => resolve((holder.address() as { port: number }).port)) })
    await expectOneLine(kasagi('serve', '--port', String(port), 'examples/counter'), `PORT=${port + 1}`)
    holder.close()
  })

  it.skipIf(!canMakeCertificates)('cli: with a certificate the banner says https, and which library serves; without a readable one it is one line', async () => {
    const { certFile, keyFile } = makeCertificate(folder)
    const run = kasagi('serve', '--port', '0', '--sockets', 'ws', '--tls-cert', certFile, '--tls-key', keyFile, 'examples/counter')
    await until(() => run.out.includes('Ctrl+C'), 'the banner is printed')
    const [, port] = /https:\/\/localhost:(\d+)\//.exec(run.out)!
    expect(run.out).toContain(' · ws · ')
    expect((await ask({ port: Number(port), isTls: true, path: '/healthz' })).status).toBe(200)
    run.child.kill('SIGTERM')
    expect(await run.exit).toBe(0)
    await expectOneLine(kasagi('serve', '--port', '0', '--tls-cert', certFile, 'examples/counter'), '--tls-key is missing')
    await expectOneLine(kasagi('serve', '--port', '0', '--tls-cert', certFile, '--tls-key', join(folder, 'absent'), 'examples/counter'), 'absent cannot be read')
    await expectOneLine(kasagi('serve', '--port', '0', '--tls-cert', certFile, '--tls-key', certFile, 'examples/counter'), 'are no certificate with its key')
  })

  it('cli: a project without a page says so, at the start and to who asks for it', async () => {
    const module = "import { defineSchema } from 'kasagi-engine/schema'\nimport { defineRoom } from 'kasagi-engine'\nexport default defineRoom(defineSchema('bare', {}), {})"
    const run = kasagi('serve', '--port', '0', project('bare', module))
    await until(() => run.out.includes('Ctrl+C'), 'the banner is printed')
    expect(run.out).toContain('no page: web/index.html is missing')
    const page = await fetch(/http:\/\/localhost:\d+\//.exec(run.out)![0])
    expect([page.status, await page.text()]).toEqual([404, 'bare runs, but has no page: web/index.html is missing\n'])
    run.child.kill('SIGTERM')
    expect(await run.exit).toBe(0)
  })

  it('cli: serves, prints where, and ends with exit code 0 on SIGTERM', async () => {
    const run = kasagi('serve', '--port', '0', 'examples/counter')
    await until(() => run.out.includes('Ctrl+C'), 'the banner is printed')
    const [, url] = /(http:\/\/localhost:\d+\/)/.exec(run.out)!
    expect(await (await fetch(url)).text()).toContain('<title>counter</title>')
    expect((await fetch(`${url}main.js`)).headers.get('content-type')).toContain('javascript')
    expect((await fetch(`${url}counter`, { redirect: 'manual' })).headers.get('location')).toBe('/counter/')
    expect([(await fetch(`${url}healthz`)).status, (await fetch(`${url}readyz`)).status, (await fetch(`${url}nothing`)).status]).toEqual([200, 200, 404])
    expect(await (await fetch(`${url}..%2f..%2fpackage.json`)).text()).not.toContain('kasagi-engine')
    // Nothing runs beside it: the bundler is gone.
    const { pid } = run.child, children = `/proc/${pid}/task/${pid}/children`
    if (existsSync(children)) expect(readFileSync(children, 'utf8')).toBe('')
    run.child.kill('SIGTERM')
    expect(await run.exit).toBe(0)
    for (const line of run.out.split('\n')) expect(line.length).toBeLessThanOrEqual(80)
  })
})
