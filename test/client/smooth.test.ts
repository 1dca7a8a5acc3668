import { describe, expect, it } from 'vitest'
import { createReplica, shownValue, spawnRow, startSmoothing, touchRow, type NumberArray } from '../../src/client/table.js'

const table = {
  name: 'dots', capacity: 8, audience: 'everyone', ids: false,
  fields: [{ name: 'x', kind: 'f32', audience: 'everyone', bytes: 4, liveBytes: 4, default: 0 }],
} as const

describe('smooth', () => {
  it('smooth: a value moves to the next over one flush interval, from where it is shown; a new row starts at its value', () => {
    const replica = createReplica(table), [column] = replica.columns, values = column.values as NumberArray
    const set = (value: number, nowMs: number): void => { touchRow(replica, column, 2, nowMs, 100); values[2] = value }
    startSmoothing(column)
    spawnRow(replica, 2)
    set(500, 0)
    expect(shownValue(column, 2, 0, 100)).toBe(500)
    replica.spawned.clear()
    set(600, 1000)
    expect([1000, 1025, 1050, 1100, 1500].map((now) => shownValue(column, 2, now, 100))).toEqual([500, 525, 550, 600, 600])
    set(700, 1600)
    set(800, 1650)
    expect([1650, 1700, 1750].map((now) => shownValue(column, 2, now, 100))).toEqual([650, 725, 800])
  })
})
