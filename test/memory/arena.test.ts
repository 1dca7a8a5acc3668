import { describe, expect, it } from 'vitest'
import { blockBytesMin } from '../../src/base/limits.js'
import { nextInt, seedPrng } from '../../src/base/prng.js'
import { allocateBlock, armDoorbell, createArena, disarmDoorbell, freeBlock, freeBytes, holdsGeneration, openBlocks, takeGeneration, type Block } from '../../src/memory/arena.js'

const seed = Number(process.env.SEED ?? 9)

describe('arena', () => {
  it('arena: blocks never overlap, are aligned to their size and read zero, and all space comes back', () => {
    const state = new Uint32Array(4), arena = createArena(64 * 1024 ** 2, 3), before = freeBytes(arena), blocks: Block[] = []
    seedPrng(state, seed)
    for (let n = 0; n < 200; n++) {
      if (nextInt(state, 2) === 0 || blocks.length === 0) {
        const block = allocateBlock(arena, n + 1, 1 + nextInt(state, 3_000_000))
        if (block === undefined) continue
        expect(block.address % block.bytes, `SEED=${seed}`).toBe(0)
        for (const other of blocks) expect(block.address >= other.address + other.bytes || block.address + block.bytes <= other.address, `SEED=${seed}`).toBe(true)
        expect(arena.u8.slice(block.address, block.address + block.bytes).every((byte) => byte === 0), `SEED=${seed}`).toBe(true)
        arena.u8.fill(255, block.address, block.address + block.bytes)
        blocks.push(block)
      } else freeBlock(arena, blocks.splice(nextInt(state, blocks.length), 1)[0])
    }
    expect(openBlocks(arena).map(({ roomKey }) => roomKey).sort()).toEqual(blocks.map(({ roomKey }) => roomKey).sort())
    for (const block of blocks) freeBlock(arena, block)
    expect(freeBytes(arena)).toEqual(before)
    expect(allocateBlock(arena, 1, 1)!.bytes).toBe(blockBytesMin)
  })

  it('arena: a room that fits no block gets none', () => {
    expect(allocateBlock(createArena(16 * 1024 ** 2, 0), 1, 32 * 1024 ** 2)).toBeUndefined()
  })

  it('arena: a newer thread voids the older one, and the bell rings once until it is disarmed', () => {
    const arena = createArena(16 * 1024 ** 2, 0), first = takeGeneration(arena)
    expect([armDoorbell(arena), armDoorbell(arena)]).toEqual([true, false])
    disarmDoorbell(arena)
    expect(armDoorbell(arena)).toBe(true)
    const second = takeGeneration(arena)
    expect([holdsGeneration(arena, first), holdsGeneration(arena, second), armDoorbell(arena)]).toEqual([false, true, true])
  })
})
