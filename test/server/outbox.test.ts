import { describe, expect, it } from 'vitest'
import { AssertionError } from '../../src/base/assert.js'
import { allocateBlock } from '../../src/memory/arena.js'
import { snapshotKind } from '../../src/memory/crossing.js'
import type { RoomEntry } from '../../src/server/client.js'
import { deliverSnapshot } from '../../src/server/catch-up.js'
import type { Outbox } from '../../src/server/own-words.js'
import { createWorkerLink } from '../../src/server/worker-link.js'

describe('outbox', () => {
  it('outbox: a snapshot whose lengths lead out of what was posted, back, or nowhere is a failed assertion, and no loop', () => {
    const link = createWorkerLink(0, 16 * 1024 ** 2), { u32 } = link.arena, { address: base } = allocateBlock(link.arena, 1, 1)!
    const room = { link, base, clients: new Map() } as unknown as RoomEntry, address = base + 1024, bytes = 64
    const deliver = (first: number, second: number): void => {
      u32.fill(0, address >>> 2, address + bytes >>> 2)
      u32[address >>> 2] = first
      u32[address + 32 >>> 2] = second
      deliverSnapshot({} as Outbox, room, { roomKey: 1, kind: snapshotKind.snapshot, epoch: 1, seq: 1, tick: 1, address, bytes, targets: [] })
    }
    deliver(24, 24)
    deliver(17, 20)
    for (const length of [0, 25, 2 ** 31, 2 ** 32 - 1, 2 ** 32 - 8, 2 ** 32 - 40]) expect(() => deliver(24, length), `${length}`).toThrow(AssertionError)
  })
})
