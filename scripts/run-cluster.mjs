// One Redis and three instances of the demo on this machine, on ports that follow each other: PORT=9001 node scripts/run-cluster.mjs. Ctrl+C ends all of them.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..'), count = 3, first = Number(process.env.PORT ?? 9001)
// Debian's package redis-tools has the whole server under the name of redis-check-rdb: what it is called decides what it does.
const server = ['/usr/bin/redis-server', '/usr/local/bin/redis-server', '/usr/bin/redis-check-rdb'].find((file) => existsSync(file))
const children = [], folder = mkdtempSync(join(tmpdir(), 'kasagi-cluster-'))
let isEnding = false

function fail(line) {
  console.error(`kasagi: ${line}`)
  end(2)
}

function end(code) {
  if (isEnding) return
  isEnding = true
  // Redis last: rooms are stored there.
  const [redis, ...instances] = children
  for (const child of instances) child.kill('SIGTERM')
  Promise.all(instances.map((child) => child.exitCode !== null || new Promise((resolve) => { child.once('exit', resolve) }))).then(() => {
    redis?.kill('SIGTERM')
    rmSync(folder, { recursive: true, force: true })
    process.exit(code)
  })
}
process.on('SIGINT', () => end(0))
process.on('SIGTERM', () => end(0))

/** Starts a program whose every line bears its name; of one that is `quiet` they are told only if it ends by itself. Not of this terminal's group: Ctrl+C reaches this script alone, which ends them in order. */
function start(name, command, args, { quiet = false, ...options }) {
  const kept = [], print = quiet ? (line) => kept.push(line) : console.log
  const child = spawn(command, args, { ...options, cwd: root, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  for (const stream of [child.stdout, child.stderr]) {
    let rest = ''
    stream.on('data', (text) => {
      const lines = `${rest}${text}`.split('\n')
      rest = lines.pop()
      for (const line of lines) if (line !== '') print(`${name}  ${line}`)
    })
  }
  child.on('exit', (code, signal) => { if (!isEnding) console.log(`${kept.map((line) => `${line}\n`).join('')}${name}  ended (${signal ?? code}); the others go on`) })
  children.push(child)
  return child
}

const freePort = () => new Promise((resolve) => {
  const listener = createServer().listen(0, '127.0.0.1', () => { const { port } = listener.address(); listener.close(() => resolve(port)) })
})

async function answers(port) {
  for (let n = 0; n < 100; n++) {
    if (await new Promise((resolve) => {
      const socket = createConnection(port, '127.0.0.1', () => { socket.destroy(); resolve(true) }).on('error', () => resolve(false))
    })) return true
    await new Promise((resolve) => { setTimeout(resolve, 50) })
  }
  return false
}

if (server === undefined) fail('there is no redis-server; get it with: sudo apt-get install redis-tools')
else {
  const port = await freePort(), env = { ...process.env, KASAGI_SECRET: process.env.KASAGI_SECRET ?? randomBytes(24).toString('hex') }
  start('redis', server, ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'yes', '--loglevel', 'warning'], { argv0: 'redis-server', quiet: true })
  if (!await answers(port)) fail('Redis does not start; its lines stand above')
  else {
    for (let n = 0; n < count; n++) {
      start(`:${first + n}`, process.execPath, ['dist/src/cli.js', 'serve', 'examples/arena', 'examples/counter', 'examples/cards', '--port', String(first + n), '--redis', `redis://127.0.0.1:${port}`], { env })
    }
    const up = await Promise.all(Array.from({ length: count }, (_, n) => answers(first + n)))
    if (up.includes(false)) fail(`nothing answers at port ${first + up.indexOf(false)}; its lines stand above`)
    else console.log(`\nOne room, ${count} instances: open http://localhost:${first}/ and http://localhost:${first + 1}/ side by side.\nEnd the one that runs it (kill ${children.slice(1).map(({ pid }) => pid).join(' or ')}): the world goes on in the others. Ctrl+C ends all.\n`)
  }
}
