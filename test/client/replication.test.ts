/** Frames, gaps, repeats and snapshots: what moves the replicas, and what must not. */
import { describe, expect, it } from 'vitest'
import {
  createReplication, expectFrame, expectSections, expectSnapshot, loseSync, receiveSection, type Replication,
} from '../../src/client/replication.js'
import {
  addressedStream, epoch, field, globals, ownRow, ownStream, section, setCount, snapshot, spawned, tables, thing, things, type SectionSpec,
} from './fake-room.js'

interface Watched { readonly replication: Replication; readonly calls: string[]; take(spec: SectionSpec): void; count(): number }

function createWatched(verify = false): Watched {
  const calls: string[] = []
  const replication: Replication = createReplication(tables, 20, verify, {
    nowMs: () => 0, flushed: () => { calls.push('flushed') }, event: (name, data) => { calls.push(`${name} ${String(data.x)}`) },
    missed: (events) => { calls.push(`missed ${events}`) }, complete: () => { calls.push('complete') },
    resync: () => { calls.push(`resync ${replication.position.epoch} ${replication.position.seq}`) },
    differs: (columns) => { calls.push(`differs ${columns.map(({ table, field }) => `${table}.${field}`).join()}`); loseSync(replication) },
  })
  return {
    replication, calls, take: (spec) => { receiveSection(replication, section(spec)) },
    count: () => replication.replicas[globals].columns[0].values[0] as number,
  }
}

/** A replication that is live at seq 10, with a count of 0. */
function createLive(verify = false): Watched {
  const watched = createWatched(verify)
  expectSnapshot(watched.replication, epoch, 10)
  for (const message of snapshot(10)) receiveSection(watched.replication, message)
  expect(watched.calls).toEqual(['complete', 'flushed'])
  watched.calls.length = 0
  return watched
}

