/**
 * The embedded store's log: records of rooms in order, in batches. Main thread. Owns which records are on their way to the disk; one batch is under way
 * at a time, so that a record is never in the log without those before it.
 */
import { KasagiError } from '../base/errors.js'
import { logPageRecords } from '../base/limits.js'
import { isBehind, type LoggedRecord, type Position } from './backplane.js'
import { written, type LogKey, type StoreFile } from './store-file.js'
import { readLogged, writeLogged } from './stored-value.js'

/** A record on its way; `before`: where the log ended. */
interface Append {
  readonly key: LogKey
  readonly value: Buffer
  readonly before: Position | undefined
  readonly done: () => void
  readonly failed: (error: unknown) => void
}

export interface EmbeddedLog {
  readonly path: string
  readonly ops: StoreFile['ops']
  /** Where each room's log ends, for rooms that have logged or stored something since the start. */
  readonly ends: Map<string, Position>
  appends: Append[]
  isWriting: boolean
}

export const createEmbeddedLog = ({ path, ops }: StoreFile): EmbeddedLog => ({ path, ops, ends: new Map(), appends: [], isWriting: false })

/** Throws at once if the record is not the next one. */
export function appendRecord(log: EmbeddedLog, roomId: string, logged: LoggedRecord): Promise<void> {
  const { epoch, seq } = logged, end = endOf(log, roomId)
  const problem = (code: string): KasagiError => new KasagiError(code, `the log of ${roomId} ends with ${end!.epoch}-${end!.seq}; ${epoch}-${seq} is not the next`)
  if (end !== undefined && !isBehind(end, logged)) throw problem('log-older')
  if (end?.epoch === epoch && seq > end.seq + 1) throw problem('log-gap')
  log.ends.set(roomId, { epoch, seq })
  return new Promise((done, failed) => {
    log.appends.push({ key: [roomId, epoch, seq], value: Buffer.from(writeLogged(logged)), before: end, done, failed })
    if (!log.isWriting) void writeAppends(log)
  })
}

const endOf = (log: EmbeddedLog, roomId: string): Position | undefined => log.ends.get(roomId) ?? lastLogged(log, roomId)

/** The last record that is on the disk. */
export function lastLogged({ ops }: EmbeddedLog, roomId: string): Position | undefined {
  for (const [, epoch, seq] of ops.getKeys({ start: [roomId, Number.MAX_VALUE, 0], end: [roomId, 0, 0], reverse: true, limit: 1 })) return { epoch, seq }
  return undefined
}

async function writeAppends(log: EmbeddedLog): Promise<void> {
  log.isWriting = true
  while (log.appends.length > 0) {
    const batch = log.appends
    log.appends = []
    try {
      await written(log, log.ops.batch(() => { for (const { key, value } of batch) void log.ops.put(key, value) }))
      for (const { done } of batch) done()
    } catch (error) {
      // What follows them must not be in the log without them: it ends where it did before the first.
      const all = [...batch, ...log.appends]
      log.appends = []
      for (const { key: [roomId], before } of [...all].reverse()) {
        if (before === undefined) log.ends.delete(roomId)
        else log.ends.set(roomId, before)
      }
      for (const { failed } of all) failed(error)
    }
  }
  log.isWriting = false
}

/** The first records behind a position, at most {@link logPageRecords}. Throws KasagiError `data-bad`. */
export const readRecords = ({ ops }: EmbeddedLog, roomId: string, { epoch, seq }: Position): LoggedRecord[] =>
  [...ops.getRange({ start: [roomId, epoch, seq + 1], end: [roomId, Number.MAX_VALUE, 0], limit: logPageRecords })].map(({ key, value }) => {
    const logged = readLogged(value as unknown as Uint8Array)
    const [, keyEpoch, keySeq] = key
    if (logged?.epoch === keyEpoch && logged.seq === keySeq) return logged
    throw new KasagiError('data-bad', `the log of ${roomId} is damaged at ${keyEpoch}-${keySeq}; nothing was changed`)
  })

/** Inside a batch: removes what lies before a position. */
export function cutLog({ ops }: EmbeddedLog, roomId: string, { epoch, seq }: Position): void {
  for (const key of ops.getKeys({ start: [roomId, 0, 0], end: [roomId, epoch, seq] })) void ops.remove(key)
}

/** The log of the owner that has stored a snapshot goes on behind it, if it does not reach further. */
export function continueLog(log: EmbeddedLog, roomId: string, { epoch, seq }: Position): void {
  const end = endOf(log, roomId)
  if (end === undefined || isBehind(end, { epoch, seq })) log.ends.set(roomId, { epoch, seq })
}

/** Inside a batch. */
export function removeLog(log: EmbeddedLog, roomId: string): void {
  cutLog(log, roomId, { epoch: Number.MAX_VALUE, seq: 0 })
  log.ends.delete(roomId)
}
