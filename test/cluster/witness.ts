/** A plain Redis client that sees every write to one room, in the order in which Redis carried it out: MONITOR shows what a script did as well as what it was asked for. */
import { roomKeys, scripts } from '../../src/backplane/redis-scripts.js'
import { openPeerRecord } from '../../src/server/peer-record.js'
import { readPeer } from '../../src/wire/peer-messages.js'
import type { Head } from '../../src/base/lineage.js'
import { until } from '../support/until.js'
import type { RedisServer } from '../support/redis.js'

/** `grant`: from here on only what `epoch` says counts. `asked`: an owner's write has arrived, whatever becomes of it. The others were carried out. */
export interface Seen { readonly kind: 'grant' | 'record' | 'said' | 'op' | 'snapshot' | 'asked'; readonly epoch: number; readonly seq: number; readonly head?: Head }

export interface Witness {
  readonly seen: Seen[]
  /** All that Redis has carried out by now is in `seen`. */
  caughtUp(): Promise<void>
  end(): void
}

const askedBy: ReadonlySet<string> = new Set([scripts.publish.sha, scripts.store.sha])

export async function startWitness({ client }: RedisServer, roomId: string): Promise<Witness> {
  const seen: Seen[] = [], monitor = await client.monitor(), [epochKey, , snapshotKey, opsKey, channel] = roomKeys(roomId)
  let marks = 0, mark = 0
  monitor.on('monitor', (_: string, args: string[], source: string) => {
    const [name, ...rest] = args.map(bytesIn), command = name.toString().toLowerCase(), [key, first, second, , fourth] = rest.map((part) => part.toString('latin1'))
    if (command === 'ping' && key?.startsWith('mark ')) mark = Math.max(mark, Number(key.slice(5)))
    if (source !== 'lua') {
      if (command === 'evalsha' && askedBy.has(key) && second === epochKey) seen.push({ kind: 'asked', epoch: numberAt(rest, 7), seq: numberAt(rest, 8) })
      return
    }
    if (command === 'hset' && key === epochKey && first === 'epoch') seen.push({ kind: 'grant', epoch: Number(second), seq: 0 })
    if (command === 'hset' && key === snapshotKey) seen.push({ kind: 'snapshot', epoch: Number(second), seq: Number(fourth) })
    if (command === 'xadd' && key === opsKey) seen.push({ kind: 'op', epoch: Number(first.split('-')[0]), seq: Number(first.split('-')[1]) })
    if (command === 'publish' && key === channel) seen.push(...published(new Uint8Array(rest[1])))
  })
  return {
    seen,
    caughtUp: async () => {
      const wanted = ++marks
      await client.ping(`mark ${wanted}`)
      await until(() => mark >= wanted, 'the witness has seen all')
    },
    end: () => monitor.disconnect(),
  }
}

function published(bytes: Uint8Array): Seen[] {
  const head = openPeerRecord(bytes)?.head
  if (head !== undefined) return [{ kind: 'record', epoch: head.epoch, seq: head.seq, head }]
  const said = readPeer(bytes)
  // An owner's word on its end comes behind it.
  if (said === undefined || said.kind === 'released') return []
  return [{ kind: 'said', epoch: said.kind === 'beat' ? said.head.epoch : 'epoch' in said ? said.epoch : 0, seq: 0 }]
}

const numberAt = (parts: readonly Buffer[], index: number): number => Number(parts[index])

/** What MONITOR shows of an argument is text with escapes. */
function bytesIn(shown: string): Buffer {
  const escapes: Record<string, string> = { n: '\n', r: '\r', t: '\t', a: '\x07', b: '\b' }
  return Buffer.from(shown.replace(/\\(?:x([0-9a-f]{2})|(.))/g, (_, hex: string | undefined, one: string) => hex === undefined ? escapes[one] ?? one : String.fromCharCode(parseInt(hex, 16))), 'latin1')
}
