/** Starts real engines for tests: rooms from source text or from the examples, on a free port, with real workers. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { loadProjects, parseConfig, serveProjects, startEngine, type Engine, type Logger } from 'kasagi-engine'

export interface TestEngine {
  readonly engine: Engine
  readonly url: string
  readonly http: string
  /** What was logged, oldest first. */
  readonly lines: { level: string; text: string }[]
  metric(name: string): Promise<number>
  stop(): Promise<void>
}

/** `files`: path in the project to its text, or a folder of the repository. */
export async function startTestEngine(files: Record<string, string> | string, flags: readonly string[] = [], env: Record<string, string> = {}): Promise<TestEngine> {
  const folder = mkdtempSync(join(tmpdir(), 'kasagi-test-'))
  const project = typeof files === 'string' ? files : join(folder, 'project')
  if (typeof files !== 'string') writeProject(project, files)
  const { config } = parseConfig(['--port', '0', '--host', '127.0.0.1', '--workers', '1', '--data', 'none', ...flags], env)
  const projects = await loadProjects([project], join(folder, 'built'))
  const lines: { level: string; text: string }[] = []
  const engine = await startEngine({ config, log: collect(lines), roomBundles: projects.map(({ roomBundle }) => roomBundle), http: serveProjects(projects) })
  const http = `http://127.0.0.1:${engine.port}`
  return {
    engine, lines, http, url: `ws://127.0.0.1:${engine.port}`,
    metric: async (name) => metricOf(await (await fetch(`${http}/metrics`)).text(), name),
    stop: async () => {
      await engine.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function collect(lines: { level: string; text: string }[]): Logger {
  const at = (level: string) => (_: object, text: string) => { lines.push({ level, text }) }
  return { info: at('info'), warn: at('warn'), error: at('error') }
}

/** Writes a project's files under `folder`. */
export function writeProject(folder: string, files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
}

/** The sum of a metric's samples; `name` may hold labels. */
export function metricOf(text: string, name: string): number {
  let sum = 0
  for (const line of text.split('\n')) if (line.startsWith(name) && !line.startsWith('#')) sum += Number(line.slice(line.lastIndexOf(' ') + 1))
  return sum
}

/** Waits until `holds`, looking every few milliseconds; fails with `what` after `withinMs`. */
export async function until(holds: () => boolean | Promise<boolean>, what: string | (() => string), withinMs = 10_000): Promise<void> {
  const end = performance.now() + withinMs
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${typeof what === 'string' ? what : what()}`)
    await new Promise((resolve) => { setTimeout(resolve, 5) })
  }
}
