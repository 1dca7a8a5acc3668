/**
 * Projects: folders with `rooms/`, `shared/` and `web/`, bundled by esbuild (its only door). Main thread, at start. Files that are served lie
 * in a map, so no request reaches the disk.
 */
import { existsSync } from 'node:fs'
import { lstat, mkdir, readdir, readFile, stat } from 'node:fs/promises'
import { basename, dirname, extname, join, relative, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build, stop, type BuildFailure, type Plugin } from 'esbuild'
import { KasagiError } from '../base/errors.js'
import type { HttpAnswer, HttpRequest } from './sockets.js'

export interface Project {
  readonly name: string
  readonly title: string
  /** Paths it is served at; each ends in '/'. */
  readonly mounts: readonly string[]
  /** An ES module that exports `rooms`. */
  readonly roomBundle: string
  readonly web: ReadonlyMap<string, { readonly type: string; readonly body: Uint8Array }>
}

const built = (() => {
  const root = join(dirname(fileURLToPath(import.meta.url)), '../..')
  return existsSync(join(root, 'src/room/index.js')) ? join(root, 'src') : join(root, 'dist/src')
})()

/** The engine's own modules, wherever the project lies: `kasagi-engine` is the room author's half in a room bundle. */
const engineModules = (isRoom: boolean): Record<string, string> => ({
  'kasagi-engine': join(built, isRoom ? 'room/index.js' : 'index.js'),
  'kasagi-engine/schema': join(built, 'schema/index.js'),
  'kasagi-engine/client': join(built, 'client/index.js'),
})

function enginePlugin(isRoom: boolean): Plugin {
  const modules = engineModules(isRoom)
  return {
    name: 'kasagi-engine',
    setup(setup) {
      setup.onResolve({ filter: /^kasagi-engine(\/|$)/ }, ({ path }) => {
        if (modules[path] === undefined) return { errors: [{ text: `${path} is none of ${Object.keys(modules).join(', ')}` }] }
        return isRoom ? { path: pathToFileURL(modules[path]).href, external: true } : { path: modules[path] }
      })
    },
  }
}

/** Bundles every project into `outFolder`. Throws KasagiError: `no-project`, `no-rooms`, `bad-room-module`. */
export async function loadProjects(folders: readonly string[], outFolder: string): Promise<Project[]> {
  const projects: Project[] = []
  for (const [index, folder] of folders.entries()) projects.push(await loadProject(resolve(folder), index === 0, outFolder))
  return projects
}

/** Ends the bundler's process, which would stay as long as this one. For a process that is the engine's alone: whoever else bundles in it uses the same. */
export const endBundler = (): Promise<void> => stop()

async function loadProject(folder: string, isFirst: boolean, outFolder: string): Promise<Project> {
  const name = basename(folder)
  if (!existsSync(folder)) throw new KasagiError('no-project', `${folder} does not exist`)
  if (!(await stat(folder)).isDirectory()) throw new KasagiError('no-project', `${folder} is no folder; a project is one that has rooms/`)
  const rooms = await roomFiles(folder)
  if (rooms.length === 0) throw new KasagiError('no-rooms', `${folder} has no rooms; a room is a file in ${join(folder, 'rooms')} whose default export is defineRoom(…)`)
  const roomBundle = join(outFolder, `${name}.rooms.mjs`)
  await mkdir(outFolder, { recursive: true })
  await bundleRooms(folder, rooms, roomBundle)
  const web = await bundleWeb(folder)
  const mounts = isFirst ? ['/', `/${name}/`] : [`/${name}/`]
  return { name, title: await titleOf(folder), mounts, roomBundle, web }
}

async function roomFiles(folder: string): Promise<string[]> {
  const rooms = join(folder, 'rooms')
  if (!existsSync(rooms)) return []
  const files = (await readdir(rooms)).filter((file) => /\.(ts|js|mjs)$/.test(file) && !file.endsWith('.d.ts')).sort()
  const texts = await Promise.all(files.map((file) => readFile(join(rooms, file), 'utf8')))
  return files.filter((_, index) => /\bexport\s+default\b|\bas\s+default\b/.test(texts[index])).map((file) => join(rooms, file))
}

