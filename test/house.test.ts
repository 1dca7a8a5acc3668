/** The house's rules, held against the imports as they are: which room may know which, and one door per dependency. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, it } from 'vitest'

const files = ['src', 'workers'].flatMap((folder) => readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file)))
  .filter((file) => file.endsWith('.ts') && !file.includes('workers/kernels'))
const importsOf = (file: string): string[] => [...readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?'([^']+)'/g)].map(([, target]) => target)
const imports = files.flatMap((file) => importsOf(file).map((target) => ({
  file, target: target.startsWith('.') ? normalize(join(dirname(file), target)).replace(/\.js$/, '.ts') : target,
})))

const roomOf = (file: string): string => file.startsWith('src/') ? (file.split('/').length > 2 ? file.split('/')[1] : file) : file.split('/')[0]

/** Who may import whom, from the ground up. */
const allowed: Record<string, readonly string[]> = {
  base: [],
  schema: ['base'],
  memory: ['base', 'schema'],
  wire: ['base', 'schema'],
  room: ['base', 'schema'],
  client: ['base', 'schema', 'wire'],
  backplane: ['base'],
  server: ['base', 'schema', 'memory', 'wire', 'backplane'],
  workers: ['base', 'schema', 'memory', 'wire', 'room', 'client'],
}
const doors: Record<string, readonly string[]> = {
  'uWebSockets.js': ['src/server/uws.ts'], piscina: ['src/server/pool.ts'], 'prom-client': ['src/server/metrics.ts'], pino: ['src/server/logging.ts'],
  jose: ['src/server/auth.ts'], lmdb: ['src/backplane/store-file.ts'], ioredis: ['src/backplane/redis-connection.ts'], esbuild: ['src/server/projects.ts'], ws: ['src/client/web-socket.ts', 'src/server/ws.ts'],
  msgpackr: ['src/wire/record-map.ts'], flatbuffers: ['src/wire/client-messages.ts', 'src/wire/peer-messages.ts', 'src/wire/server-messages.ts'],
}

describe('the house', () => {
  it('house: imports go one way', () => {
    const wrong = imports.filter(({ file, target }) => {
      const from = roomOf(file), to = roomOf(target)
      return allowed[from] !== undefined && target.includes('/') && (target.startsWith('src/') || target.startsWith('workers/')) && to !== from && !allowed[from].includes(to)
    })
    expect(wrong).toEqual([])
  })

  it('house: no import goes in a circle', () => {
    const next = new Map<string, string[]>()
    // Types vanish when compiled; only what is there at run time can go in a circle.
    for (const file of files) {
      const values = [...readFileSync(file, 'utf8').matchAll(/^(?:import|export) (?!type\b)[^']*?from '(\.[^']+)'/gm)].map(([, target]) => normalize(join(dirname(file), target)).replace(/\.js$/, '.ts'))
      next.set(file, values)
    }
    const done = new Set<string>()
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) throw new Error(`a circle: ${[...path.slice(path.indexOf(file)), file].join(' -> ')}`)
      if (done.has(file)) return
      for (const target of next.get(file) ?? []) visit(target, [...path, file])
      done.add(file)
    }
    for (const file of files) visit(file, [])
  })

  it('house: each dependency has one door', () => {
    for (const [name, door] of Object.entries(doors)) {
      expect(imports.filter(({ target }) => target === name).map(({ file }) => file).filter((file) => !door.includes(file)), name).toEqual([])
    }
  })

  it('house: only memory uses Atomics, only wire reads generated code, only base tells the time', () => {
    const using = (pattern: RegExp, room: string): string[] => files.filter((file) => roomOf(file) !== room && pattern.test(readFileSync(file, 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')))
    expect(using(/\bAtomics\./, 'memory')).toEqual([])
    expect(imports.filter(({ file, target }) => target.includes('schema/generated') && roomOf(file) !== 'wire')).toEqual([])
    expect(using(/\bDate\.now\(|performance\.now\(|Math\.random\(/, 'base')).toEqual([])
  })
})
