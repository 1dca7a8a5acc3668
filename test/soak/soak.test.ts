/**
 * Rooms opened and abandoned, clients come and gone, in every way there is: what a server holds returns to where it began. LONG=1: ten minutes.
 *
 * What is a leak: rooms, connections, descriptors and arenas are the same to the last one. A heap may grow by `heapGrowthMax`, which is what compiled
 * code takes after the warm-up; an object per room is found by the short form, a number per room in a map (some 40 bytes) only by the long one.
 * Memory outside the heaps may grow by `residentGrowthMax`: from rest to rest, and from the first third of the load to the last.
 */
import { once } from 'node:events'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { expect, it } from 'vitest'
import { connect, type ClientRoom } from 'kasagi-engine/client'
import { seedPrng } from '../../src/base/prng.js'
import { until } from '../support/engine.js'
import { createServeProcess, type ServeProcess } from '../support/process.js'
import { createCrowd, files, lobby, visit, type Crowd } from './visitors.js'

const isLong = process.env.LONG !== undefined
const loadMs = isLong ? 600_000 : 22_000, warmMs = isLong ? 20_000 : 5000, warmRoundsMax = 6
const heapGrowthMax = 800_000, residentGrowthMax = 20_000_000
// The arenas' size is one that no other mapping of the process has.
const visitorsAtOnce = 32, workers = 2, arenaBytes = 509 * 1024 ** 2

/** What a server holds when nobody is there but the residents. */
interface Held {
  readonly rooms: number
  readonly connections: number
  readonly descriptors: number
  /** Free bytes of each worker's arena, and its largest stretch. */
  readonly arenas: readonly number[]
  /** In use by each thread once what nobody holds is gone; the main thread first. */
  readonly heaps: readonly number[]
  readonly resident: number
}

it('soak: rooms opened and abandoned by the thousand leave nothing behind', { timeout: loadMs * 2 + 300_000 }, async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000), random = new Uint32Array(4)
  seedPrng(random, seed)
  const server = await createServeProcess(files, ['--expose-gc', '--require', './test/soak/heap-probe.cjs'])
  const residents: ClientRoom<typeof lobby>[] = []
  try {
    await server.start('--workers', `${workers}`, '--arena-bytes', `${arenaBytes}`, '--connections-per-address', '0', '--rooms-per-address', '0', '--open', 'lobby:main', '--log-level', 'silent')
    for (const name of ['ann', 'bob']) residents.push(await connect(server.url, { verify: true }).join(lobby, { name: 'main', join: { name } }))
    const crowd = createCrowd(server.url, random), fresh = await rest(server, residents)
    const began = await warmUp(server, residents, crowd)
    const joinsBefore = crowd.joins, namesBefore = crowd.named, fileBefore = fileBytes(server), samples: number[] = []
    const ended = await loadAndRest(server, residents, crowd, loadMs, samples)
    const joins = crowd.joins - joinsBefore, names = crowd.named - namesBefore, text = await metricsOf(server), of = (name: string): number => sumOf(text, name)
    const bytesPerName = (fileBytes(server) - fileBefore) / names, storedBytes = of('kasagi_stored_bytes_total') / of('kasagi_stores_total')
    const [firstThird, lastThird] = [samples.slice(0, samples.length / 3), samples.slice(-samples.length / 3)].map(mean)
    console.log(`soak: SEED=${seed}, ${joins} joins (${Math.round(joins / loadMs * 1000)} a second), ${names} room names; heaps of main thread and workers in kB ${began.heaps.map(kB).join(', ')}, then ${ended.heaps.map(kB).join(', ')}; `
      + `resident at rest ${MB(began.resident)} MB, then ${MB(ended.resident)}; under load ${MB(firstThird)} MB, then ${MB(lastThird)}; ${Math.round(bytesPerName)} bytes of file a name, a snapshot ${Math.round(storedBytes)}; ends ${JSON.stringify(crowd.counts)}`)
    const same = ({ rooms, connections, descriptors, arenas }: Held): unknown => ({ rooms, connections, descriptors, arenas })
    expect(same(ended), `SEED=${seed}`).toEqual(same(fresh))
    for (const [thread, bytes] of ended.heaps.entries()) expect(bytes - began.heaps[thread], `SEED=${seed} heap of thread ${thread}`).toBeLessThan(heapGrowthMax)
    expect([ended.resident - began.resident < residentGrowthMax, lastThird - firstThird < residentGrowthMax], `SEED=${seed} resident memory`).toEqual([true, true])
    // Whoever was in the room that stays has seen every frame of it, and no thread has died.
    for (const { status, stats: { hashMismatches, reconnects, resyncs } } of residents) expect([status, hashMismatches, reconnects, resyncs], `SEED=${seed}`).toEqual(['live', 0, 0, 0])
    expect([of('kasagi_worker_deaths_total'), of('kasagi_store_failures_total')], `SEED=${seed}`).toEqual([0, 0])
    // A name costs its last snapshot, rounded up to a page, and a line that remembers its epoch.
    expect(bytesPerName, `SEED=${seed} bytes of file a name`).toBeLessThan(storedBytes + 4096 + 500)
    expect([joins > 2000, names > 1000], `SEED=${seed} ${joins} joins, ${names} names`).toEqual([true, true])
  } finally {
    await Promise.all(residents.map((room) => room.leave()))
    await server.end()
  }
})

