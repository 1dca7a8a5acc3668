/**
 * Things that go there and back, one message at a time, and cold: an input of an event-driven room until another client sees its effect, and a round trip
 * main-worker-main. Clients and clock are this process's.
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { connect, type ClientRoom } from 'kasagi-engine/client'
import type { ServeProcess } from '../test/support/process.js'
import { until } from '../test/support/until.js'
import { ping } from './cluster/project/shared/shapes.js'
import { isSmoke, median } from './report.js'

const turnsPerWindow = isSmoke ? 10 : 30
/** Until V8 has compiled what a message runs through: before that, a room answers in thrice the time. */
const turnsToWarm = isSmoke ? 20 : 5000

/** Between two messages: long enough that every thread is asleep again, as in a room that people use. */
const pauseMs = 3

export type PingRoom = ClientRoom<typeof ping>
/** Something that goes there and back; resolves when it is back. */
export interface Contestant { readonly subject: string; turn(): Promise<void>; end(): Promise<unknown> }

const sleep = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms) })

export const enterPing = ({ url }: ServeProcess): Promise<PingRoom> => connect(url, { verify: true }).join(ping, { name: 'one' })

let lastPing = 0
/** No two are the same: whoever sees one knows whose effect it is. */
export const nextPing = (): number => ++lastPing

/** An input of one client until its effect is seen by another. */
export function inRoom(subject: string, from: PingRoom, to: PingRoom): Contestant {
  let wanted = -1, seen = (): void => {}
  to.onFlush(() => { if (to.globals.last === wanted) seen() })
  return {
    subject,
    turn: () => new Promise((resolve) => {
      wanted = nextPing()
      seen = resolve
      from.send('ping', { number: wanted })
    }),
    end: () => Promise.all([from.leave(), to.leave()]),
  }
}

/** To a thread that sleeps on a word of shared memory, and back by a message: two hops, as the engine makes them. */
export async function throughThread(): Promise<Contestant> {
  const word = new Int32Array(new SharedArrayBuffer(4)), worker = new Worker(new URL('hop.js', import.meta.url), { workerData: word })
  let back = (): void => {}
  worker.on('message', () => back())
  await once(worker, 'online')
  return {
    subject: 'main-worker-main',
    turn: () => new Promise((resolve) => {
      back = resolve
      Atomics.add(word, 0, 1)
      Atomics.notify(word, 0)
    }),
    end: () => worker.terminate(),
  }
}

/** Microseconds of each of some turns. */
async function measure({ turn }: Contestant): Promise<number[]> {
  const times: number[] = []
  for (let n = 0; n < turnsPerWindow; n++) {
    await sleep(pauseMs)
    const began = performance.now()
    await turn()
    times.push((performance.now() - began) * 1000)
  }
  return times
}

export async function warmUp(contestants: readonly Contestant[]): Promise<void> {
  for (const { turn } of contestants) for (let n = 0; n < turnsToWarm; n++) await turn()
}

/** One window: the median of each, in turn. */
export async function takeMedians(contestants: readonly Contestant[]): Promise<number[]> {
  const medians: number[] = []
  for (const contestant of contestants) medians.push(median(await measure(contestant)))
  return medians
}

/** All see what was sent last, at one position. */
export async function checkPings(id: string, rooms: readonly PingRoom[]): Promise<void> {
  await until(() => rooms.every(({ globals, position }) => globals.last === lastPing && position.seq === rooms[0].position.seq && position.epoch === rooms[0].position.epoch), `${id}: all instances show the last input`)
  if (rooms.some(({ stats }) => stats.hashMismatches > 0)) throw new Error(`${id}: an instance shows another state than its owner`)
}
