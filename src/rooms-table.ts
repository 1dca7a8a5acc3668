/** `kasagi rooms`: the rooms that are kept in a Redis or a data folder, as a table or as JSON lines. */
import { listFolderRooms } from './backplane/embedded-rooms.js'
import type { KeptRoom } from './backplane/kept-room.js'
import { listRedisRooms } from './backplane/redis-rooms.js'
import { KasagiError } from './base/errors.js'
import { checkFolder, endWithReader, parseAsked, print } from './inspect.js'

export async function showRooms(argv: readonly string[], env: Readonly<Record<string, string | undefined>>): Promise<void> {
  const { place: { redis, data }, flags, rest } = parseAsked('rooms', argv, env, { json: 'switch' })
  if (rest.length > 0) throw new KasagiError('bad-option', `${rest[0]}: kasagi rooms lists all of them`)
  if (redis === undefined) checkFolder(data)
  endWithReader()
  const rooms = (redis !== undefined ? await listRedisRooms(redis) : await listFolderRooms(data)).sort((a, b) => a.roomId < b.roomId ? -1 : 1)
  if (flags.has('json')) for (const room of rooms) await print(JSON.stringify(plain(room)))
  else for (const line of tableOf(rooms)) await print(line)
}

const timeOf = (ms: number | undefined): string | undefined => ms === undefined || Number.isNaN(new Date(ms).valueOf()) ? undefined : new Date(ms).toISOString()

const plain = ({ roomId, instance, epoch, seq, sessions, storedSeq, storedMs, listing }: KeptRoom): object =>
  ({ room: roomId, instance, epoch, seq, sessions, storedSeq, storedAt: timeOf(storedMs), listing: listing === undefined ? undefined : JSON.parse(listing) as unknown })

const head = ['room', 'instance', 'epoch', 'seq', 'sessions', 'stored seq', 'stored at']

function tableOf(rooms: readonly KeptRoom[]): string[] {
  const lines = [head, ...rooms.map(({ roomId, instance, epoch, seq, sessions, storedSeq, storedMs }) =>
    [roomId, instance, epoch, seq, sessions, storedSeq, timeOf(storedMs)?.replace('T', ' ').replace(/\.\d+Z$/, 'Z')].map((value) => value === undefined ? '-' : String(value)))]
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column].length)))
  // Numbers stand to the right.
  const isText = (column: number): boolean => column === 0 || column === head.length - 1
  return lines.map((line) => line.map((cell, column) => isText(column) ? cell.padEnd(widths[column]) : cell.padStart(widths[column])).join('  ').trimEnd())
}
