import { describe, expect, it } from 'vitest'
import { historyRecordsMax } from '../../src/memory/room-layout.js'
import { committedSeq, oldestSeq, recordOf } from '../../workers/history.js'
import { defineRoom } from '../../src/room/define.js'
import { defineSchema, f32, table } from '../../src/schema/index.js'
import type { NumberArray } from '../../src/client/table.js'
import { createLocalRoom, type LocalClient, type LocalRoom } from '../support/local-room.js'

const schema = defineSchema('drift', { tables: { dots: table({ x: f32, y: f32 }, { capacity: 2000 }) } })
const room = defineRoom(schema, {
  onCreate({ tables: { dots } }) { for (let n = 0; n < 2000; n++) dots.spawn({ x: n }) },
  onTick({ tables: { dots }, time }) { for (const row of dots.rows()) { dots.x[row] += 1; dots.y[row] = time.tick } },
})

const liveX = (local: LocalRoom): NumberArray => local.actor.room.tables[1].column('x') as NumberArray
const seenX = (client: LocalClient): NumberArray => client.replication.replicas[1].columns[0].values as NumberArray

function expectEqual(local: LocalRoom, client: LocalClient): void {
  const live = liveX(local), seen = seenX(client)
  for (let row = 0; row < 2000; row++) {
    const isAlive = local.actor.room.tables[1].has(row)
    if (isAlive !== (client.replication.replicas[1].alive[row] === 1)) throw new Error(`row ${row} lives ${isAlive ? 'here' : 'there'} only`)
    if (isAlive && live[row] !== seen[row]) throw new Error(`row ${row}: ${seen[row]} instead of ${live[row]}`)
  }
}

describe('history', () => {
  it('conflation: a flush without space is skipped before it has a number, and the next one carries all that changed since', () => {
    const local = createLocalRoom(room), client = local.join(), seqs: number[] = []
    local.turn()
    local.holds = true
    for (let n = 0; n < 120; n++) { local.turn(); seqs.push(client.replication.position.seq) }
    expect(local.skipped()).toBeGreaterThan(10)
    const stuckAt = committedSeq(local.arena, local.actor.room.layout)
    expect(seqs[seqs.length - 1]).toBe(stuckAt)
    expect(seenX(client)[0]).toBeLessThan(liveX(local)[0])
    // The very next flush says everything.
    local.letGo()
    local.turn()
    expect(client.replication.position.seq).toBe(committedSeq(local.arena, local.actor.room.layout))
    expect(client.replication.position.seq).toBeGreaterThan(stuckAt)
    expectEqual(local, client)
    for (let n = 1; n < seqs.length; n++) expect(seqs[n] - seqs[n - 1]).toBeLessThanOrEqual(1)
  })

  it('history: a client inside it gets the missing sections, one outside it a snapshot; both end equal', () => {
    for (const cutFor of [1, 3, 200]) {
      const local = createLocalRoom(room), client = local.join()
      local.turn()
      client.isCut = true
      for (let n = 0; n < cutFor; n++) local.turn()
      const { layout } = local.actor.room, sections = client.replication.sections
      const isInside = oldestSeq(local.arena, layout) <= client.replication.position.seq + 1
      expect(recordOf(local.arena, layout, client.replication.position.seq + 1) !== undefined).toBe(isInside)
      expect(isInside).toBe(cutFor < 200)
      local.resync(client)
      local.turn()
      local.turn()
      expectEqual(local, client)
      if (isInside) expect(client.replication.sections - sections).toBe(cutFor + 2)
      expect(client.replication.position.seq).toBe(committedSeq(local.arena, layout))
    }
  })
})

const quiet = defineRoom(schema, {
  onCreate({ tables: { dots } }) { for (let n = 0; n < 1900; n++) dots.spawn({ x: n }) },
  onTick({ tables: { dots }, time }) {
    // One block in which a row is only despawned, one in which one is only spawned, one in which some only change.
    if (time.tick === 50) dots.despawn(300)
    if (time.tick === 50) dots.spawn({ x: 5 })
    for (let row = 1000; row < 1010; row++) dots.x[row] = time.tick
  },
})

describe('blocks', () => {
  /** A client that was away for longer than history reaches, and what its resync brought. */
  const comeBack = (claimed: (seq: number, newest: number) => number): { local: LocalRoom; client: LocalClient; bytes: number } => {
    const local = createLocalRoom(quiet), client = local.join()
    local.turn()
    client.isCut = true
    for (let n = 0; n < historyRecordsMax + 10; n++) local.turn()
    client.received = []
    const { position } = client.replication, { seq } = position
    position.seq = claimed(seq, committedSeq(local.arena, local.actor.room.layout))
    local.resync(client)
    position.seq = seq
    local.turn()
    return { local, client, bytes: client.received.reduce((sum, { length }) => sum + length, 0) }
  }

  it('blocks: whom history has lost gets only the blocks of 64 rows that have changed since, and ends equal', () => {
    const { local, client, bytes } = comeBack((seq) => seq)
    expect(bytes).toBeLessThan(3 * 64 * 12 + 1000)
    expect(client.replication.position.seq).toBe(committedSeq(local.arena, local.actor.room.layout))
    expectEqual(local, client)
    local.turn()
    expectEqual(local, client)
  })

  it('blocks: a client that said it had seen more than it has applies none of them, asks again and ends equal', () => {
    const { local, client } = comeBack((_, newest) => newest - historyRecordsMax)
    expect(client.asksResync).toBe(true)
    local.resync(client)
    local.turn()
    expectEqual(local, client)
  })
})

describe('replication', () => {
  it('gap: a client that missed one frame notices with the next, applies nothing of it, and is mended by a resync', () => {
    const local = createLocalRoom(room), client = local.join()
    local.turn()
    const { seq } = client.replication.position
    client.isCut = true
    local.turn()
    client.isCut = false
    const before = [...seenX(client)]
    local.turn()
    expect(client.asksResync).toBe(true)
    expect(client.replication.position.seq).toBe(seq)
    expect([...seenX(client)]).toEqual(before)
    local.resync(client)
    local.turn()
    expectEqual(local, client)
    expect(client.replication.state).toBe('live')
  })
})
