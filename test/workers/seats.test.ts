/** Seats of a room that is full, and of those who come as others leave. */
import { describe, expect, it } from 'vitest'
import { nextInt, seedPrng } from '../../src/base/prng.js'
import { defineRoom } from '../../src/room/define.js'
import { defineSchema, u32 } from '../../src/schema/index.js'
import { createLocalRoom, type LocalClient } from '../support/local-room.js'

const schema = defineSchema('seats', { globals: { left: u32, joined: u32 } })
const room = (tickHz: number, maxSessions: number) =>
  defineRoom(schema, { tickHz, maxSessions, onJoin(room) { room.globals.joined++ }, onLeave(room) { room.globals.left++ } })

describe('seats', () => {
  for (const tickHz of [0, 20]) {
    it(`seats: who comes in the turn in which the last seat becomes free gets it, at ${tickHz} Hz`, () => {
      const local = createLocalRoom(room(tickHz, 1))
      let inside = local.join()
      local.turn()
      for (let n = 0; n < 20; n++) {
        local.leave(inside)
        inside = local.join()
        local.turn()
        local.turn()
        expect([inside.replication.state, inside.slot, local.actor.room.book.size()]).toEqual(['live', 0, 1])
      }
      expect(local.refused).toEqual([])
    })
  }

  it('seats: whatever the order in which clients come and go, nobody is turned away for a seat that is free', () => {
    const seed = Number(process.env.SEED ?? Date.now() >>> 0), random = new Uint32Array(4), seats = 5
    seedPrng(random, seed)
    const local = createLocalRoom(room(0, seats)), inside: LocalClient[] = []
    for (let n = 0; n < 3000; n++) {
      for (let moves = nextInt(random, 12); moves > 0; moves--) {
        if (inside.length < seats && nextInt(random, 2) === 0) inside.push(local.join())
        else if (inside.length > 0) local.leave(inside.splice(nextInt(random, inside.length), 1)[0])
      }
      // What came behind a join that had to wait is heard in the next turns.
      for (let turns = 0; turns < 12; turns++) local.turn()
      expect([local.actor.room.book.size(), local.refused], `SEED=${seed}`).toEqual([inside.length, []])
    }
  })
})