describe('replication', () => {
  it('replication: a section without an Own is a frame of its own', () => {
    const { take, calls, count, replication } = createLive()
    take({ seq: 11, prevSeq: 10, tick: 33, sets: [setCount(5)] })
    expect([count(), replication.position, replication.tick, calls]).toEqual([5, { epoch, seq: 11 }, 33, ['flushed']])
  })

  it('replication: the sections of a frame are applied as a unit, its events before its flush', () => {
    const { take, calls, count, replication } = createLive()
    expectFrame(replication, 2)
    take({ seq: 11, prevSeq: 4, sets: [setCount(5)], events: [[0, new Uint8Array(Float32Array.of(2).buffer)]], missedEvents: 3 })
    expect([count(), calls]).toEqual([0, []])
    take({ seq: 11, prevSeq: 9, stream: ownStream, events: [ownRow(2, 1)] })
    expect([count(), replication.ownRow, calls]).toEqual([5, { row: 2, generation: 1 }, ['missed 3', 'boom 2', 'flushed']])
  })

  it('replication: a gap asks once, and nothing is applied until the answer', () => {
    const { take, calls, count, replication } = createLive()
    take({ seq: 13, prevSeq: 12, sets: [setCount(13)] })
    take({ seq: 14, prevSeq: 13, sets: [setCount(14)] })
    expect([count(), calls]).toEqual([0, [`resync ${epoch} 10`]])
    expectSections(replication, epoch)
    for (const seq of [11, 12, 13, 14]) take({ seq, prevSeq: seq - 1, sets: [setCount(seq)] })
    expect([count(), replication.position.seq, calls.length]).toEqual([14, 14, 6])
  })

  it('replication: a seq that another stream has used is no gap', () => {
    const { take, calls, count } = createLive()
    take({ seq: 12, prevSeq: 10, sets: [setCount(12)] })
    take({ seq: 15, prevSeq: 7, stream: ownStream, sets: [] })
    take({ seq: 16, prevSeq: 12, sets: [setCount(16)] })
    expect([count(), calls]).toEqual([16, ['flushed', 'flushed', 'flushed']])
  })

  it('replication: another epoch is a gap, even where the numbers fit', () => {
    const { take, calls, count } = createLive()
    take({ epoch: epoch + 1, seq: 11, prevSeq: 10, sets: [setCount(1)] })
    expect([count(), calls]).toEqual([0, [`resync ${epoch} 10`]])
  })

  it('replication: a repeated section moves nothing', () => {
    const { take, calls, count } = createLive()
    take({ seq: 11, prevSeq: 10, sets: [setCount(11)] })
    take({ seq: 12, prevSeq: 11, sets: [setCount(12)] })
    take({ seq: 11, prevSeq: 10, sets: [setCount(11)] })
    take({ seq: 10, prevSeq: 9, sets: [setCount(10)] })
    expect([count(), calls.length]).toEqual([12, 2])
  })

  it('replication: missed sections come one by one, both streams of a seq', () => {
    const { take, count, replication } = createLive()
    expectSections(replication, epoch)
    take({ seq: 11, prevSeq: 10, sets: [setCount(11)] })
    take({ seq: 11, prevSeq: 10, stream: ownStream, events: [ownRow(4, 2)] })
    expect([count(), replication.ownRow?.row]).toEqual([11, 4])
  })

  it('replication: events to some sessions have no position', () => {
    const { take, calls, replication } = createLive()
    const boom = [0, new Uint8Array(Float32Array.of(1).buffer)] as const
    take({ seq: 11, prevSeq: 10, sets: [setCount(1)] })
    calls.length = 0
    expectFrame(replication, 2)
    take({ seq: 12, stream: addressedStream, events: [boom] })
    take({ seq: 12, stream: addressedStream, events: [boom] })
    expect(calls).toEqual(['boom 1', 'boom 1', 'flushed'])
  })

  it('replication: until the last chunk of both streams the old world is shown, and its position is told', () => {
    const { calls, count, replication } = createLive()
    const [room, own] = snapshot(20, [thing(1)], 20)
    expectSnapshot(replication, epoch, 20)
    receiveSection(replication, room)
    expect([count(), replication.position.seq, replication.replicas[things].size, calls]).toEqual([0, 10, 0, []])
    receiveSection(replication, own)
    expect([count(), replication.position.seq, replication.replicas[things].size, calls]).toEqual([20, 20, 1, ['complete', 'flushed']])
  })

  it('replication: a chunk of an older snapshot is no part of a newer one', () => {
    const { count, replication } = createLive()
    const [olderRoom] = snapshot(20, [], 20), [room, own] = snapshot(30, [], 30)
    expectSnapshot(replication, epoch, 20)
    receiveSection(replication, olderRoom)
    expectSnapshot(replication, epoch, 30)
    receiveSection(replication, own)
    receiveSection(replication, olderRoom)
    expect(replication.state).toBe('snapshot')
    receiveSection(replication, room)
    expect([replication.state, count()]).toEqual(['live', 30])
  })

  it('replication: after a snapshot, sections that it holds are repeats', () => {
    const { take, count, replication } = createLive()
    expectSnapshot(replication, epoch, 20)
    for (const message of snapshot(20, [], 20)) receiveSection(replication, message)
    take({ seq: 20, prevSeq: 19, sets: [setCount(19)] })
    take({ seq: 21, prevSeq: 20, sets: [setCount(21)] })
    expect([count(), replication.position.seq]).toEqual([21, 21])
  })

  it('replication: a hash that differs is told, and asks for a snapshot rather than for what came since', () => {
    const { take, calls, count, replication } = createLive(true)
    take({ seq: 11, prevSeq: 10, sets: [setCount(11)], hashes: [[globals, 0, 1234]] })
    expect([calls, count(), replication.state]).toEqual([['differs $globals.count', 'resync 0 0'], 0, 'waiting'])
  })

  it('replication: hashes are left alone unless they are asked for', () => {
    const { take, calls } = createLive(false)
    take({ seq: 11, prevSeq: 10, sets: [setCount(11)], hashes: [[globals, 0, 1234]] })
    expect(calls).toEqual(['flushed'])
  })

  it('replication: rows that came and went within a frame are told to nobody', () => {
    const { take, replication } = createLive()
    const rows = replication.replicas[things]
    take({ seq: 11, prevSeq: 10, sets: [thing(1), { table: things, what: spawned, rows: [2], columns: [[field.hp, Uint16Array.of(1)]] }] })
    take({ seq: 12, prevSeq: 11, sets: [{ table: things, what: 2, rows: [2] }] })
    expect([[...rows.spawned], [...rows.despawned]]).toEqual([[1], []])
  })
})