const MB = (bytes: number): string => (bytes / 1e6).toFixed(1)
const kB = (bytes: number): string => (bytes / 1000).toFixed(0)
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** Code is compiled, buffers have grown, whatever is bounded is full: then what a server holds at rest no longer changes. */
async function warmUp(server: ServeProcess, residents: readonly ClientRoom<typeof lobby>[], crowd: Crowd): Promise<Held> {
  let held = await loadAndRest(server, residents, crowd, warmMs)
  for (let round = 1; round < warmRoundsMax; round++) {
    const before = held
    held = await loadAndRest(server, residents, crowd, warmMs)
    if (held.heaps.every((bytes, n) => Math.abs(bytes - before.heaps[n]) < heapGrowthMax / 4)) break
  }
  return held
}

/** Visitors for `ms`, then nobody; gives what is held when all has come to rest. `samples`: takes resident bytes under load. */
async function loadAndRest(server: ServeProcess, residents: readonly ClientRoom<typeof lobby>[], crowd: Crowd, ms: number, samples: number[] = []): Promise<Held> {
  const end = performance.now() + ms
  const visitor = async (): Promise<void> => { while (performance.now() < end) await visit(crowd) }
  const sampling = setInterval(() => samples.push(residentBytes(server)), 500)
  const telling = isLong ? setInterval(() => console.log(`soak: ${Math.round((end - performance.now()) / 1000)} s left; ${crowd.joins} joins, ${crowd.named} room names, ${MB(samples.at(-1)!)} MB resident`), 10_000) : undefined
  await Promise.all(Array.from({ length: visitorsAtOnce }, visitor)).finally(() => { clearInterval(sampling); clearInterval(telling) })
  return rest(server, residents)
}

/** Waits until only the residents are left, and looks. */
async function rest(server: ServeProcess, residents: readonly ClientRoom<typeof lobby>[]): Promise<Held> {
  let text = '', rooms = 0, connections = 0
  const isAtRest = async (): Promise<boolean> => {
    text = await metricsOf(server)
    rooms = sumOf(text, 'kasagi_rooms{')
    connections = valuesOf(text, 'kasagi_connections ')[0]
    // The main thread has forgotten a room as soon as it has told its worker to give the block back: that word is in the ring until it is done.
    const isHeard = text.split('\n').every((line) => !line.startsWith('kasagi_ring_used_bytes') || !line.includes('ring="input"') || line.endsWith(' 0'))
    return isHeard && rooms === 1 && connections === residents.length && residents[0].globals.here === residents.length
  }
  await until(isAtRest, () => `${rooms} rooms, ${connections} connections, ${residents[0].globals.here} sessions are left`, 30_000)
  text = await metricsOf(server)
  const arenas = [...valuesOf(text, 'kasagi_arena_free_bytes'), ...valuesOf(text, 'kasagi_arena_largest_free_bytes')]
  return { rooms, connections, descriptors: readdirSync(`/proc/${server.child.pid}/fd`).length, arenas, heaps: await heapsOf(server), resident: residentBytes(server) }
}

/** Over one connection, which is kept: it is one of the descriptors each time that they are counted. */
const metricsOf = async (server: ServeProcess): Promise<string> => (await fetch(`${server.http}/metrics`)).text()

/** The samples of a metric, in order. */
const valuesOf = (text: string, name: string): number[] => text.split('\n').filter((line) => line.startsWith(name)).map((line) => Number(line.slice(line.lastIndexOf(' ') + 1)))

const sumOf = (text: string, name: string): number => valuesOf(text, name).reduce((sum, value) => sum + value, 0)

const fileBytes = (server: ServeProcess): number => statSync(`${server.folder}/data/rooms`).size

async function heapsOf(server: ServeProcess): Promise<number[]> {
  server.child.send(workers + 1)
  const [heaps] = await once(server.child, 'message') as [{ thread: number; heapUsed: number; external: number }[]]
  return heaps.sort((a, b) => a.thread - b.thread).map(({ heapUsed, external }) => heapUsed + external)
}

/** Resident memory, but for the arenas, whose touched pages stay by design, and for pages of the store's file, which the system takes back as it likes. */
function residentBytes({ child: { pid }, folder }: ServeProcess): number {
  let sum = 0, arenas = 0, isCounted = true
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    const [, name, kB] = /^(Size|Rss): +(\d+) kB/.exec(line) ?? []
    if (/^[0-9a-f]+-/.test(line)) isCounted = !line.includes(folder)
    else if (name === 'Size' && Number(kB) * 1024 === arenaBytes) { isCounted = false; arenas++ }
    else if (name === 'Rss' && isCounted) sum += Number(kB) * 1024
  }
  expect(arenas).toBe(workers)
  return sum
}
