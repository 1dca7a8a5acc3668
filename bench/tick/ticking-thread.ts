/** A ticking worker as the bench's main thread has it: asked one question after the other, its bells answered as the engine's main thread does. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { atArmed } from '../../src/memory/arena-layout.js'
import { createViews, type Views } from '../../src/memory/views.js'
import type { Answer, Question, Ready, Setup } from './ticking-worker.js'

export interface Thread { ask(question: Question): Promise<Answer>; end(): Promise<unknown> }

/** Resolves when the worker's rooms have been proved. */
export async function startThread(setup: Setup): Promise<Thread> {
  const worker = new Worker(new URL('ticking-worker.js', import.meta.url), { workerData: setup })
  const failed = once(worker, 'error').then(([error]) => { throw error as Error })
  failed.catch(() => {})
  let heard: (message: Ready | Answer) => void, views: Views[] = []
  worker.on('message', (message: Ready | Answer | 'bell') => {
    if (message === 'bell') views.forEach(disarmDoorbell)
    else heard(message)
  })
  const hear = async <T extends Ready | Answer>(): Promise<T> => Promise.race([failed, new Promise<T>((resolve) => { heard = resolve as typeof heard })])
  views = (await hear<Ready>()).arenas.map(createViews)
  views.forEach(disarmDoorbell)
  return {
    ask: (question) => {
      worker.postMessage(question)
      return hear<Answer>()
    },
    end: () => worker.terminate(),
  }
}

/** As the engine's main thread does before it reads: from here on the next record rings again. */
const disarmDoorbell = ({ i32 }: Views): void => { Atomics.store(i32, atArmed >>> 2, 0) }
