/** What a worker counts and says of its time: plain numbers in, what the main thread is told out. */
import { describe, expect, it } from 'vitest'
import type { ActiveRoom } from '../../workers/active-room.js'
import { addTurn, createLoadWindow, createRoomLoad, lookAtLoad } from '../../workers/load.js'
import { count, countTurn, createTally, isTallyDue, takeTally } from '../../workers/tally.js'

describe('tally', () => {
  it('tally: a first count is told at once, further ones a moment later, and nothing twice', () => {
    const tally = createTally(['arena']), take = (nowMs: number): [string, number][] => takeTally(tally, nowMs, 1, () => 0).counts.map(({ metric, by }) => [metric, by])
    expect(take(1000)).toEqual([])
    expect(isTallyDue(tally, 1001)).toBe(false)
    count(tally, 'ticksMissed', { type: 'arena' }, 3)
    expect(isTallyDue(tally, 1001)).toBe(true)
    expect(take(1001)).toEqual([['ticksMissed', 3]])
    for (let n = 0; n < 100; n++) { count(tally, 'ticksMissed', { type: 'arena' }, 1); count(tally, 'handlerErrors', { type: 'arena', handler: 'onTick' }, 1) }
    expect(isTallyDue(tally, 1002)).toBe(false)
    expect(isTallyDue(tally, 1251)).toBe(true)
    expect(take(1251)).toEqual([['ticksMissed', 100], ['handlerErrors', 100]])
    expect(take(1500)).toEqual([])
  })

  it('tally: every turn is in one bucket of its type; one without a time of its own is not late', () => {
    const tally = createTally(['arena', 'counter'])
    for (const ms of [0.05, 0.1, 0.2, 30, 5000]) countTurn(tally, 'arena', ms, ms)
    countTurn(tally, 'counter', 1, Infinity)
    countTurn(tally, 'counter', 1, -2)
    const { types, late } = takeTally(tally, 0, 1, (type) => type.length)
    expect(types.map(({ type, turns, sessions }) => [type, turns.counts.reduce((a, b) => a + b), turns.counts.at(-1), sessions])).toEqual([['arena', 5, 1, 5], ['counter', 2, 0, 7]])
    expect(types[0].turns.sum).toBeCloseTo(5.03035)
    expect([late.counts.reduce((a, b) => a + b), late.counts[0]]).toEqual([6, 4])
  })
})

describe('load', () => {
  const roomOf = (id: string, tickHz: number): ActiveRoom => ({ id, load: createRoomLoad(), flushSkipped: false, type: { definition: { tickHz } } }) as unknown as ActiveRoom
  const run = (room: ActiveRoom, turns: number, ms: number, missed: number): void => { for (let n = 0; n < turns; n++) addTurn(room, ms); room.load.missed += missed }

  it('load: the room that took the time is named, not the one that missed the most', () => {
    const hog = roomOf('arena:hog', 20), victims = Array.from({ length: 5 }, (_, n) => roomOf(`arena:${n}`, 20)), window = createLoadWindow(0)
    run(hog, 16, 124, 14)
    for (const room of victims) run(room, 16, 0.2, 15)
    const [{ text, fields }] = lookAtLoad(window, 3, [...victims, hog], 2000)
    expect(text).toBe('worker 3 cannot keep up: its rooms missed 89 of 185 ticks in 2.0 s; most of the time went to arena:hog: 1984 ms, up to 124 ms a turn. Make its handlers cheaper, lower its tickHz, or give more --workers')
    expect(fields).toMatchObject({ worker: 3, room: 'arena:hog', ticksMissed: 89, ticks: 185, seconds: 2 })
    expect((fields.rooms as unknown[])[0]).toEqual({ room: 'arena:hog', ms: 1984, msMax: 124, ticksMissed: 14 })
  })

  it('load: a machine that stood still is not blamed on a room', () => {
    const rooms = [roomOf('arena:a', 20), roomOf('arena:b', 20)]
    for (const room of rooms) run(room, 60, 0.5, 78)
    const [{ text, fields }] = lookAtLoad(createLoadWindow(0), 0, rooms, 7000)
    expect(text).toContain('though their turns were short: the machine is busy, or the process was paused')
    expect(fields.room).toBeUndefined()
  })

  it('load: a tick or two, or few of many, are nobody\'s business; one line in ten seconds, each about its own time', () => {
    const room = roomOf('arena:a', 20), window = createLoadWindow(0), look = (nowMs: number): number => lookAtLoad(window, 0, [room], nowMs).length
    run(room, 20, 1, 2)
    expect(look(1000)).toBe(0)
    run(room, 200, 1, 1)
    expect(look(2000)).toBe(0)
    run(room, 20, 60, 20)
    expect(look(3000)).toBe(1)
    run(room, 20, 60, 20)
    expect(look(4000)).toBe(0)
    expect(look(13_000)).toBe(1)
    expect(look(24_000)).toBe(0)
  })

  it('load: flushes that are put off name the room that waits most', () => {
    const waiting = { ...roomOf('arena:a', 20), flushSkipped: true }
    run(waiting, 30, 1, 0)
    const [{ text, fields }] = lookAtLoad(createLoadWindow(0), 1, [roomOf('arena:b', 20), waiting], 1500)
    expect(text).toMatch(/^worker 1 put off 30 flushes in 1\.5 s, most of arena:a: the main thread has not taken its records/)
    expect(fields).toMatchObject({ worker: 1, room: 'arena:a', flushesSkipped: 30 })
  })
})
