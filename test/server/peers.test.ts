/** What other instances say, where it is broken: refused and counted, without harm. */
import { describe, expect, it } from 'vitest'
import { claimants } from '../../src/backplane/backplane.js'
import { createViews } from '../../src/memory/views.js'
import { toWorker } from '../../src/memory/crossing.js'
import { hearChannel, hearInbox } from '../../src/server/peers.js'
import { writePeer, type PeerBody } from '../../src/wire/peer-messages.js'
import { beginRecord, createRecordWriter, finishRecord } from '../../src/wire/record.js'

const me = 7, other = 8, id = 'arena:main', epoch = Date.now() * claimants

function listen() {
  const events: string[] = [], refused: string[] = []
  const room = { id, state: 'opening', peers: { instance: me }, ownership: { role: 'owning', seen: epoch, question: { number: 5 } }, clients: new Map(), opening: { stays: true } }
  const hearers = {
    rooms: { byId: new Map([[id, room]]), driver: { happen: (_: unknown, { kind }: { kind: string }) => { events.push(kind) } } },
    reports: { peerRefused: (of: string) => { refused.push(of) } },
  }
  return {
    events, refused,
    channel: (body: PeerBody) => hearChannel(hearers as never, room as never, writePeer(other, id, body)),
    inbox: (body: PeerBody) => hearInbox(hearers as never, writePeer(other, id, body)),
  }
}

function recordBytes(seq: number): Uint8Array {
  const views = createViews(new ArrayBuffer(1024)), writer = createRecordWriter(views)
  beginRecord(writer, 0)
  return views.u8.slice(0, finishRecord(writer, { epoch, seq, durableSeq: 0, parentEpoch: 0, forkSeq: 0, journalThrough: 0, tick: 0, instance: other }))
}

describe('peers', () => {
  it('peers: records whose lengths lead anywhere are refused, however many are whole', () => {
    const record = recordBytes(1), data = new Uint8Array(2 * (8 + record.length)), view = new DataView(data.buffer), second = 8 + record.length
    for (const at of [0, second]) { view.setUint32(at, record.length, true); data.set(record, at + 8) }
    const good = listen()
    good.inbox({ kind: 'records', request: 5, data })
    expect([good.events, good.refused]).toEqual([['records'], []])
    for (const [at, length] of [[0, second], [second, record.length + 8], [second, 0x7fff_ffff], [second, 0x8000_0000], [second, 0xffff_fff0], [second, 0xffff_ffff], [0, 0xffff_fff8], [0, 0]]) {
      const { inbox, events, refused } = listen(), broken = data.slice()
      new DataView(broken.buffer).setUint32(at, length, true)
      inbox({ kind: 'records', request: 5, data: broken })
      expect([events, refused], `${length} at ${at}`).toEqual([[], [id]])
    }
  })

  it('peers: an epoch further ahead of clock and room than a day is refused; what Redis has granted is not', () => {
    const hour = 3_600_000 * claimants
    for (const [ahead, isTaken] of [[0, true], [23 * hour, true], [25 * hour, false], [2 ** 53 - 1 - epoch, false]] as const) {
      const { channel, inbox, events, refused } = listen(), later = epoch + ahead, position = { epoch, seq: 3 }
      channel({ kind: 'beat', head: { epoch: later, seq: 3, parentEpoch: 5, forkSeq: 2 }, durableSeq: 0 })
      channel({ kind: 'announced', epoch: later + 1, position })
      channel({ kind: 'released', epoch: later })
      inbox({ kind: 'asked', request: 1, position, seen: later, isFetch: false })
      expect([events.length, refused.length], `${ahead}`).toEqual(isTaken ? [4, 0] : [0, 4])
    }
  })

  it('peers: a state whose forks do not lead to its position is refused', () => {
    const forks = [{ epoch: 5, parentEpoch: 0, forkSeq: 0 }, { epoch, parentEpoch: 5, forkSeq: 10 }]
    const state = { kind: 'state', request: 5, position: { epoch, seq: 11 }, lineage: forks, tick: 0, part: 0, parts: 1, data: new Uint8Array(8) } as const
    for (const [part, isTaken] of [
      [{}, true], [{ position: { epoch, seq: 10 } }, false], [{ position: { epoch: 5, seq: 3 } }, false], [{ lineage: [] }, false], [{ lineage: [...forks].reverse() }, false],
      [{ lineage: [forks[0], { ...forks[1], parentEpoch: 4 }] }, false], [{ lineage: [], position: { epoch: 0, seq: 0 } }, true],
    ] as const) {
      const { inbox, events, refused } = listen()
      inbox({ ...state, ...part })
      expect([events, refused], JSON.stringify(part)).toEqual(isTaken ? [['state'], []] : [[], [id]])
    }
  })

  it('peers: an input that passes over more numbers than a client sends in hours is refused', () => {
    const { inbox, refused } = listen()
    const input = (number: number, from: number): void => inbox({ kind: 'forward', word: toWorker.input, words: [0, 1, other, number, from, 0], data: new Uint8Array(0) })
    input(6, 6)
    input(100_000, 6)
    expect(refused).toEqual([])
    input(2 ** 31, 6)
    input(5, 6)
    expect(refused).toEqual([id, id])
  })
})
