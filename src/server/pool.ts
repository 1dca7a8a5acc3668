/**
 * The worker threads: the only door to piscina. Main thread. One arena and one never-ending task per worker; when a thread dies, its task is
 * given to a new one on the same arena, but only after the old thread's `exit`: two threads never write one arena.
 */
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MessageChannel } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { monotonicMs } from '../base/clock.js'
import type { Arena } from '../memory/arena.js'
import type { WorkerMessage, WorkerStart } from '../memory/crossing.js'

export interface PoolOptions {
  readonly arenas: readonly Arena[]
  readonly roomBundles: readonly string[]
  readonly fault: string | undefined
  onMessage(worker: number, message: WorkerMessage): void
  /** A room module cannot be used: one line. */
  onBroken(text: string): void
  /** A thread is gone; its successor starts at once. */
  onDeath(worker: number, reason: string): void
  /** A worker died too often: nobody runs its rooms any more. */
  onGivenUp(worker: number): void
}

export interface Pool {
  /** Resolves when every task has ended; the caller has told them to stop. */
  closed(): Promise<void>
}

/** A worker that dies this often within this time would die for ever. */
const deathsMax = 10, deathsWithinMs = 10_000

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
    resourceLimits: { maxOldGenerationSizeMb: 512 },
  })
  // An error of a thread outside its task is told by the task's rejection; without a listener it would end the process.
  pool.on('error', () => {})
  let stopping = false
  const tasks = options.arenas.map((arena, worker) => supervise(pool, arena, worker, options, () => stopping))
  return {
    closed: async () => {
      stopping = true
      await Promise.all(tasks)
      await pool.destroy()
    },
  }
}

/** Runs one worker's task, and its successors', until it ends by itself. */
async function supervise(pool: Piscina, arena: Arena, worker: number, options: PoolOptions, isStopping: () => boolean): Promise<void> {
  let deaths: number[] = []
  for (;;) {
    const reason = await runTask(pool, arena, worker, options)
    if (reason === undefined || isStopping()) return
    options.onDeath(worker, reason)
    const now = monotonicMs()
    deaths = [...deaths.filter((at) => now - at < deathsWithinMs), now]
    if (deaths.length >= deathsMax) return options.onGivenUp(worker)
  }
}

/** One life of a worker; resolves with why it ended, after its thread has exited, or undefined if it was told to stop. */
async function runTask(pool: Piscina, arena: Arena, worker: number, options: PoolOptions): Promise<string | undefined> {
  const { port1, port2 } = new MessageChannel()
  const start: WorkerStart = { memory: arena.memory, roomBundles: options.roomBundles, port: port2 as unknown as MessagePort, fault: options.fault }
  let exited: Promise<unknown> = Promise.resolve()
  port1.on('message', (message: WorkerMessage) => {
    if (message.kind !== 'started') return options.onMessage(worker, message)
    // The thread touches the arena only after this answer, so no life of a worker goes unwatched.
    const thread = pool.threads.find(({ threadId }) => threadId === message.threadId)
    if (thread !== undefined) exited = once(thread, 'exit')
    port1.postMessage('go')
  })
  try {
    const broken = await pool.run(start, { transferList: [port2] }) as string | undefined
    if (broken !== undefined) options.onBroken(broken)
    return undefined
  } catch (error) {
    await exited
    return error instanceof Error ? error.message : String(error)
  } finally {
    port1.close()
  }
}
