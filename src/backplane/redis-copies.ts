/**
 * Copies of Redis that must have a logged record before it counts (`opsReplicas`). Main thread. A record is told to followers when the copies have it, so
 * that nobody has seen what a failover forgets; while copies are missing, nothing more is told, and the room's owner waits.
 */
import { KasagiError } from '../base/errors.js'
import type { RedisConnection } from './redis-connection.js'
import { textOf } from './redis-replies.js'

export interface Copies {
  readonly commands: RedisConnection
  readonly wanted: number
  /** One WAIT: shorter than a connection may be silent. */
  readonly waitMs: number
  /** The end of the last telling about each room. */
  readonly told: Map<string, Promise<void>>
  /** A WAIT speaks for all that was written before it: one is under way, the next one is for whoever came since. */
  running: Promise<void> | undefined
  next: Promise<void> | undefined
  isClosing: boolean
}

export const createCopies = (commands: RedisConnection, wanted: number, leaseMs: number): Copies =>
  ({ commands, wanted, waitMs: Math.ceil(leaseMs / 10), told: new Map(), running: undefined, next: undefined, isClosing: false })

/** Logs, waits for copies, then tells, in order of the calls about a room. */
export function publishCopied(copies: Copies, roomId: string, log: (() => Promise<void>) | undefined, tell: () => Promise<void>): Promise<void> {
  const before = copies.told.get(roomId)
  const telling = (async () => {
    if (log !== undefined) {
      try {
        await log()
      } catch (error) {
        // What the log has already may be waiting for copies still.
        if (error instanceof KasagiError && error.code === 'log-older') await copied(copies)
        throw error
      }
      await copied(copies)
    }
    await before
    await tell()
  })()
  const end = telling.then(() => {}, () => {})
  copies.told.set(roomId, end)
  void end.then(() => { if (copies.told.get(roomId) === end) copies.told.delete(roomId) })
  return telling
}

function copied(copies: Copies): Promise<void> {
  if (copies.running === undefined) {
    const running = waitForCopies(copies).finally(() => { copies.running = undefined })
    return copies.running = running
  }
  return copies.next ??= copies.running.catch(() => {}).then(() => {
    copies.next = undefined
    return copied(copies)
  })
}

async function waitForCopies(copies: Copies): Promise<void> {
  const { commands, wanted, waitMs } = copies
  while (Number(textOf(await commands.command('WAIT', String(wanted), String(waitMs)))) < wanted) {
    if (copies.isClosing) throw new KasagiError('store-lost', `${wanted} copies have not confirmed what was logged`)
  }
}
