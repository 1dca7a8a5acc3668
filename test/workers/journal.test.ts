import { describe, expect, it } from 'vitest'
import { defineRoom } from '../../src/room/define.js'
import { defineSchema, u32 } from '../../src/schema/index.js'
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
    expect(local.refused.every((code) => code === 'journal-full')).toBe(true)
    for (const client of clients) local.leave(client)
    for (let n = 0; n < 20; n++) local.turn()
    const { globals } = local.actor.room.author as unknown as { globals: { joined: number; left: number } }
    expect([globals.joined, globals.left, local.actor.room.book.size]).toEqual([crowd - refused, crowd - refused, 0])
    expect(globals.joined).toBeGreaterThan(500)
  })
})
