/**
 * Hears what the publishing bench's contestants say, in a process of its own: first through ioredis, where every record is compared with what it should be; then
 * bytes alone, which costs the machine as little as hearing can. Arguments: port, room type, count of rooms, the record.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { Redis } from 'ioredis'
import { bytesOf } from '../../src/backplane/redis-connection.js'
import { openPeerRecord } from '../../src/server/peer-record.js'
import { headAt } from '../../src/wire/envelope.js'
import { recordShape } from '../../src/wire/record.js'

const [port, type, rooms, encoded] = process.argv.slice(2)
const record = bytesOf(Buffer.from(encoded, 'base64'))
/** Behind the head that each record has of its own. */
const behindHead = headAt(recordShape, 0) + 56
const namesOf = (channel: (n: number) => string): string[] => Array.from({ length: Number(rooms) }, (_, n) => channel(n))
const ours = namesOf((n) => `room:{${type}:${rooms}-${n}}:channel`), plain = namesOf((n) => `plain:${rooms}-${n}`)

const isSame = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
const counts = [0, 0], seqs = new Map<string, number>()

const checking = new Redis(Number(port))
checking.on('messageBuffer', (name: Buffer, message: Buffer) => {
  const channel = name.toString(), bytes = bytesOf(message)
  if (channel.startsWith('plain:')) {
    if (!isSame(bytes, record)) process.exit(3)
    counts[1]++
    return
  }
  const head = openPeerRecord(bytes)?.head, before = seqs.get(channel)
  // What an owner says beside records.
  if (head === undefined) return
  if (!isSame(bytes.subarray(behindHead), record.subarray(behindHead)) || before !== undefined && head.seq !== before + 1) process.exit(4)
  seqs.set(channel, head.seq)
  counts[0]++
})
await checking.subscribe(...ours, ...plain)

/** What Redis sends to a subscriber: three parts, of which the last is a record or the number of channels. */
const pushParts = 3

/** Counts records by their lengths alone; what they say is skipped unread. */
async function countOnly(channels: readonly string[]): Promise<void> {
  const socket = connect(Number(port), '127.0.0.1')
  let left = Buffer.alloc(0), unread = 0, confirmed = 0
  /** One push at `at`, up to its record; where to go on, or undefined if it is not whole. */
  const take = (bytes: Buffer, at: number): number | undefined => {
    let next = at, name = ''
    for (let part = -1; part < pushParts; part++) {
      const end = bytes.indexOf('\r\n', next)
      if (end < 0) return undefined
      const length = Number(bytes.toString('latin1', next + 1, end)), from = end + 2
      if (part === pushParts - 1) {
        if (bytes[next] !== 0x24) { confirmed++; return from }
        if (length === record.length) counts[name.startsWith('plain:') ? 1 : 0]++
        unread = length + 2
        return from
      }
      if (part === 1) name = bytes.toString('latin1', from, from + length)
      next = part < 0 ? from : from + length + 2
    }
    return undefined
  }
  socket.on('data', (chunk: Buffer) => {
    const bytes = left.length === 0 ? chunk : Buffer.concat([bytesOf(left), bytesOf(chunk)])
    let at = 0
    for (;;) {
      const step = Math.min(unread, bytes.length - at)
      at += step
      unread -= step
      const next = take(bytes, at)
      if (next === undefined) break
      at = next
    }
    left = Buffer.from(bytesOf(bytes).slice(at))
  })
  await once(socket, 'connect')
  socket.write(`*${channels.length + 1}\r\n$9\r\nSUBSCRIBE\r\n${channels.map((name) => `$${name.length}\r\n${name}\r\n`).join('')}`)
  while (confirmed < channels.length) await new Promise((resolve) => { setTimeout(resolve, 5) })
}

/** What was published just before may still be on its way. */
async function settled(): Promise<number[]> {
  for (let before = -1; before !== counts[0] + counts[1];) {
    before = counts[0] + counts[1]
    await new Promise((resolve) => { setTimeout(resolve, 100) })
  }
  return counts
}

process.on('message', (question: 'count' | 'only count') => {
  if (question === 'count') return void settled().then((all) => process.send?.(all))
  checking.disconnect()
  void countOnly([...ours, ...plain]).then(() => process.send?.(counts))
})
process.on('disconnect', () => process.exit(0))
process.send?.('ready')
