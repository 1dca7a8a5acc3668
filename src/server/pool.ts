/**
 * The worker threads: the only door to piscina. Main thread. One arena and one never-ending task per worker; when a thread dies, its task is
 * given to a new one on the same arena, but only after the old thread's `exit`: two threads never write one arena.
 */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { MessageChannel, receiveMessageOnPort, type MessagePort as NodePort } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { monotonicMs } from '../base/clock.js'
import { whatAndWhere } from '../base/errors.js'
import { readMark, type Arena } from '../memory/arena.js'
import { atTurns } from '../memory/arena-layout.js'
import type { MainMessage, WorkerMessage, WorkerStart } from '../memory/crossing.js'
import type { deathKinds } from './metrics.js'

export interface Death {
  readonly kind: (typeof deathKinds)[number]
  readonly text: string
  /** It ended before it had touched its arena: nobody's handler was running, whatever the mark says of the thread before. */
  readonly isEarly: boolean
}

export interface PoolOptions {
  readonly arenas: readonly Arena[]
  readonly roomBundles: readonly string[]
  readonly instance: number
  readonly fault: string | undefined
  readonly verifies: boolean
  /** A thread whose loop has not turned for so long is ended. */
  readonly stallMs: number
  onMessage(worker: number, message: WorkerMessage): void
  /** A room module cannot be used: one line. */
  onBroken(text: string): void
  /** A thread is gone; its successor starts when this returns. */
  onDeath(worker: number, death: Death): void
  /** A worker's threads die before they run anything, or too often while the process stops: nobody runs its rooms any more. */
  onGivenUp(worker: number): void
}

export interface Pool {
  /** Says something over the port of a worker's newest thread; lost if that dies before it hears it. */
  post(worker: number, message: MainMessage): void
  /** Resolves when every task has ended; the caller has told them to stop. */
  closed(): Promise<void>
}

/** Threads in a row that died before their first turn was over, with no author's code to blame: the next would too. */
const vainMax = 5
/** Beyond so many deaths within a minute every successor starts later than the one before: whoever ends a thread again and again takes time from its rooms, never the rooms. */
const deathsAtOnce = 100, deathsWithinMs = 60_000, delayMs = 100, delayMsMax = 2000
/** Successors while the process stops: a poisoned handler takes two, and the third stores what the others could not. */
const deathsMaxAtStop = 3
const heapMegabytes = 512

/** The built entry, also when this file runs from its sources. */
function entryFile(): string {
  const here = dirname(fileURLToPath(import.meta.url))
  const built = join(here, '../../workers/entry.js')
  return existsSync(built) ? built : join(here, '../../dist/workers/entry.js')
}

export function createPool(options: PoolOptions): Pool {
  const count = options.arenas.length
  const pool = new Piscina({
    filename: entryFile(), minThreads: count, maxThreads: count, idleTimeout: Infinity, concurrentTasksPerWorker: 1, atomics: 'disabled',
    resourceLimits: { maxOldGenerationSizeMb: heapMegabytes },
  })
  // An error of a thread outside its task is told by the task's rejection; without a listener it would end the process.
  pool.on('error', () => {})
  let stopping = false
  const ports: MessagePort[] = []
  const tasks = options.arenas.map((arena, worker) => supervise({ pool, options, ports, isStopping: () => stopping }, arena, worker))
  return {
    post: (worker, message) => ports[worker]?.postMessage(message),
    closed: async () => {
      stopping = true
      await Promise.all(tasks)
      await pool.destroy()
    },
  }
}

/** What the lives of all workers share. `ports`: of each worker's newest thread. */
interface Threads { readonly pool: Piscina; readonly options: PoolOptions; readonly ports: MessagePort[]; isStopping(): boolean }

