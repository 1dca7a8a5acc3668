import { describe, expect, it } from 'vitest'
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
  for (let row = 0; row < 2000; row++) if (live[row] !== seen[row]) throw new Error(`row ${row}: ${seen[row]} instead of ${live[row]}`)
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
