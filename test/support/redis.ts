/**
 * Real Redis servers of the test's own, on free ports, in temporary folders, ended by their process ids. Debian's package redis-tools has the whole server
 * under the name of redis-check-rdb: what it is called decides what it does.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import type { TlsFiles } from '../../src/server/sockets.js'
import { freePort } from './free-port.js'
import { until } from './until.js'

const command = ['/usr/bin/redis-server', '/usr/bin/redis-check-rdb'].find((file) => existsSync(file))

export interface RedisOptions {
  readonly port?: number
  /** Port of the server that it copies. */
  readonly replicaOf?: number
  /** Keeps what it is told across a kill. */
  readonly isKept?: boolean
  readonly password?: string
  /** Further rules of its users, as in redis.conf: `kasagi on >secret ~* &* +@all`. */
  readonly users?: readonly string[]
  readonly tls?: TlsFiles
}

export interface RedisServer {
  readonly port: number
  readonly url: string
  /** Of the life that runs now. */
  pid(): number
  /** A plain client, which is nobody's but the test's. */
  readonly client: Redis
  /** Starts it, or starts it again. `isForgetful`: with nothing of what it had. */
  start(how?: { readonly isForgetful: boolean }): Promise<void>
  kill(signal: NodeJS.Signals): Promise<void>
  /** Stops and goes on: SIGSTOP, SIGCONT. */
  signal(signal: NodeJS.Signals): void
  end(): Promise<void>
}

export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  if (command === undefined) throw new Error('there is no redis-server: sudo apt-get install redis-tools (as root, make test does it by itself)')
  const folder = mkdtempSync(join(tmpdir(), 'kasagi-redis-'))
  const port = options.port ?? await freePort()
  let child: ChildProcess | undefined, output = ''
  const isTls = options.tls !== undefined
  const client = new Redis({
    port, password: options.password, tls: isTls ? { rejectUnauthorized: false } : undefined, lazyConnect: true, retryStrategy: () => 20, maxRetriesPerRequest: null,
  }).on('error', () => {})
  const server: RedisServer = {
    port, client, pid: () => child!.pid!, url: `${isTls ? 'rediss' : 'redis'}://127.0.0.1:${port}`,
    start: async ({ isForgetful } = { isForgetful: false }) => {
      if (isForgetful) for (const file of ['dump.rdb', 'appendonlydir']) rmSync(join(folder, file), { recursive: true, force: true })
      const started = child = spawn(command, argumentsOf(options, port, folder), { argv0: 'redis-server', stdio: ['ignore', 'pipe', 'pipe'] })
      // However the tests end.
      process.once('exit', () => started.kill('SIGKILL'))
      for (const stream of [started.stdout, started.stderr]) stream.on('data', (text: Uint8Array) => { output += Buffer.from(text).toString() })
      await until(() => {
        if (started.exitCode !== null) throw new Error(`redis-server ended: ${output}`)
        return output.includes('Ready to accept connections')
      }, () => `redis-server is ready: ${output}`)
      output = ''
      if (client.status === 'wait') await client.connect()
      else await client.ping()
    },
    kill: async (signal) => {
      const exited = once(child!, 'exit')
      child!.kill(signal)
      await exited
    },
    signal: (signal) => { child!.kill(signal) },
    end: async () => {
      client.disconnect()
      if (child !== undefined && child.exitCode === null && child.signalCode === null) await server.kill('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
  await server.start().catch(async (error: unknown) => {
    await server.end()
    throw error
  })
  return server
}

function argumentsOf({ replicaOf, isKept, password, users = [], tls }: RedisOptions, port: number, folder: string): string[] {
  return [
    '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', isKept === true ? 'yes' : 'no', '--appendfsync', 'always', '--daemonize', 'no', '--repl-diskless-sync-delay', '0',
    ...tls === undefined ? ['--port', String(port)] : ['--port', '0', '--tls-port', String(port), '--tls-cert-file', tls.certFile, '--tls-key-file', tls.keyFile, '--tls-auth-clients', 'no'],
    ...replicaOf === undefined ? [] : ['--replicaof', '127.0.0.1', String(replicaOf)],
    ...password === undefined ? [] : ['--requirepass', password],
    ...users.flatMap((user) => ['--user', ...user.split(' ')]),
  ]
}
