import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
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

function kasagi(...argv: string[]): Run {
  const child = spawn(process.execPath, ['dist/src/cli.js', ...argv], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, KASAGI_DATA: join(folder, `data-${started.length}`) } })
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
    await expectOneLine(kasagi('serve'), 'name a project folder')
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

  it('cli: serves, prints where, and ends with exit code 0 on SIGTERM', async () => {
    const run = kasagi('serve', '--port', '0', 'examples/counter')
    await until(() => run.out.includes('Ctrl+C'), 'the banner is printed')
    const [, url] = /(http:\/\/localhost:\d+\/)/.exec(run.out)!
    expect(await (await fetch(url)).text()).toContain('<title>counter</title>')
    expect((await fetch(`${url}main.js`)).headers.get('content-type')).toContain('javascript')
    expect((await fetch(`${url}counter`, { redirect: 'manual' })).headers.get('location')).toBe('/counter/')
    expect([(await fetch(`${url}healthz`)).status, (await fetch(`${url}readyz`)).status, (await fetch(`${url}nothing`)).status]).toEqual([200, 200, 404])
    expect(await (await fetch(`${url}..%2f..%2fpackage.json`)).text()).not.toContain('kasagi-engine')
    run.child.kill('SIGTERM')
    expect(await run.exit).toBe(0)
    for (const line of run.out.split('\n')) expect(line.length).toBeLessThanOrEqual(80)
  })
})
