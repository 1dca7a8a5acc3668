import { describe, expect, it } from 'vitest'
import { nextInt, seedPrng } from '../../src/base/prng.js'
import { readPeer, writePeer, type PeerBody } from '../../src/wire/peer-messages.js'

const far = 2 ** 52 + 3
const position = { epoch: far, seq: 2 ** 40 + 1 }
const lineage = [{ epoch: 5, parentEpoch: 0, forkSeq: 0 }, { epoch: far, parentEpoch: 5, forkSeq: 2 ** 33 }]
const data = Uint8Array.from({ length: 300 }, (_, n) => n)
const bodies: PeerBody[] = [
  { kind: 'beat', head: { epoch: far, seq: 9, parentEpoch: 3, forkSeq: 8 }, durableSeq: 2 ** 35 },
  { kind: 'announced', epoch: far, position }, { kind: 'announced', epoch: far, position: undefined },
  { kind: 'handed', epoch: far, to: 77, position }, { kind: 'released', epoch: far },
  { kind: 'asked', request: 7, position, seen: far, isFetch: true }, { kind: 'asked', request: 7, position: undefined, seen: 0, isFetch: false },
  { kind: 'records', request: 7, data }, { kind: 'state', request: 7, position, lineage, tick: 5, part: 2, parts: 3, data },
  { kind: 'offered', epoch: far, position }, { kind: 'present', version: 3, isDraining: true, hasReplica: false, clients: 300 },
  { kind: 'proposed', request: 8, position }, { kind: 'confirmed', request: 8 }, { kind: 'declined', request: 8 },
  { kind: 'forward', word: 3, words: [1, 2 ** 32 - 1, 7], data }, { kind: 'turnedAway', connection: far, code: 'room-full' },
  { kind: 'unjournaled', slot: 4, connection: far, number: 2 ** 32 - 1, code: 'wanted' },
]

describe('peers', () => {
  it('peers: every message is read as it was written', () => {
    for (const body of bodies) {
      const read = readPeer(writePeer(12, 'arena:main', body))!
      expect({ ...read, ...('data' in read ? { data: read.data.slice() } : {}) }).toEqual({ ...body, from: 12, room: 'arena:main' })
      // What comes over a socket lies anywhere.
      const anywhere = new Uint8Array(4096).subarray(1), bytes = writePeer(12, 'arena:main', body)
      anywhere.set(bytes)
      expect(readPeer(anywhere.subarray(0, bytes.length))).toEqual(read)
    }
  })

  it('peers: 20,000 mutated messages are read as something, or refused; none throws', () => {
    const seed = Number(process.env.SEED ?? 5), state = new Uint32Array(4)
    seedPrng(state, seed)
    let refused = 0
    for (let n = 0; n < 20_000; n++) {
      const bytes = writePeer(12, 'arena:main', bodies[nextInt(state, bodies.length)]).slice()
      for (let k = nextInt(state, 3); k >= 0; k--) bytes[nextInt(state, bytes.length)] = nextInt(state, 256)
      const message = nextInt(state, 4) === 0 ? bytes.slice(0, nextInt(state, bytes.length)) : bytes
      if (readPeer(message) === undefined) refused++
    }
    expect(refused, `SEED=${seed}`).toBeGreaterThan(2000)
  })
})
