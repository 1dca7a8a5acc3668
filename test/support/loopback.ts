/**
 * A real engine whose sockets are the test's own: what arrives goes straight to the engine's handlers, in this thread, one call a message. For
 * files that begin with `vi.mock('../../src/server/listen.js', () => import('../support/loop-sockets.js'))`.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEngine, type Engine } from '../../src/engine.js'
import { parseConfig } from '../../src/config.js'
import type { OpenTransport } from '../../src/client/web-socket.js'
import { loadProjects } from '../../src/server/projects.js'
import type { HttpAnswer, SocketHandlers } from '../../src/server/sockets.js'
import { metricOf, writeProject } from './engine.js'
import { connectSocket, listening, type LoopSocket } from './loop-sockets.js'

export interface LoopbackEngine {
  readonly engine: Engine
  readonly lines: { level: string; text: string }[]
  readonly open: OpenTransport
  connect(onMessage?: (bytes: Uint8Array) => void): LoopSocket
  metric(name: string): Promise<number>
  stop(): Promise<void>
}

export async function startLoopbackEngine(files: Record<string, string>, flags: readonly string[] = []): Promise<LoopbackEngine> {
  const folder = mkdtempSync(join(tmpdir(), 'kasagi-loopback-')), project = join(folder, 'project')
  writeProject(project, files)
  const { config } = parseConfig(['--workers', '1', '--data', 'none', '--connections', '0', '--connections-per-address', '0', '--rooms-per-address', '0', ...flags], {})
  const projects = await loadProjects([project], join(folder, 'built')), lines: LoopbackEngine['lines'] = []
  const at = (level: string) => (_: object, text: string) => { lines.push({ level, text }) }
  const engine = await startEngine({ config, log: { debug: () => {}, info: at('info'), warn: at('warn'), error: at('error') }, roomBundles: projects.map(({ roomBundle }) => roomBundle) })
  const { options, handlers } = listening()
  return {
    engine, lines, open: transportOver(handlers), connect: (onMessage) => connectSocket(handlers, onMessage),
    metric: async (name) => {
      const { body } = await options.http({ method: 'GET', path: '/metrics', query: '', header: () => '' }) as HttpAnswer
      return metricOf(String(body), name)
    },
    stop: async () => {
      await engine.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** The SDK's end of such a connection. What it is told comes in a turn of its own, as from a network. */
const transportOver = (handlers: SocketHandlers): OpenTransport => async (_, client) => {
  const later = (run: () => void): void => { setImmediate(run) }
  const socket = connectSocket(handlers, (bytes) => later(() => client.message(bytes.buffer as ArrayBuffer)), (code) => later(() => client.closed(code)))
  later(() => client.open())
  return { send: (bytes) => socket.say(bytes), close: () => socket.cut() }
}
