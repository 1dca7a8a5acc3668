/** What `kasagi` does: serves projects, and shows what is stored of rooms. A mistake is one line on stderr and exit code 2. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KasagiError } from './base/errors.js'
import { optionsHelp, parseConfig, type Config } from './config.js'
import { startEngine, type Engine } from './engine.js'
import { createLogger } from './server/logging.js'
import { endBundler, loadProjects, serveProjects, type Project } from './server/projects.js'

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }

const help = `kasagi ${version}: rooms that stay in step

  kasagi serve              serve the project in the current folder
  kasagi serve PROJECT…     serve one or more projects
  kasagi replay TYPE:NAME   print a room's log, one JSON line a record
  kasagi rooms              list the rooms that are kept, and who runs them
  kasagi --version

A project is a folder with
  rooms/    room files: export default defineRoom(schema, { … })
  shared/   schemas and constants that rooms and pages share
  web/      pages: index.html; web/main.ts is bundled to main.js
The first project is served at /, each at /<its folder's name>/.

Options of serve, each also as environment variable (--port: KASAGI_PORT)
${optionsHelp()}

Options of replay and rooms
  --redis URL, --data FOLDER
                          where rooms are kept (as for serve); a data folder
                          only while no process holds it
Options of replay
  --from SEQ, --to SEQ    the first and the last record
  --follow                go on with what is published (Redis only)
  --state SEQ             instead: all tables at that record, as JSON
Options of rooms
  --json                  a JSON line for each room
`

async function main(argv: readonly string[]): Promise<void> {
  if (argv.includes('--help') || argv.includes('-h') || argv.length === 0) return void process.stdout.write(help)
  if (argv.includes('--version')) return void process.stdout.write(`${version}\n`)
  const [command, ...rest] = argv
  // What serving does not need is not loaded for it.
  if (command === 'replay') return (await import('./replay.js')).replay(rest, process.env)
  if (command === 'rooms') return (await import('./rooms-table.js')).showRooms(rest, process.env)
  if (command !== 'serve') throw new KasagiError('bad-option', `${command} is no command; try: kasagi serve <project>`)
  const { config, rest: folders } = parseConfig(rest, process.env)
  if (folders.length === 0 && !existsSync('rooms')) throw new KasagiError('no-project', 'this folder has no rooms/; go to one that has, or name it: kasagi serve <project>')
  await serve(config, folders.length === 0 ? ['.'] : folders)
}

async function serve(config: Config, folders: readonly string[]): Promise<void> {
  const outFolder = mkdtempSync(join(tmpdir(), 'kasagi-'))
  const log = createLogger(config.logLevel, config.logJson)
  // Node's own words follow on stderr, and the process ends: what clients have not been told, they learn from the next one.
  process.on('uncaughtExceptionMonitor', (error) => log.error({ stack: error.stack }, `a fault of the engine's own ends the process; please report it: ${error.message}`))
  try {
    const projects = await loadProjects(folders, outFolder)
    await endBundler()
    const engine = await startEngine({ config, log, roomBundles: projects.map(({ roomBundle }) => roomBundle), http: serveProjects(projects) })
    const { port, workers, socketKind: sockets, place: data } = engine
    if (config.logJson) log.info({ version, node: process.versions.node, port, workers, sockets, data }, `listening on port ${port}`)
    else process.stdout.write(banner(engine, projects, config.tlsCert === undefined ? 'http' : 'https'))
    stopOnSignals(engine, outFolder)
    engine.failed.catch(() => engine.stop().finally(() => process.exit(1)))
  } catch (error) {
    rmSync(outFolder, { recursive: true, force: true })
    if (error instanceof KasagiError && error.code === 'port-busy') {
      throw new KasagiError('port-busy', `port ${config.port} is taken by another program; add --port ${config.port + 1}, or put PORT=${config.port + 1} before the command`)
    }
    throw error
  }
}

function banner(engine: Engine, projects: readonly Project[], scheme: 'http' | 'https'): string {
  const node = process.versions.node.split('.').slice(0, 2).join('.')
  const wide = Math.max(...projects.map(({ name }) => name.length))
  const lines = projects.map(({ name, title, mounts, web }) => {
    const url = `${scheme}://localhost:${engine.port}${mounts[0]}`
    return `  ${name.padEnd(wide)}  ${url.padEnd(32)} ${web.has('index.html') ? title : 'no page: web/index.html is missing'}`.trimEnd().slice(0, 80)
  })
  const workers = `${engine.workers} worker${engine.workers === 1 ? '' : 's'}`
  const kept = engine.place === '' ? 'rooms are not kept' : `rooms kept in ${engine.place}${engine.place.includes('://') ? '' : '/'}`
  const first = `kasagi ${version} · Node ${node} · ${engine.socketKind} · ${workers}`
  return [...(first.length + kept.length + 3 <= 80 ? [`${first} · ${kept}`] : [first, `  ${kept}`]), ...lines, `  Open one in two tabs. Ctrl+C ${engine.place === '' ? '' : 'saves and '}stops.`, ''].join('\n')
}

function stopOnSignals(engine: Engine, outFolder: string): void {
  let asked = false
  const stop = (): void => {
    if (asked) process.exit(1)
    asked = true
    engine.stop().finally(() => {
      rmSync(outFolder, { recursive: true, force: true })
      process.exit(0)
    })
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
}

main(process.argv.slice(2)).catch((error: unknown) => {
  if (!(error instanceof KasagiError)) throw error
  process.stderr.write(`kasagi: ${error.message.replace(/\s*\n\s*/g, ' ')}\n`)
  process.exit(2)
})
