/**
 * The rooms that a Redis knows of, for operators: one walk over its keys, a page at a time, which holds up nobody. Main thread. Nothing is written, and no
 * snapshot's data are fetched.
 */
import { KasagiError } from '../base/errors.js'
import { answerMsMin, directoryRoomsMax } from '../base/limits.js'
import type { DirectoryEntry } from './backplane.js'
import { highest, type KeptRoom } from './kept-room.js'
import { openConnection, type RedisConnection, type Reply } from './redis-connection.js'
import { answerOf, directoryOf, listOf, textOf } from './redis-replies.js'
import { directoryKey, roomKeys, scripts } from './redis-scripts.js'
import { parseRedisUrl } from './redis-url.js'

/** Keys that Redis looks at before it answers others. */
const pageKeys = 512

/** Rejects with KasagiError `no-redis`, one line. */
export async function listRedisRooms(url: string): Promise<KeptRoom[]> {
  const address = parseRedisUrl(url)
  if (address === undefined) throw new KasagiError('no-redis', 'the address is none of redis://host:port or rediss://host:port')
  const connection = await openConnection(address, answerMsMin, { ready: () => {}, closed: () => {} })
  try {
    const ids = await findRooms(connection), types = new Set([...ids].map((id) => id.slice(0, id.indexOf(':')))), entries = new Map<string, DirectoryEntry>()
    for (const type of types) for (const entry of await readDirectory(connection, type)) entries.set(entry.roomId, entry)
    const rooms: KeptRoom[] = []
    for (const id of ids) rooms.push(await readRoom(connection, id, entries.get(id)))
    return rooms
  } finally {
    connection.close()
  }
}

/** By their epochs' keys, which stay when everything else has expired. A walk may meet a key twice. */
async function findRooms(connection: RedisConnection): Promise<Set<string>> {
  const ids = new Set<string>()
  for (let cursor = ''; cursor !== '0';) {
    const [next, keys] = listOf(await connection.command('SCAN', cursor || '0', 'MATCH', roomKeys('*')[0], 'COUNT', String(pageKeys)), 'the list of keys')
    for (const key of listOf(keys, 'the list of keys')) {
      const [, id] = /^room:\{(.+)\}:epoch$/s.exec(textOf(key)) ?? []
      if (id !== undefined) ids.add(id)
    }
    cursor = textOf(next)
  }
  return ids
}

async function readDirectory(connection: RedisConnection, type: string): Promise<DirectoryEntry[]> {
  const answer = await connection.script(scripts.list, [directoryKey(type)], [String(directoryRoomsMax)])
  return directoryOf(answerOf(answer, `the directory of ${type}`)).entries
}

/** One command a key: none is over two. */
async function readRoom(connection: RedisConnection, roomId: string, entry: DirectoryEntry | undefined): Promise<KeptRoom> {
  const [epochKey, ownerKey, snapshotKey] = roomKeys(roomId)
  const [[epoch], [instance, seq], [storedSeq, storedMs]] = await Promise.all([
    readNumbers(connection, epochKey, 'epoch'), readNumbers(connection, ownerKey, 'instance', 'seq'), readNumbers(connection, snapshotKey, 'seq', 'ts'),
  ])
  return { roomId, instance, epoch, seq: highest(seq, storedSeq), storedSeq, storedMs, sessions: entry?.sessions, listing: entry?.listing }
}

async function readNumbers(connection: RedisConnection, key: string, ...fields: readonly string[]): Promise<(number | undefined)[]> {
  // Whoever has put something else there is shown as nothing.
  const values = await connection.command('HMGET', key, ...fields).catch((): Reply => null)
  return fields.map((_, index) => {
    const text = textOf((values as readonly Reply[] | null)?.[index]), number = Number(text)
    return /^\d{1,16}$/.test(text) && Number.isSafeInteger(number) ? number : undefined
  })
}
