/**
 * `kasagi replay`: a room's log, one JSON line a record; or all of its state at one of them, from the snapshot and the records behind it. Reads what is
 * stored, or what the room's owner publishes; nothing is claimed, so that rooms go on meanwhile.
 */
import { isBehind, isNext, type Backplane, type Position } from './backplane/backplane.js'
import { openEmbeddedStore } from './backplane/embedded.js'
import { openRedisBackplane } from './backplane/redis.js'
import { KasagiError } from './base/errors.js'
import { start } from './base/lineage.js'
import { checkFolder, endWithReader, parseAsked, print, type Place } from './inspect.js'
import { lineOf, tableNames, type TableNames } from './record-line.js'
import { jsonText, stateOf } from './room-state.js'
import { loadStored } from './server/driver-calls.js'
import { openPeerRecord, type PeerRecord } from './server/peer-record.js'
import { readStoredRoom, tablesOfState } from '../workers/stored-room.js'

/** Seqs of the first and the last record. */
interface Range { readonly from: number; readonly to: number }

export async function replay(argv: readonly string[], env: Readonly<Record<string, string | undefined>>): Promise<void> {
  const { place, flags, rest: [roomId, ...more] } = parseAsked('replay', argv, env, { from: 'value', to: 'value', state: 'value', follow: 'switch' })
  if (roomId === undefined || more.length > 0) throw new KasagiError('bad-option', 'name one room: kasagi replay TYPE:NAME')
  if (!/^[^:]+:[^:]+$/.test(roomId)) throw new KasagiError('bad-option', `${roomId} is no room; rooms are called TYPE:NAME, such as arena:main`)
  const seqOf = (flag: string): number | undefined => flags.has(flag) ? wholeNumber(flag, flags.get(flag)!) : undefined
  const at = seqOf('state'), range = { from: seqOf('from') ?? 0, to: seqOf('to') ?? Infinity }, follows = flags.has('follow')
  if (range.from > range.to) throw new KasagiError('bad-option', `--from ${range.from} lies behind --to ${range.to}`)
  if (at !== undefined && flags.size > 1) throw new KasagiError('bad-option', '--state goes with no other option than --redis or --data')
  if (follows && place.redis === undefined) throw new KasagiError('bad-option', '--follow needs --redis: a data folder that somebody writes to is held by that process')
  endWithReader()
  const backplane = await openPlace(place)
  try {
    if (at !== undefined) await printState(backplane, roomId, at)
    else await printLog(backplane, roomId, range, follows)
  } finally {
    await backplane.close()
  }
}

function wholeNumber(flag: string, text: string): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) throw new KasagiError('bad-option', `--${flag}: ${JSON.stringify(text)}; allowed: a record's seq`)
  return value
}

async function openPlace({ redis, data }: Place): Promise<Backplane> {
  if (redis !== undefined) return openRedisBackplane({ url: redis })
  checkFolder(data)
  return openEmbeddedStore(data).backplane
}

const nothingStored = ({ place }: Backplane, roomId: string): KasagiError =>
  new KasagiError('room-absent', `nothing is stored of ${roomId} in ${place}: neither a snapshot nor a log; kasagi rooms lists what is there`)

async function printLog(backplane: Backplane, roomId: string, range: Range, follows: boolean): Promise<void> {
  const snapshot = await backplane.load(roomId), names = tableNames(snapshot === undefined ? undefined : tablesOf(roomId, snapshot.data))
  const following = follows ? beginToFollow(backplane, roomId) : undefined
  let first = 0, last: Position | undefined, printed = 0
  for await (const { epoch, seq, record } of backplane.readLog(roomId, start)) {
    if (last === undefined) first = seq
    last = { epoch, seq }
    if (await printRecord(opened(roomId, record), range, names)) printed++
  }
  if (following !== undefined) {
    if (last === undefined && snapshot === undefined) say(`nothing is stored of ${roomId}; waiting for what is published`)
    return goOn(following, range, names, last ?? start)
  }
  if (last !== undefined && printed === 0) throw new KasagiError('bad-option', `the log of ${roomId} has seqs ${first} to ${last.seq}, and none of those that were asked for`)
  if (last !== undefined) return
  if (snapshot === undefined) throw nothingStored(backplane, roomId)
  throw new KasagiError('room-absent', `${roomId} has no records in its log; it is stored at seq ${snapshot.seq}, which --state ${snapshot.seq} prints`)
}

