/** `near` against a look at every row, whatever is spawned, moved and despawned between two queries of one turn. */
import { describe, expect, it } from 'vitest'
import { nextInt, seedPrng } from '../../src/base/prng.js'
import { defineRoom } from '../../src/room/define.js'
import { defineSchema, f32, table } from '../../src/schema/index.js'
import { createLocalRoom } from '../support/local-room.js'

const seed = Number(process.env.SEED ?? 2611), turns = 300, capacity = 12, world = 100
const schema = defineSchema('near', { tables: { spots: table({ x: f32, y: f32 }, { capacity, grid: { x: 'x', y: 'y', cell: 40 } }) } })

describe('near', () => {
  it('near: finds what lies within its radius, also where a row number is given out twice in one turn', () => {
    const state = new Uint32Array(4)
    seedPrng(state, seed)
    const int = (below: number): number => nextInt(state, below)
    let queries = 0, rowsFound = 0
    const room = createLocalRoom(defineRoom(schema, {
      onTick({ tables: { spots } }) {
        for (let n = 0; n < 40; n++) {
          const rows = [...spots.rows()], row = rows[int(Math.max(1, rows.length))], kind = int(4)
          if (kind === 0 && row !== undefined) spots.despawn(row)
          // A full table spawns again what lived and died since the last flush; rows that were told are kept back.
          else if (kind === 1) try { spots.spawn({ x: int(world), y: int(world) }) } catch { /* table-full */ }
          // A quarter of a cell is what a row may move within a turn.
          else if (kind === 2 && row !== undefined) spots.x[row] += int(2)
          else {
            const x = int(world), y = int(world), radius = 5 + int(60)
            const found = [...spots.near(x, y, radius)].sort((a, b) => a - b), there = [...spots.rows()].filter((at) => (spots.x[at] - x) ** 2 + (spots.y[at] - y) ** 2 <= radius * radius)
            expect(found, `SEED=${seed}`).toEqual(there)
            queries++
            rowsFound += found.length
          }
        }
      },
    }))
    for (let n = 0; n < turns; n++) room.turn()
    expect(queries).toBeGreaterThan(turns)
    expect(rowsFound).toBeGreaterThan(queries / 2)
  })
})