/** Runs one worker's task, and its successors', until it ends by itself. */
async function supervise(threads: Threads, arena: Arena, worker: number): Promise<void> {
  const { options, isStopping } = threads
  let deaths: number[] = [], vain = 0, deathsAtStop = 0, ranOutOfHeap = false
  for (;;) {
    const turns = turnsOf(arena)
    const death = await runTask(threads, arena, worker, ranOutOfHeap)
    if (death === undefined) return
    // A thread that ended before it could read the mark leaves the death before it to be charged.
    ranOutOfHeap = death.kind === 'heap' || (death.isEarly && ranOutOfHeap)
    vain = death.isEarly || (turnsOf(arena) === turns && readMark(arena).handler === 0) ? vain + 1 : 0
    options.onDeath(worker, death)
    const now = monotonicMs()
    deaths = [...deaths.filter((at) => now - at < deathsWithinMs), now]
    if (isStopping()) deathsAtStop++
    if (vain >= vainMax || deathsAtStop >= deathsMaxAtStop) return options.onGivenUp(worker)
    if (deaths.length > deathsAtOnce && !isStopping()) await sleep(Math.min(delayMsMax, (deaths.length - deathsAtOnce) * delayMs))
  }
}

/** One life of a worker; resolves with why it ended, after its thread has exited, or undefined if it was told to stop. */
async function runTask({ pool, options, ports }: Threads, arena: Arena, worker: number, ranOutOfHeap: boolean): Promise<Death | undefined> {
  const { port1, port2 } = new MessageChannel()
  const start: WorkerStart = { memory: arena.memory, roomBundles: options.roomBundles, instance: options.instance, port: port2 as unknown as MessagePort, ranOutOfHeap, fault: options.fault, verifies: options.verifies }
  ports[worker] = port1 as unknown as MessagePort
  let exited: Promise<unknown> = Promise.resolve()
  const stalled = new AbortController()
  let watch: ReturnType<typeof setInterval> | undefined, isEarly = true
  const hear = (message: WorkerMessage): void => {
    if (message.kind !== 'started') return options.onMessage(worker, message)
    // The thread touches the arena only after this answer, so no life of a worker goes unwatched.
    const thread = pool.threads.find(({ threadId }) => threadId === message.threadId)
    // Not events.once: that rejects at the thread's `error`, which comes before its exit.
    if (thread !== undefined) exited = new Promise((resolve) => { thread.once('exit', resolve) })
    watch = watchTurns(arena, options.stallMs, () => stalled.abort())
    isEarly = false
    port1.postMessage('go' satisfies MainMessage)
  }
  port1.on('message', hear)
  try {
    const broken = await pool.run(start, { transferList: [port2], signal: stalled.signal }) as string | undefined
    if (broken !== undefined) options.onBroken(broken)
    return undefined
  } catch (error) {
    await exited
    return { isEarly, ...(stalled.signal.aborted ? { kind: 'stalled', text: `no turn for ${options.stallMs} ms` } : deathOf(error)) }
  } finally {
    clearInterval(watch)
    // Its end is told over a port of the pool's, and may overtake what it said last.
    for (const last of unheard(port1)) if (last.kind !== 'started') hear(last)
    port1.close()
  }
}

function* unheard(port: NodePort): Generator<WorkerMessage> {
  for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) yield next.message as WorkerMessage
}

const turnsOf = ({ u32 }: Arena): number => u32[atTurns >>> 2]
const looksPerStall = 10

/** Calls `onStalled` when the loop's counter has stood still for `stallMs`: by looks, not by the clock, so that a process which was itself held up ends nobody. */
function watchTurns(arena: Arena, stallMs: number, onStalled: () => void): ReturnType<typeof setInterval> {
  let seen = -1, still = 0
  return setInterval(() => {
    const turns = turnsOf(arena)
    still = turns === seen ? still + 1 : 0
    seen = turns
    if (still === looksPerStall) onStalled()
  }, stallMs / looksPerStall)
}

function deathOf(error: unknown): Omit<Death, 'isEarly'> {
  const text = error instanceof Error ? error.message : String(error)
  if ((error as { code?: string }).code === 'ERR_WORKER_OUT_OF_MEMORY') return { kind: 'heap', text: `its heap of ${heapMegabytes} MB is full` }
  return /exit code|exited/.test(text) ? { kind: 'exit', text } : { kind: 'error', text: whatAndWhere(error) }
}
