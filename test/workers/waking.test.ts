/** What wakes a worker: ticks of its rooms, in groups; what cannot wait; and of inputs only those that no tick will find. */
import { describe, expect, it } from 'vitest'
import { inputRingBytes, tickGroupMs } from '../../src/base/limits.js'
import { atInputRing, atWake } from '../../src/memory/arena-layout.js'
import { inputWords, toWorker } from '../../src/memory/crossing.js'
import { waitingBytes, wakeCount } from '../../src/memory/ring.js'
import { defineRoom } from '../../src/room/define.js'
import { defineSchema, u32 } from '../../src/schema/index.js'
import type { Room } from '../../src/room/types.js'
import type { RoomEntry } from '../../src/server/client.js'
import { tellRoom } from '../../src/server/tell-owner.js'
import { createWorkerLink } from '../../src/server/worker-link.js'
import { openRoom } from '../../workers/open-room.js'
import type { Actor } from '../../workers/room-actor.js'
import { createRoomType } from '../../workers/room-type.js'
import { contextOf, createBenchWorker } from '../../bench/moving-room.js'
import { createLocalRoom } from '../support/local-room.js'

const schema = defineSchema('woken', { globals: { sum: u32 }, inputs: { add: { number: u32 } } })
const arenaBytes = 32 * 1024 ** 2

describe('waking', () => {
  it('waking: an input of a room that ticks wakes nobody, before the ring is a quarter full', () => {
    const link = createWorkerLink(0, arenaBytes), before = wakeCount(link.arena, atWake)
    const room = { link, key: 1, type: { tickHz: 20 } } as RoomEntry, words = new Array<number>(inputWords - 1).fill(0), data = new Uint8Array(1000)
    while (waitingBytes(link.arena, atInputRing) < inputRingBytes / 4 - 2048) expect(tellRoom(room, toWorker.input, words, data)).toBe(true)
    expect(wakeCount(link.arena, atWake)).toBe(before)
    for (let n = 0; n < 4; n++) tellRoom(room, toWorker.input, words, data)
    expect(wakeCount(link.arena, atWake)).toBeGreaterThan(before)
  })

  it('waking: an input of an event-driven room, and whatever else a room is told, wakes its worker at once', () => {
    const link = createWorkerLink(0, arenaBytes), words = [0, 0, 0]
    for (const [tickHz, kind] of [[0, toWorker.input], [20, toWorker.leave], [20, toWorker.resync]] as const) {
      const before = wakeCount(link.arena, atWake)
      tellRoom({ link, key: 1, type: { tickHz } } as RoomEntry, kind, words)
      expect(wakeCount(link.arena, atWake)).toBe(before + 1)
    }
  })

  it('waking: rooms of one rate tick in groups on a grid, and all groups have some', () => {
    for (const tickHz of [60, 20, 7]) {
      const tickMs = 1000 / tickHz, groups = Math.max(1, Math.floor(tickMs / tickGroupMs))
      const type = createRoomType(defineRoom(schema, { tickHz, maxSessions: 8 }), 0), context = contextOf(createBenchWorker()), none = new Uint8Array(0)
      const phases = Array.from({ length: 40 }, (_, n) => {
        const actor = openRoom(context, { key: n + 1, type, id: `woken:${n}`, epoch: 1024, parentEpoch: 0, forkSeq: 0, seq: 0, follows: false, stored: undefined, stays: false, match: none, options: none }) as Actor
        return actor.room.dueMs / tickMs * groups
      })
      const offGrid = phases.filter((phase) => Math.abs(phase - Math.round(phase)) > 1e-6)
      expect([tickHz, offGrid, new Set(phases.map((phase) => Math.round(phase) % groups)).size]).toEqual([tickHz, [], groups])
    }
  })

  it('waking: a room for 1,000 takes two inputs of each between two ticks', () => {
    const local = createLocalRoom(defineRoom(schema, { maxSessions: 1000, onInput: { add({ globals }, _, { number }) { globals.sum += number } } }))
    const clients = []
    for (let n = 0; n < 1000; n++) {
      clients.push(local.join())
      if (n % 50 === 49) local.turn()
    }
    for (let n = 0; n < 2; n++) for (const client of clients) local.input(client, 'add', { number: 1 })
    local.turn()
    expect([local.refused, (local.actor.room.author as unknown as Room<typeof schema>).globals.sum]).toEqual([[], 2000])
  })
})
