/** A process of a bench's own: load, or somebody who listens. It says `ready`, answers one question after the other, and ends with its channel. */
import { fork, type ForkOptions } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export interface Child {
  readonly pid: number
  /** Rejects if it has ended. */
  ask<T>(question: unknown): Promise<T>
  end(): Promise<unknown>
}

/** `options`: another Node to run it, say. */
export async function startChild(script: URL, args: readonly string[], options: ForkOptions = {}): Promise<Child> {
  const child = fork(fileURLToPath(script), args, options), exited = once(child, 'exit')
  const ended = exited.then(([code]) => { throw new Error(`${script.pathname} has ended with ${String(code)}`) })
  ended.catch(() => {})
  const hear = async <T>(): Promise<T> => (await Promise.race([once(child, 'message'), ended]) as [T])[0]
  await hear()
  return {
    pid: child.pid!,
    ask: async <T>(question: unknown) => {
      child.send(question as string)
      return hear<T>()
    },
    end: async () => {
      if (child.connected) child.disconnect()
      await exited
    },
  }
}