/** False: the record is not within the range. */
async function printRecord(record: PeerRecord, { from, to }: Range, names: TableNames): Promise<boolean> {
  if (record.head.seq < from || record.head.seq > to) return false
  await print(jsonText(lineOf(record, names)))
  return true
}

function opened(roomId: string, bytes: Uint8Array): PeerRecord {
  const record = openPeerRecord(bytes)
  if (record === undefined) throw new KasagiError('data-bad', `a record in the log of ${roomId} is none`)
  return record
}

/** Records that have come and are not printed. */
interface Following { readonly records: PeerRecord[]; wake: () => void }

const say = (text: string): void => { process.stderr.write(`kasagi: ${text}\n`) }

/** From before the log is read: nothing falls between the two. */
function beginToFollow(backplane: Backplane, roomId: string): Following {
  const following: Following = { records: [], wake: () => {} }
  let gaps = 0
  backplane.follow(roomId, {
    // All else on the channel is what instances say to each other.
    message: (bytes) => {
      const record = openPeerRecord(bytes)
      if (record === undefined) return
      following.records.push(record)
      following.wake()
    },
    gap: () => { if (gaps++ > 0) say('the connection to Redis was lost: records are missing here') },
  })
  return following
}

/** Goes on until the last record of the range, or until it is ended. */
async function goOn(following: Following, range: Range, names: TableNames, from: Position): Promise<void> {
  const { records } = following
  for (let last = from; ;) {
    const record = records.shift()
    if (record === undefined) { await new Promise<void>((resolve) => { following.wake = resolve }); continue }
    if (!isBehind(last, record.head)) continue
    if (last !== start && !isNext(last, record.head)) say(`records are missing between ${last.epoch}-${last.seq} and ${record.head.epoch}-${record.head.seq}`)
    last = record.head
    await printRecord(record, range, names)
    if (record.head.seq >= range.to) return
  }
}

function tablesOf(roomId: string, state: Uint8Array): ReturnType<typeof tablesOfState> {
  try {
    return tablesOfState(state)
  } catch (error) {
    throw new KasagiError('data-bad', `the snapshot of ${roomId} cannot be read: ${(error as Error).message}`)
  }
}

/** A snapshot that is stored meanwhile cuts the log that was to be read: then the two are read again. */
const triesMax = 3

async function printState(backplane: Backplane, roomId: string, seq: number): Promise<void> {
  for (let tries = 1; ; tries++) {
    const snapshot = await backplane.load(roomId), stored = await loadStored(backplane, roomId, true, seq)
    if (stored === undefined) throw nothingStored(backplane, roomId)
    if (snapshot === undefined || stored.state === undefined) throw new KasagiError('room-absent', `${roomId} has only a log: the field tables that say what its records mean are in a snapshot, and none is stored yet`)
    if (snapshot.seq > seq) throw new KasagiError('bad-option', `${roomId} is stored at seq ${snapshot.seq}; what came before is gone, seq ${seq} too`)
    const { position } = stored
    if (position.seq < seq) {
      if (tries < triesMax && (await backplane.load(roomId))?.seq !== snapshot.seq) continue
      throw new KasagiError('bad-option', `what is stored of ${roomId} ends with seq ${position.seq}; there is no seq ${seq} yet`)
    }
    return print(stateText(roomId, stored, position))
  }
}

function stateText(room: string, { state, records }: { readonly state: Uint8Array | undefined; readonly records: readonly Uint8Array[] }, { epoch, seq }: Position): string {
  try {
    return jsonText({ room, epoch, seq, tables: stateOf(readStoredRoom(state, records, [], { epoch, seq })) })
  } catch (error) {
    throw new KasagiError('data-bad', `what is stored of ${room} cannot be read: ${(error as Error).message}`)
  }
}
