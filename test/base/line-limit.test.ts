import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createLineLimit } from '../../src/base/line-limit.js'

describe('line limit', () => {
  beforeEach(() => { vi.useFakeTimers({ toFake: ['performance'] }) })
  afterEach(() => { vi.useRealTimers() })

  it('line limit: a key may speak once in its time, and then says how often it was left out', () => {
    let leftOut = 0
    const lines = createLineLimit(1000, () => { leftOut++ })
    expect([lines.take('a'), lines.take('a'), lines.take('a'), lines.take('b')]).toEqual([0, undefined, undefined, 0])
    vi.advanceTimersByTime(1001)
    expect([lines.take('a'), lines.take('a'), lines.take('b')]).toEqual([2, undefined, 0])
    expect(leftOut).toBe(3)
  })

  it('line limit: a minute after its last line a key is forgotten, with what was left out', () => {
    const lines = createLineLimit()
    expect([lines.take('a'), lines.take('a')]).toEqual([0, undefined])
    vi.advanceTimersByTime(59_000)
    expect(lines.take('b')).toBe(0)
    vi.advanceTimersByTime(1000)
    expect([lines.take('c'), lines.take('a'), lines.take('b')]).toEqual([0, 0, 0])
  })

  it('line limit: however many keys there are, twenty lines are written in a second', () => {
    const lines = createLineLimit()
    const written = (): number => Array.from({ length: 50_000 }, (_, key) => lines.take(String(key))).filter((left) => left !== undefined).length
    expect(written()).toBe(20)
    vi.advanceTimersByTime(1001)
    expect(written()).toBe(20)
  })
})
