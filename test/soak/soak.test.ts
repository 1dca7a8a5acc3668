/** Rooms opened and abandoned, clients come and gone, in every way there is: what a server holds returns to where it began. LONG=1: ten minutes. */
import { once } from 'node:events'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { it } from 'vitest'
import { connect, type ClientRoom } from 'kasagi-engine/client'
import { seedPrng } from '../../src/base/prng.js'
import { until } from '../support/engine.js'
import { ask } from '../support/http.js'
import { createServeProcess, type ServeProcess } from '../support/process.js'
import { createCrowd, files, lobby, visit, type Crowd } from './visitors.js'

const isLong = process.env.LONG !== undefined
const loadMs = isLong ? 600_000 : 36_000, warmMs = isLong ? 20_000 : 5000
const visitorsAtOnce = 32, workers = 2, arenaBytes = 512 * 1024 ** 2

interface Heap { readonly thread: number; readonly heapUsed: number; readonly external: number; readonly arrayBuffers: number }

/** What a server holds when nobody is there but the residents. */
interface Held {
  readonly rooms: number; readonly connections: number; readonly descriptors: number
  /** Free bytes of each worker's arena, and its largest stretch. */
  readonly arena: readonly number[]
  /** In use by each thread once what nobody holds is gone: the main thread first. */
  readonly heaps: readonly number[]
}

const MB = (bytes: number): string => (bytes / 1e6).toFixed(2)

it('soak: rooms opened and abandoned by the thousand leave nothing behind', { timeout: loadMs * 2 + 300_000 }, async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000), random = new Uint32Array(4)
  seedPrng(random, seed)
  const server = await createServeProcess(files, ['--expose-gc', '--require', './test/soak/heap-probe.cjs'])
  try {
    await server.start('--workers', String(workers), '--arena-bytes', String(arenaBytes), '--connections-per-address', '0', '--rooms-per-address', '0', '--open', 'lobby:main', '--log-level', 'error')
    const residents = await Promise.all(['ann', 'bob'].map((name) => connect(server.url, { verify: true }).join(lobby, { name: 'main', join: { name } })))
    for (const r of residents) r.onStatus((t, c) => console.log('STATUS', t, c))
    const crowd = createCrowd(server.url, random)
    // Code is compiled, buffers have grown, whatever is bounded is full: then what a quiet server holds no longer changes.
    let began = await loadAndRest(server, residents, crowd, warmMs)
    for (let rounds = 1; rounds < 6; rounds++) {
      const before = began
      began = await loadAndRest(server, residents, crowd, warmMs)
      if (began.heaps.every((bytes, n) => Math.abs(bytes - before.heaps[n]) < 150_000)) break
    }
    const first = { joins: crowd.joins, names: crowd.named, file: fileBytes(server) }, rss: number[] = []
    const ended = await loadAndRest(server, residents, crowd, loadMs, rss)
    const joins = crowd.joins - first.joins, names = crowd.named - first.names
    console.log(JSON.stringify({ seed, joins, names, began, ended, rss: [rss[0], Math.max(...rss), rss.at(-1)].map((bytes) => MB(bytes ?? 0)), perJoin: ended.heaps.map((bytes, n) => (bytes - began.heaps[n]) / joins), file: (fileBytes(server) - first.file) / names, counts: crowd.counts, metrics: (await metricsOf(server)).split('\n').filter((line) => /^kasagi_(flushes|worker|records|ticks|inputs|messages|handler|resync|store)/.test(line)) }, null, 1))
  } catch (e) { console.log(server.output.split('\n').filter((l) => !/on purpose|does not open/.test(l)).slice(-40).join('\n')); throw e } finally {
    await server.end()
  }
})

const metricsOf = async (server: ServeProcess): Promise<string> => (await ask({ port: Number(new URL(server.http).port), isTls: false, path: '/metrics' })).body

/** The samples of a metric, in order. */
const valuesOf = (text: string, name: string): number[] => text.split('\n').filter((line) => line.startsWith(name)).map((line) => Number(line.slice(line.lastIndexOf(' ') + 1)))

const fileBytes = (server: ServeProcess): number => statSync(`${server.folder}/data/rooms`).size
const descriptorsOf = (server: ServeProcess): number => readdirSync(`/proc/${server.child.pid}/fd`).length

/** Resident memory but for the arenas, whose touched pages stay by design. */
function residentBytes({ child: { pid } }: ServeProcess): number {
  let sum = 0, size = 0
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    const [, name, kB] = /^(Size|Rss): +(\d+) kB/.exec(line) ?? []
    if (name === 'Size') size = Number(kB) * 1024
    if (name === 'Rss' && size !== arenaBytes) sum += Number(kB) * 1024
  }
  return sum
}

async function heapsOf(server: ServeProcess): Promise<Heap[]> {
  server.child.send(workers + 1)
  const [heaps] = await once(server.child, 'message') as [Heap[]]
  return heaps.sort((a, b) => a.thread - b.thread)
}

/** Visitors for `ms`, then nobody; gives what is held when all has come to rest. `rss`: takes samples. */
async function loadAndRest(server: ServeProcess, residents: readonly ClientRoom<typeof lobby>[], crowd: Crowd, ms: number, rss: number[] = []): Promise<Held> {
  const end = performance.now() + ms
  const visitor = async (): Promise<void> => { while (performance.now() < end) await visit(crowd) }
  const sampling = setInterval(() => rss.push(residentBytes(server)), 500)
  const telling = isLong ? setInterval(() => console.log(`${Math.round((end - performance.now()) / 1000)} s left: ${crowd.joins} joins, ${crowd.named} names, ${MB(rss.at(-1) ?? 0)} MB`), 10_000) : undefined
  await Promise.all(Array.from({ length: visitorsAtOnce }, visitor))
  clearInterval(sampling)
  clearInterval(telling)
  let rooms = 0, connections = 0
  const look = async (): Promise<string> => {
    const text = await metricsOf(server)
    rooms = valuesOf(text, 'kasagi_rooms ')[0]
    connections = valuesOf(text, 'kasagi_connections ')[0]
    return text
  }
  await until(async () => { await look(); return rooms === 1 && connections === residents.length && residents[0].globals.here === residents.length }, () => `${rooms} rooms, ${connections} connections, ${residents[0].globals.here} sessions are left`, 30_000)
  const text = await look()
  return {
    rooms, connections, descriptors: descriptorsOf(server), arena: [...valuesOf(text, 'kasagi_arena_free_bytes'), ...valuesOf(text, 'kasagi_arena_largest_free_bytes')],
    heaps: (await heapsOf(server)).map(({ heapUsed, external }) => heapUsed + external),
  }
}
