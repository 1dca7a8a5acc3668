import { describe, expect, it } from 'vitest'
import { defineRoom } from '../../src/room/define.js'
import { defineSchema, u32 } from '../../src/schema/index.js'
import { readRoutes, routeFlags } from '../../src/wire/record.js'
import { committedSeq, recordOf } from '../../workers/history.js'
import { createLocalRoom } from '../support/local-room.js'

const schema = defineSchema('crowd', { globals: { left: u32, joined: u32 } })

describe('journal', () => {
  it('journal: thousands who join and leave at once are all heard, however many turns it takes', () => {
    const crowd = 4000
    const local = createLocalRoom(defineRoom(schema, {
      tickHz: 20, maxSessions: crowd, onJoin(room) { room.globals.joined++ }, onLeave(room) { room.globals.left++ },
    }))
    const clients = Array.from({ length: crowd }, () => local.join())
    for (let n = 0; n < 20; n++) local.turn()
    const refused = local.refused.length
    expect(local.refused.every((code) => code === 'no-space')).toBe(true)
    for (const client of clients) local.leave(client)
    for (let n = 0; n < 20; n++) local.turn()
    const { globals } = local.actor.room.author as unknown as { globals: { joined: number; left: number } }
    expect([globals.joined, globals.left, local.actor.room.book.size()]).toEqual([crowd - refused, crowd - refused, 0])
    expect(globals.joined).toBeGreaterThan(700)
  })

  for (const tickHz of [0, 20]) {
    it(`journal: what leaves no trace does not fill it: a full and quiet room refuses the thousandth as it did the first, at ${tickHz} Hz`, () => {
      const local = createLocalRoom(defineRoom(schema, { tickHz, maxSessions: 1 }))
      const first = local.join()
      local.turn()
      for (let n = 0; n < 1000; n++) {
        const client = local.join()
        local.turn()
        local.leave(client)
        local.turn()
      }
      expect(local.refused).toEqual(new Array(1000).fill('room-full'))
      local.leave(first)
      local.turn()
      const last = local.join()
      local.turn()
      expect([local.actor.room.book.size(), last.slot, last.replication.state]).toEqual([1, 0, 'live'])
    })
  }

  it('journal: a session that its own onJoin ends is told so, though nothing else has happened', () => {
    const local = createLocalRoom(defineRoom(schema, { tickHz: 0, onJoin(_, session) { session.end() } }))
    local.turn()
    const before = committedSeq(local.arena, local.actor.room.layout)
    local.join()
    local.turn()
    const record = recordOf(local.arena, local.actor.room.layout, before + 1)!
    expect(readRoutes(local.arena, record.address)).toMatchObject([{ connection: 1, flags: routeFlags.left }])
  })

  it('journal: a join that is said again is answered again, though nothing else has happened; nobody enters twice', () => {
    const local = createLocalRoom(defineRoom(schema, { tickHz: 0, onJoin(room) { room.globals.joined++ } })), { arena, actor: { room } } = local
    const client = local.join(), routes = (): readonly number[][] => {
      const seq = committedSeq(arena, room.layout)
      return [[seq], ...readRoutes(arena, recordOf(arena, room.layout, seq)!.address).map(({ slot, flags }) => [slot, flags & routeFlags.joined])]
    }
    local.turn()
    const [[seq]] = routes()
    local.join({}, client)
    local.turn()
    expect(routes()).toEqual([[seq + 1], [client.slot, routeFlags.joined]])
    expect([room.book.size(), (room.author as unknown as { globals: { joined: number } }).globals.joined]).toEqual([1, 1])
  })
})
