/** A store that is slower than its rooms: no more than one snapshot of a room is on its way by cadence. */
import { describe, expect, it } from 'vitest'
import type { Backplane } from '../../src/backplane/backplane.js'
import { createOwnership } from '../../src/backplane/ownership.js'
import { continues } from '../../src/base/lineage.js'
import type { CatalogEntry } from '../../src/memory/crossing.js'
import { atStoring } from '../../src/memory/room-layout.js'
import { loadWord, storeWord } from '../../src/memory/views.js'
import { defineRoom } from '../../src/room/define.js'
import { defineSchema, u32 } from '../../src/schema/index.js'
import { askRelease } from '../../src/server/driver-calls.js'
import { createRooms, storeSnapshot } from '../../src/server/rooms.js'
import type { RoomEntry } from '../../src/server/client.js'
import { isStoreDue } from '../../workers/storing.js'
import { createLocalRoom } from '../support/local-room.js'

const counter = defineRoom(defineSchema('counter', { globals: { n: u32 } }), { tickHz: 20, onTick(room) { room.globals.n++ } })

describe('a slow store', () => {
  it('store: a room is not handed over again until the store has taken it, or failed to', async () => {
    const local = createLocalRoom(counter), { arena, actor: { room } } = local, { base } = room.layout
    const ends: { resolve(): void; reject(error: Error): void }[] = []
    const store = (): Promise<void> => new Promise((resolve, reject) => { ends.push({ resolve, reject }) })
    const rooms = createRooms([], { store, instance: 0 } as unknown as Backplane), told: string[] = []
    Object.assign(rooms.driver.hooks, { onStored: () => { told.push('stored') }, onStoreFailed: () => { told.push('failed') } })
    const ownership = createOwnership<Uint8Array>({ instance: 0, version: 1, leaseMs: Infinity, durability: 'snapshot', whenDetached: 'continue', random: () => 0.5, continues })
    ownership.lineage = [{ epoch: 1024, parentEpoch: 0, forkSeq: 0 }]
    const entry = { id: room.id, key: 1, state: 'open', base, link: { arena }, ownership, storedSeq: 0, type: { version: 1 } as CatalogEntry } as unknown as RoomEntry
    const post = (): void => { storeWord(arena, base + atStoring, 1); storeSnapshot(rooms, entry, { epoch: 1024, seq: 1, tick: 1 }, new Uint8Array(8)) }
    local.turn()
    room.storeDueMs = 0
    expect(isStoreDue(room, 1000)).toBe(true)
    for (const how of ['resolve', 'reject'] as const) {
      post()
      local.turn()
      expect(isStoreDue(room, 1e6)).toBe(false)
      ends.pop()![how](new Error('the disk is full'))
      await new Promise((resolve) => { setImmediate(resolve) })
      local.turn()
      expect([isStoreDue(room, 1e6), loadWord(arena, base + atStoring)]).toEqual([true, 0])
    }
    expect(told).toEqual(['stored', 'failed'])
    // Written while another instance took the room, which went on without it: nothing is asked of the store.
    const { lineage } = ownership
    ownership.lineage = [{ epoch: 2048, parentEpoch: 0, forkSeq: 0 }]
    post()
    expect([ends.length, told.splice(0), loadWord(arena, base + atStoring)]).toEqual([0, ['stored', 'failed', 'failed'], 0])
    ownership.lineage = lineage
    // Behind its close the block may be another room's.
    post()
    entry.state = 'closed'
    ends.pop()!.resolve()
    await new Promise((resolve) => { setImmediate(resolve) })
    expect(loadWord(arena, base + atStoring)).toBe(1)
  })

  it('store: a room that is given away keeps its lease until the store has what it was given away with', async () => {
    const calls: string[] = [], ends: (() => void)[] = []
    const store = (_: string, __: number, { seq }: { seq: number }): Promise<void> => new Promise((resolve) => { calls.push(`store ${seq}`); ends.push(resolve) })
    const release = (): Promise<void> => { calls.push('release'); return Promise.resolve() }
    const rooms = createRooms([], { store, release, instance: 0 } as unknown as Backplane)
    Object.assign(rooms.driver.hooks, { onStored: () => {}, onStoreFailed: () => {} })
    const ownership = createOwnership<Uint8Array>({ instance: 0, version: 1, leaseMs: Infinity, durability: 'snapshot', whenDetached: 'continue', random: () => 0.5, continues })
    ownership.lineage = [{ epoch: 1024, parentEpoch: 0, forkSeq: 0 }]
    // Whatever is told to its worker waits behind what is owed.
    const link = { owed: [{ kind: 0, words: [] }], arena: createLocalRoom(counter).arena }
    const entry = { id: 'counter:a', key: 1, state: 'opening', enlistedMs: -Infinity, base: 0, link, ownership, storedSeq: 0, type: { version: 1, durability: 'snapshot' } as CatalogEntry } as unknown as RoomEntry
    const post = (seq: number): void => storeSnapshot(rooms, entry, { epoch: 1024, seq, tick: 1 }, new Uint8Array(8))
    const settle = (): Promise<void> => new Promise((resolve) => { ends.shift()!(); setImmediate(resolve) })
    entry.state = 'open'
    askRelease(rooms.driver, entry, { kind: 'release', epoch: 1024, stored: { position: { epoch: 1024, seq: 7 }, lineage: ownership.lineage } })
    // One that was on its way already does not count.
    post(6)
    entry.state = 'opening'
    await settle()
    expect([calls.splice(0), entry.afterStore !== undefined]).toEqual([['store 6'], true])
    post(7)
    expect(entry.afterStore).not.toBe(undefined)
    await settle()
    expect([calls, entry.afterStore]).toEqual([['store 7', 'release'], undefined])
  })
})
