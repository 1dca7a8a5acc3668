/** Starts real engines for tests: rooms from source text or from the examples, on a free port, with real workers. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { loadProjects, parseConfig, serveProjects, startEngine, type Engine, type Logger } from 'kasagi-engine'

export { until } from './until.js'

export interface LogLine { readonly level: string; readonly text: string; readonly fields: Readonly<Record<string, unknown>> }

export interface TestEngine {
  readonly engine: Engine
  readonly url: string
  readonly http: string
  /** What was logged, oldest first. */
  readonly lines: LogLine[]
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
  const lines: LogLine[] = []
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

/** What happens to every client and room, `debug`, is left out. */
function collect(lines: LogLine[]): Logger {
  const at = (level: string) => (fields: object, text: string) => { lines.push({ level, text, fields: { ...fields } }) }
  return { debug: () => {}, info: at('info'), warn: at('warn'), error: at('error') }
}

/** Writes a project's files under `folder`. */
export function writeProject(folder: string, files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
}

/** The sum of a metric's samples; behind its whole name, `name` may hold labels. */
export function metricOf(text: string, name: string): number {
  let sum = 0
  for (const line of text.split('\n')) if (line.startsWith(name.trim()) && wholeName(line) === wholeName(name)) sum += Number(line.slice(line.lastIndexOf(' ') + 1))
  return sum
}
const wholeName = (text: string): string => /^[^ {]*/.exec(text)![0]
