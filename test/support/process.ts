/** A real `kasagi serve` in a process of its own, on a port that stays the same over its lives; ended by its id. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { metricOf } from './engine.js'
import { freePort } from './free-port.js'
import { until } from './until.js'

export interface ServeProcess {
  readonly url: string
  readonly http: string
  readonly folder: string
  /** Of its newest life. */
  readonly child: ChildProcess
  /** All that it has printed, over all lives. */
  output: string
  /** Starts it (again) and waits until rooms may be joined. */
  start(...flags: string[]): Promise<void>
  kill(signal: NodeJS.Signals): Promise<void>
  metric(name: string): Promise<number>
  /** Of the life that runs now. */
  pid(): number
  /** Ends it, and forgets its folder. */
  end(): Promise<void>
}

/** `nodeFlags`: for Node itself; with any there is a channel to what they load. */
export async function createServeProcess(files: Record<string, string>, nodeFlags: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Promise<ServeProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'kasagi-process-')), project = join(folder, 'project')
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(project, path)), { recursive: true })
    writeFileSync(join(project, path), text)
  }
  const port = await freePort(), http = `http://127.0.0.1:${port}`
  let child: ChildProcess | undefined
  const served: ServeProcess = {
    pid: () => child!.pid!,
    get child() { return child! }, folder, http, url: `ws://127.0.0.1:${port}`, output: '',
    start: async (...flags) => {
      const args = [...nodeFlags, 'dist/src/cli.js', 'serve', project, '--port', String(port), '--host', '127.0.0.1', '--workers', '1', '--data', join(folder, 'data'), ...flags]
      const started = child = spawn(process.execPath, args, { env: { ...process.env, ...env }, stdio: nodeFlags.length === 0 ? ['ignore', 'pipe', 'pipe'] : ['ignore', 'pipe', 'pipe', 'ipc'] })
      for (const stream of [started.stdout!, started.stderr!]) stream.on('data', (text: Uint8Array) => { served.output += Buffer.from(text).toString() })
      await until(async () => {
        if (started.exitCode !== null) throw new Error(`it ended: ${served.output}`)
        return fetch(`${http}/readyz`).then(({ ok }) => ok, () => false)
      }, 'the server is ready', 20_000)
    },
    kill: async (signal) => {
      const exited = once(child!, 'exit')
      child!.kill(signal)
      await exited
    },
    metric: async (name) => metricOf(await (await fetch(`${http}/metrics`)).text(), name),
    end: async () => {
      if (child !== undefined && child.exitCode === null && child.signalCode === null) await served.kill('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
  return served
}