async function bundleRooms(folder: string, rooms: readonly string[], outfile: string): Promise<void> {
  const entry = [
    ...rooms.map((file, index) => `import room${index} from ${JSON.stringify(file)}`),
    `export const rooms = [${rooms.map((_, index) => `room${index}`).join(', ')}]`,
  ].join('\n')
  await run(folder, {
    stdin: { contents: entry, resolveDir: folder, loader: 'js' }, outfile, platform: 'node', target: 'node20', sourcemap: 'inline', plugins: [enginePlugin(true)],
    banner: { js: "import { createRequire as kasagiRequire } from 'node:module'; const require = kasagiRequire(import.meta.url);" },
  })
}

type BuildSettings = Parameters<typeof build>[0]

async function run(folder: string, settings: BuildSettings): Promise<Uint8Array[]> {
  try {
    const { outputFiles } = await build({ bundle: true, format: 'esm', logLevel: 'silent', ...settings })
    return outputFiles?.map(({ contents }) => contents) ?? []
  } catch (error) {
    const [first] = (error as BuildFailure).errors ?? []
    if (first === undefined) throw error
    const place = first.location === null ? '' : `${relative(process.cwd(), resolve(first.location.file))}:${first.location.line}: `
    throw new KasagiError('bad-room-module', `${place}${first.text} (in ${relative(process.cwd(), folder) || '.'})`)
  }
}

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.json': 'application/json',
  '.svg': 'image/svg+xml', '.png': 'image/png', '.jpg': 'image/jpeg', '.ico': 'image/x-icon', '.txt': 'text/plain; charset=utf-8', '.wasm': 'application/wasm',
}

/** Everything in `web/` as it is, but for TypeScript, of which `main.ts` becomes `main.js`. */
async function bundleWeb(folder: string): Promise<Map<string, { type: string; body: Uint8Array }>> {
  const web = join(folder, 'web'), files = new Map<string, { type: string; body: Uint8Array }>()
  if (!existsSync(web)) return files
  for (const name of await readdir(web, { recursive: true })) {
    const path = join(web, name)
    if (name.endsWith('.ts') || !(await lstat(path)).isFile()) continue
    files.set(name.split('\\').join('/'), { type: types[extname(path)] ?? 'application/octet-stream', body: new Uint8Array(await readFile(path)) })
  }
  const main = ['main.ts', 'main.js'].map((file) => join(web, file)).find(existsSync)
  if (main === undefined) return files
  const [body] = await run(folder, { entryPoints: [main], write: false, platform: 'browser', target: 'es2022', minify: true, external: ['ws'], plugins: [enginePlugin(false)] })
  return files.set('main.js', { type: types['.js'], body })
}

async function titleOf(folder: string): Promise<string> {
  const readme = join(folder, 'README.md')
  if (!existsSync(readme)) return ''
  return (await readFile(readme, 'utf8')).split('\n')[0].replace(/^#\s*/, '')
}

/** Writes nothing, reads nothing: answers from the maps. */
export function serveProjects(projects: readonly Project[]): (request: HttpRequest) => HttpAnswer | undefined {
  return ({ path }) => {
    for (const { name, mounts, web } of [...projects].reverse()) {
      for (const mount of mounts) {
        if (`${path}/` === mount) return { status: 302, type: 'text/plain', body: '', headers: { Location: mount } }
        const file = path.startsWith(mount) ? web.get(path.slice(mount.length) || 'index.html') : undefined
        if (file !== undefined) return { status: 200, ...file }
        if (path === mount) return { status: 404, type: types['.txt'], body: `${name} runs, but has no page: web/index.html is missing\n` }
      }
    }
    return undefined
  }
}
