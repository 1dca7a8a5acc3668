/** What Redis answers, read with suspicion: anybody may write its keys. Main thread. Throws KasagiError, and changes nothing. */
import { KasagiError } from '../base/errors.js'
import { directoryRoomsMax, storedBytesMax } from '../base/limits.js'
import { hashBytes, hashText } from '../base/hash.js'
import { isNewer } from '../base/lineage.js'
import { isBehind, isNext, StaleError, type Claim, type DirectoryEntry, type LoggedRecord, type Position, type StoredSnapshot } from './backplane.js'
import { bytesOf, type Reply } from './redis-connection.js'
import { parseLineage } from './stored-lineage.js'

const bad = (what: string): KasagiError => new KasagiError('data-bad', `${what} in Redis is none of ours; nothing was changed`)

export const textOf = (reply: Reply | undefined): string => reply instanceof Buffer ? reply.toString() : typeof reply === 'number' ? String(reply) : ''

export function listOf(reply: Reply | undefined, what: string): readonly Reply[] {
  if (!Array.isArray(reply)) throw bad(what)
  return reply as readonly Reply[]
}

/** A whole number from 0 to 2^53 - 1, as decimal text. */
export function numberOf(reply: Reply | undefined, what: string): number {
  const text = textOf(reply), number = Number(text)
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(number)) throw bad(what)
  return number
}

const refusals: Record<string, (of: string, detail: string) => string> = {
  'version-older': (of, version) => `${of} was run by version ${version}`,
  'log-older': (of, seq) => `the log of ${of} has this already${seq === '' ? '' : `, it ends with seq ${seq}`}`,
  'log-gap': (of, seq) => `the log of ${of} ends with seq ${seq}`,
}

/** The list that a script answered with, unless it is a refusal. `of`: what was asked about. */
export function answerOf(reply: Reply, of: string): readonly Reply[] {
  const answer = listOf(reply, `the answer about ${of}`), word = textOf(answer[0])
  if (word === 'data-bad') throw bad(`${textOf(answer[1])} of ${of}`)
  if (word === 'stale') {
    const [by, owner] = answer.slice(1).map((part) => numberOf(part, `the epoch of ${of}`))
    throw new StaleError(`${of} belongs to epoch ${by}, or has a later snapshot`, by, owner)
  }
  if (Object.hasOwn(refusals, word)) throw new KasagiError(word, refusals[word](of, textOf(answer[1])))
  return answer
}

export function claimOf(answer: readonly Reply[], roomId: string): Claim {
  const what = `the lease of ${roomId}`, word = textOf(answer[0])
  if (word === 'granted') return { kind: 'granted', epoch: numberOf(answer[1], what), previous: numberOf(answer[2], what), stored: storedOf(answer.slice(3), what), ended: numberOf(answer[7], what) }
  if (word === 'unowned') return { kind: 'unowned', epoch: numberOf(answer[1], what) }
  const [instance, epoch, seq, ttlMs] = answer.slice(1).map((part) => numberOf(part, what))
  return { kind: 'held', lease: { instance, epoch, seq }, ttlMs }
}

/** The newer of two positions, each of which may be absent. */
function storedOf(answer: readonly Reply[], what: string): Position | undefined {
  let newest: Position | undefined
  for (const at of [0, 2]) {
    if (textOf(answer[at]) === '') continue
    const position = { epoch: numberOf(answer[at], what), seq: numberOf(answer[at + 1], what) }
    if (isNewer(position, newest)) newest = position
  }
  return newest
}

/** What a snapshot bears as `hash`: over the data's own, and the lineage. */
export const snapshotHash = (data: Uint8Array, lineage: string): number => hashText(`${hashBytes(data)} ${lineage}`)

export function snapshotOf(answer: readonly Reply[], roomId: string): StoredSnapshot | undefined {
  if (answer.every((part) => part === null)) return undefined
  const what = `the snapshot of ${roomId}`, [forks, stored] = answer.slice(6), data = stored instanceof Buffer ? bytesOf(stored) : undefined
  const [epoch, seq, tick, ts, version, hash] = answer.slice(0, 6).map((part) => numberOf(part, what))
  const text = textOf(forks), lineage = parseLineage(text, epoch)
  if (data === undefined || lineage === undefined || snapshotHash(data, text) !== hash) throw bad(what)
  return { epoch, seq, tick, ts, version, lineage, data }
}

/** The records of a page behind `after`, in order and without holes. `read`: the record before them, if any was read. */
export function* recordsOf(page: readonly Reply[], roomId: string, after: Position, read: Position | undefined): Generator<LoggedRecord> {
  let last = read
  for (const entry of page) {
    const [id, fields] = listOf(entry, `the log of ${roomId}`), what = `${textOf(id)} of the log of ${roomId}`
    const [, epochText, seqText] = /^(\d+)-(\d+)$/.exec(textOf(id)) ?? []
    const epoch = numberOf(Buffer.from(epochText ?? ''), what), seq = numberOf(Buffer.from(seqText ?? ''), what)
    const [name, record, ...more] = listOf(fields, what)
    if (textOf(name) !== 'data' || !(record instanceof Buffer) || record.length > storedBytesMax || more.length > 0) throw bad(what)
    if (!isBehind(after, { epoch, seq }) || !isNext(last, { epoch, seq })) throw bad(what)
    last = { epoch, seq }
    yield { epoch, seq, record: bytesOf(record) }
  }
}

/** Entries that are good for now; what is none of ours is left out. `expired`: rooms whose entries are not good any more. */
export function directoryOf(answer: readonly Reply[]): { readonly entries: DirectoryEntry[]; readonly expired: string[] } {
  const nowMs = numberOf(answer[0], 'the time'), entries: DirectoryEntry[] = [], expired: string[] = []
  for (let at = 1; at + 1 < answer.length && entries.length < directoryRoomsMax; at += 2) {
    const roomId = textOf(answer[at]), entry = entryOf(textOf(answer[at + 1]))
    if (entry === undefined || entry.until <= nowMs) expired.push(roomId)
    else entries.push({ roomId, instance: entry.instance, sessions: entry.sessions, listing: JSON.stringify(entry.listing) })
  }
  return { entries, expired }
}

interface Entry { readonly until: number; readonly instance: number; readonly sessions: number; readonly listing: object }

function entryOf(text: string): Entry | undefined {
  try {
    const { until, instance, sessions, listing } = JSON.parse(text) as Partial<Entry>
    const areNumbers = [until, instance, sessions].every((value) => Number.isSafeInteger(value) && value! >= 0)
    return areNumbers && typeof listing === 'object' && listing !== null ? { until: until!, instance: instance!, sessions: sessions!, listing } : undefined
  } catch {
    return undefined
  }
}
