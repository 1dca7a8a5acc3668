/** The ownership machine, decision by decision. What all of them do together is simulated in test/sim. */
import { describe, expect, it } from 'vitest'
import { createForwarding, expireHeld, findStalled, forwardHeld, moveLane, openLane, takeBack, takeInput, wantAgain, type ForwardedInput } from '../../src/backplane/forwarding.js'
import { accepts } from '../../src/base/input-order.js'
import { continues, countBeyond, extend, isOn, positionOf, upTo, type Lineage } from '../../src/base/lineage.js'
import { createOwnership, isAttached, isOvertaken, step } from '../../src/backplane/ownership.js'
import type { Effect, Event, Ownership, Settings } from '../../src/backplane/protocol.js'

type Room = Ownership<string>
const me = 7, other = 8, third = 9
const open = (settings: Partial<Settings> = {}): Room => createOwnership<string>({
  instance: me, version: 1, leaseMs: 1000, durability: 'snapshot', whenDetached: 'continue', random: () => 0.5, continues, ...settings,
})

/** Steps through events, each with its time; gives the effects of the last. */
function play(room: Room, ...events: readonly (readonly [number, Event<string>])[]): Effect<string>[] {
  let effects: Effect<string>[] = []
  for (const [nowMs, event] of events) effects = step(room, event, nowMs)
  return effects
}
const kinds = (effects: readonly Effect<string>[]): string[] => effects.map(({ kind }) => kind)
const of = <K extends Effect<string>['kind']>(effects: readonly Effect<string>[], kind: K): Extract<Effect<string>, { kind: K }> | undefined =>
  effects.find((effect): effect is Extract<Effect<string>, { kind: K }> => effect.kind === kind)

const granted = (epoch: number, sentMs: number, more: Partial<Extract<Event<string>, { kind: 'granted' }>> = {}): Event<string> =>
  ({ kind: 'granted', epoch, previous: 0, sentMs, stored: undefined, ended: 0, ...more })
const record = (epoch: number, seq: number, parentEpoch = 0, forkSeq = 0, owner = other): Event<string> =>
  ({ kind: 'record', head: { epoch, seq, parentEpoch, forkSeq }, owner, body: `${epoch}-${seq}` })
const beat = (epoch: number, seq: number, parentEpoch = 0, forkSeq = 0, owner = other): Event<string> =>
  ({ kind: 'beat', head: { epoch, seq, parentEpoch, forkSeq }, owner, durableSeq: seq })
const time: Event<string> = { kind: 'time' }

/** An owner of a new room, epoch 10, its lease sent at 0. */
function owner(settings: Partial<Settings> = {}): Room {
  const room = open(settings)
  play(room, [0, { kind: 'wanted' }], [5, granted(10, 0)], [160, time])
  expect(room.role).toBe('owning')
  return room
}

/** An edge with a replica at (10, seq), all of whose records it was sent by `other`. */
function edge(seq: number, settings: Partial<Settings> = {}): Room {
  const room = open(settings)
  play(room, [0, { kind: 'wanted' }], [2, { kind: 'held', owner: other, epoch: 10, leftMs: 900 }])
  const lineage: Lineage = [{ epoch: 10, parentEpoch: 0, forkSeq: 0 }]
  play(room, [4, { kind: 'state', request: room.requests, position: { epoch: 10, seq }, lineage, body: 'state' }], [5, beat(10, seq)])
  expect([room.role, room.position, room.question]).toEqual(['following', { epoch: 10, seq }, undefined])
  return room
}

describe('lineage', () => {
  it('lineage: a record is taken by its parent alone: seq + 1 and a newer epoch are not enough', () => {
    const at = { epoch: 10, seq: 5 }
    expect(continues(at, { epoch: 10, seq: 6, parentEpoch: 0, forkSeq: 0 })).toBe(true)
    expect(continues(at, { epoch: 20, seq: 6, parentEpoch: 10, forkSeq: 5 })).toBe(true)
    expect(continues(at, { epoch: 20, seq: 6, parentEpoch: 10, forkSeq: 4 })).toBe(false)
    expect(continues(at, { epoch: 20, seq: 6, parentEpoch: 15, forkSeq: 5 })).toBe(false)
    expect(continues(at, { epoch: 10, seq: 7, parentEpoch: 0, forkSeq: 0 })).toBe(false)
  })

  it('lineage: an epoch without records is no part of a position', () => {
    expect(positionOf({ epoch: 30, seq: 5, parentEpoch: 10, forkSeq: 5 })).toEqual({ epoch: 10, seq: 5 })
    const forks = extend([{ epoch: 10, parentEpoch: 0, forkSeq: 0 }], { epoch: 30, parentEpoch: 10, forkSeq: 5 })
    expect(upTo(forks, { epoch: 10, seq: 5 })).toEqual([{ epoch: 10, parentEpoch: 0, forkSeq: 0 }])
  })

  it('lineage: who was away for several owners counts what it gives up to the record', () => {
    const mine: Lineage = [{ epoch: 10, parentEpoch: 0, forkSeq: 0 }]
    const theirs: Lineage = [...mine, { epoch: 20, parentEpoch: 10, forkSeq: 15 }, { epoch: 30, parentEpoch: 20, forkSeq: 40 }]
    expect([isOn(theirs, { epoch: 10, seq: 15 }), isOn(theirs, { epoch: 10, seq: 16 }), isOn(theirs, { epoch: 20, seq: 15 })]).toEqual([true, false, false])
    expect(countBeyond(mine, { epoch: 10, seq: 21 }, theirs, { epoch: 30, seq: 44 })).toBe(6)
    expect(countBeyond(mine, { epoch: 10, seq: 12 }, theirs, { epoch: 30, seq: 44 })).toBe(0)
    expect(countBeyond([{ epoch: 99, parentEpoch: 0, forkSeq: 0 }], { epoch: 99, seq: 7 }, theirs, { epoch: 30, seq: 44 })).toBe(7)
  })
})

describe('ownership: claiming', () => {
  it('ownership: a newcomer takes a free room at once, and leaves one whose owner died to those with a replica for half a lease', () => {
    const room = open()
    expect(of(play(room, [0, { kind: 'wanted' }]), 'claim')?.take).toBe('free')
    play(room, [2, { kind: 'unowned', epoch: 10 }])
    expect(of(play(room, [400, time]), 'claim')).toBe(undefined)
    expect(of(play(room, [600, time]), 'claim')?.take).toBe('orphaned')
  })

  it('ownership: an edge that hears nothing for a lease subscribes anew, tells its clients, and claims', () => {
    const room = edge(5)
    expect(play(room, [900, time]).some(({ kind }) => kind === 'claim')).toBe(false)
    expect(kinds(play(room, [1010, time]))).toEqual(expect.arrayContaining(['detached', 'subscribe']))
    expect(of(play(room, [1100, time]), 'claim')).toMatchObject({ take: 'orphaned', seen: 10 })
  })

  it('ownership: behind an outage an edge claims nothing for one lease', () => {
    const room = edge(5)
    play(room, [900, { kind: 'unreachable' }], [1500, { kind: 'reachable' }])
    expect(of(play(room, [1600, time]), 'claim')?.take ?? 'nothing').toBe('nothing')
    play(room, [1610, { kind: 'unowned', epoch: 10 }])
    expect(of(play(room, [2700, time]), 'claim')?.take).toBe('orphaned')
  })

  it('ownership: an instance with older code, and one that drains, only asks who owns the room', () => {
    const older = edge(5), draining = edge(5)
    play(older, [1050, time], [1100, time], [1102, { kind: 'versionOlder' }])
    expect(of(play(older, [1500, time]), 'claim')?.take).toBe('nothing')
    play(draining, [500, { kind: 'drain' }], [1050, time])
    expect(of(play(draining, [1150, time]), 'claim')?.take).toBe('nothing')
  })
})

describe('ownership: takeover', () => {
  it('ownership: a winner announces, waits for something newer, fetches the newest, and runs from there', () => {
    const room = edge(5)
    play(room, [1010, time], [1100, time])
    expect(of(play(room, [1105, granted(20, 1100, { stored: { epoch: 10, seq: 3 } })]), 'announce')).toEqual({ kind: 'announce', epoch: 20, position: { epoch: 10, seq: 5 } })
    play(room, [1110, { kind: 'offered', from: other, epoch: 20, position: { epoch: 10, seq: 8 } }], [1112, { kind: 'offered', from: third, epoch: 20, position: { epoch: 10, seq: 9 } }])
    expect(kinds(play(room, [1200, time]))).toEqual([])
    const asked = of(play(room, [1260, time]), 'ask')
    expect(asked).toMatchObject({ to: third, position: { epoch: 10, seq: 5 }, isFetch: true })
    const records = [6, 7, 8, 9].map((seq) => ({ head: { epoch: 10, seq, parentEpoch: 0, forkSeq: 0 }, owner: third, body: String(seq) }))
    const effects = play(room, [1270, { kind: 'records', request: asked!.request, records }])
    expect(kinds(effects).filter((kind) => kind === 'apply').length).toBe(4)
    expect(of(effects, 'run')).toEqual({ kind: 'run', epoch: 20, parentEpoch: 10, forkSeq: 9, isNew: false })
  })

  it('ownership: a winner whose store is ahead of every replica loads it, and never opens a room whose data it cannot read', () => {
    const room = edge(5)
    play(room, [1010, time], [1100, time], [1105, granted(20, 1100, { stored: { epoch: 10, seq: 8 } })])
    expect(of(play(room, [1260, time]), 'load')).toEqual({ kind: 'load', from: { epoch: 10, seq: 5 } })
    play(room, [1270, { kind: 'loadFailed' }])
    expect(room.role).toBe('gathering')
    expect(kinds(play(room, [1380, time]))).toContain('load')
    const loaded = play(room, [1390, { kind: 'loaded', position: { epoch: 10, seq: 8 }, lineage: [{ epoch: 10, parentEpoch: 0, forkSeq: 0 }] }])
    expect(of(loaded, 'run')).toMatchObject({ parentEpoch: 10, forkSeq: 8 })
  })

  it('ownership: an owner that hears a later one announced stops, and offers all that it has', () => {
    const room = owner()
    play(room, [200, { kind: 'flushed', seq: 1 }], [300, { kind: 'flushed', seq: 2 }])
    const effects = play(room, [400, { kind: 'announced', epoch: 20, owner: other, position: { epoch: 10, seq: 1 } }])
    expect(kinds(effects)).toEqual(['follow', 'offer'])
    expect(of(effects, 'offer')?.position).toEqual({ epoch: 10, seq: 2 })
  })

  it('ownership: a winner whose lease ran out while it gathered does not run before it is renewed', () => {
    const room = open()
    play(room, [0, { kind: 'wanted' }], [1200, granted(10, 0)])
    expect(kinds(play(room, [1400, time]))).toEqual(['renew'])
    play(room, [1405, { kind: 'renewed', sentMs: 1400 }])
    expect(kinds(play(room, [1410, time]))).toContain('run')
  })
})

describe('ownership: the lease', () => {
  it('ownership: a lease counts from before its claim was sent, and ends a margin early', () => {
    const room = owner()
    expect([isAttached(room, 899), isAttached(room, 901)]).toEqual([true, false])
    play(room, [340, time], [880, { kind: 'renewed', sentMs: 340 }])
    expect([isAttached(room, 1239), isAttached(room, 1241)]).toEqual([true, false])
  })

  it('ownership: behind its lease\'s end a room plays on or freezes, as its author said, and goes on when it is renewed', () => {
    const plays = owner(), freezes = owner({ whenDetached: 'freeze' })
    expect(kinds(play(plays, [950, time]))).not.toContain('pause')
    expect(kinds(play(freezes, [950, time]))).toEqual(expect.arrayContaining(['detached', 'pause']))
    expect(kinds(play(freezes, [990, { kind: 'renewed', sentMs: 980 }]))).toEqual(expect.arrayContaining(['attached', 'goOn', 'beat']))
  })

  it('ownership: an owner that played on alone and is none any more is attached as soon as it hears the next one', () => {
    const room = owner()
    expect(kinds(play(room, [1200, time]))).toContain('detached')
    expect(kinds(play(room, [1210, { kind: 'stale', epoch: 10, by: 20, owner: other }]))).not.toContain('attached')
    expect(kinds(play(room, [1220, beat(20, 5, 10, 0)]))).toContain('attached')
    expect(kinds(play(room, [1230, beat(20, 5, 10, 0)]))).not.toContain('attached')
  })

  it('ownership: a refused write ends the ownership it was made with, and no later one', () => {
    const room = owner()
    expect(kinds(play(room, [300, { kind: 'stale', epoch: 9, by: 10, owner: me }]))).toEqual([])
    expect(kinds(play(room, [300, { kind: 'stale', epoch: 10, by: 20, owner: other }]))).toEqual(['follow', 'ask'])
    expect([room.role, room.owner, room.seen]).toEqual(['following', other, 20])
  })

  it('ownership: an owner whose own late claim was carried out after all claims again at once', () => {
    const room = owner()
    play(room, [300, { kind: 'stale', epoch: 10, by: 20, owner: me }])
    expect(of(play(room, [360, time]), 'claim')).toMatchObject({ take: 'orphaned', seen: 20 })
  })

  it('ownership: a Redis that forgot is reminded: of two owners the higher epoch wins', () => {
    const room = owner()
    play(room, [300, { kind: 'stale', epoch: 10, by: 4, owner: other }])
    expect(room.role).toBe('owning')
    expect(kinds(play(room, [301, time]))).toContain('renew')
  })

  it('ownership: an owner that is asked by somebody who knows a later epoch stops, and claims above it', () => {
    const room = owner()
    const effects = play(room, [300, { kind: 'asked', from: other, request: 1, position: undefined, seen: 25, isFetch: false }])
    expect(kinds(effects)).toEqual(['follow', 'claim'])
    expect(of(effects, 'claim')?.seen).toBe(25)
  })

  it('ownership: sessions of instances that have not been heard for a lease are swept, but not while their silence may be ours', () => {
    const room = owner()
    play(room, [200, { kind: 'present', from: other, version: 1, isDraining: false, hasReplica: true }])
    expect(of(play(room, [350, time]), 'sweep')).toBe(undefined)
    play(room, [700, time], [710, { kind: 'renewed', sentMs: 700 }])
    expect(of(play(room, [1170, time]), 'sweep')).toEqual({ kind: 'sweep', alive: [me, other] })
    play(room, [1180, { kind: 'renewed', sentMs: 1170 }])
    expect(of(play(room, [1510, time]), 'sweep')?.alive).toEqual([me])
  })

  it('ownership: a detached owner sends away who comes from a later one; an attached one takes nobody\'s word', () => {
    const room = owner()
    expect([isOvertaken(room, { epoch: 20, seq: 1 }, 500), isOvertaken(room, { epoch: 20, seq: 1 }, 950), isOvertaken(room, { epoch: 10, seq: 1 }, 950)]).toEqual([false, true, false])
  })
})

describe('ownership: edges', () => {
  it('ownership: records are applied in order; one behind a gap waits, and is applied when the answer has come', () => {
    const room = edge(5)
    expect(kinds(play(room, [10, record(10, 6)]))).toEqual(['apply'])
    expect(kinds(play(room, [11, record(10, 6)]))).toEqual([])
    const asked = of(play(room, [12, record(10, 8)]), 'ask')
    expect(asked).toMatchObject({ to: other, position: { epoch: 10, seq: 6 } })
    expect(kinds(play(room, [13, record(10, 9)]))).toEqual([])
    const answer = [7, 8].map((seq) => ({ head: { epoch: 10, seq, parentEpoch: 0, forkSeq: 0 }, owner: other, body: String(seq) }))
    expect(kinds(play(room, [14, { kind: 'records', request: asked!.request, records: answer }]))).toEqual(['apply', 'apply', 'apply'])
    expect(room.position).toEqual({ epoch: 10, seq: 9 })
  })

  it('ownership: what a lower epoch than the highest heard of says is void, and its owner is told', () => {
    const room = edge(5)
    play(room, [10, beat(20, 5, 10, 5, third)])
    const effects = play(room, [11, record(10, 6, 0, 0, other)])
    expect(kinds(effects)).toEqual(['ask'])
    expect(of(effects, 'ask')).toMatchObject({ to: other, seen: 20 })
    expect(room.position).toEqual({ epoch: 10, seq: 5 })
  })

  it('ownership: a copy beyond the fork asks, and counts what it gives up with the state it is given', () => {
    const room = edge(8)
    const asked = of(play(room, [10, record(20, 6, 10, 5, third)]), 'ask')
    const lineage: Lineage = [{ epoch: 10, parentEpoch: 0, forkSeq: 0 }, { epoch: 20, parentEpoch: 10, forkSeq: 5 }]
    const effects = play(room, [12, { kind: 'state', request: asked!.request, position: { epoch: 20, seq: 6 }, lineage, body: 'state' }])
    expect(kinds(effects).slice(0, 2)).toEqual(['discard', 'adopt'])
    expect(of(effects, 'discard')).toEqual({ kind: 'discard', count: 3, from: { epoch: 10, seq: 8 } })
  })

  it('ownership: what a copy had that broke is counted against the next one', () => {
    const room = edge(8), lineage: Lineage = [{ epoch: 10, parentEpoch: 0, forkSeq: 0 }, { epoch: 20, parentEpoch: 10, forkSeq: 5 }]
    play(room, [10, record(20, 6, 10, 5, third)], [11, { kind: 'failed' }], [12, beat(20, 6, 10, 5, third)])
    const effects = play(room, [14, { kind: 'state', request: room.requests, position: { epoch: 20, seq: 6 }, lineage, body: 'state' }])
    expect(of(effects, 'discard')).toEqual({ kind: 'discard', count: 3, from: { epoch: 10, seq: 8 } })
    expect(room.broken).toBeUndefined()
  })

  it('ownership: an owner that begins to run is asked again at once: what it was asked while it gathered it has not answered', () => {
    const room = open()
    play(room, [0, { kind: 'wanted' }], [2, { kind: 'held', owner: other, epoch: 10, leftMs: 900 }])
    const { requests } = room
    expect(of(play(room, [160, beat(10, 0)]), 'ask')).toMatchObject({ to: other, request: requests + 1 })
    // From then on the answer is on its way.
    expect(play(room, [165, beat(10, 0)])).toEqual([])
  })

  it('ownership: an answer to another question than the open one is dropped', () => {
    const room = edge(5)
    play(room, [12, record(10, 8)])
    expect(kinds(play(room, [13, { kind: 'state', request: room.requests - 1, position: { epoch: 10, seq: 2 }, lineage: [], body: 'old' }]))).toEqual([])
    expect(room.position).toEqual({ epoch: 10, seq: 5 })
  })

  it('ownership: an owner answers with records from a position on its line, and else with state', () => {
    const room = owner()
    play(room, [200, { kind: 'flushed', seq: 1 }], [210, { kind: 'flushed', seq: 2 }])
    const asked = (position: { epoch: number; seq: number } | undefined): Effect<string>[] => play(room, [220, { kind: 'asked', from: other, request: 3, position, seen: 10, isFetch: false }])
    expect(of(asked({ epoch: 10, seq: 1 }), 'answer')?.from).toEqual({ epoch: 10, seq: 1 })
    expect(of(asked({ epoch: 9, seq: 1 }), 'answer')).toEqual({ kind: 'answer', to: other, request: 3, from: undefined })
    expect(of(asked({ epoch: 10, seq: 7 }), 'answer')?.from).toBe(undefined)
  })
})

describe('ownership: hand-over', () => {
  const present = (from: number, version: number, isDraining: boolean): Event<string> => ({ kind: 'present', from, version, isDraining, hasReplica: true })

  it('ownership: a drained owner stops, has the edge confirm, moves the lease, and follows', () => {
    const room = owner()
    play(room, [200, present(other, 1, false)], [210, present(third, 1, true)])
    expect(kinds(play(room, [220, { kind: 'drain' }]))).toEqual(['halt'])
    play(room, [225, { kind: 'flushed', seq: 1 }])
    const proposed = of(play(room, [226, { kind: 'halted' }]), 'propose')
    expect(proposed).toMatchObject({ to: other, position: { epoch: 10, seq: 1 } })
    expect(of(play(room, [230, { kind: 'confirmed', request: proposed!.request }]), 'handOver')).toMatchObject({ to: other, epoch: 10, position: { epoch: 10, seq: 1 } })
    expect(kinds(play(room, [235, { kind: 'handedOver', epoch: 20 }]))).toEqual(['follow'])
    expect([room.role, room.owner]).toEqual(['following', other])
  })

  it('ownership: without an edge of its version that does not drain itself, or without a confirmation in time, it stores and releases', () => {
    const alone = owner({ version: 2 }), waits = owner()
    play(alone, [200, present(other, 1, false)], [210, present(third, 2, true)])
    expect(kinds(play(alone, [220, { kind: 'drain' }]))).toEqual(['release', 'follow'])
    play(waits, [200, present(other, 1, false)], [220, { kind: 'drain' }], [221, { kind: 'halted' }], [400, time], [405, { kind: 'renewed', sentMs: 400 }])
    expect(of(play(waits, [1230, time]), 'release')?.stored?.position).toEqual({ epoch: 0, seq: 0 })
  })

  it('ownership: when nobody knows whether the lease has moved, a claim makes sure that it does not any more', () => {
    const room = owner()
    play(room, [200, present(other, 1, false)], [220, { kind: 'move', to: other }], [221, { kind: 'halted' }])
    play(room, [222, { kind: 'confirmed', request: room.requests }])
    expect(kinds(play(room, [700, { kind: 'handOverFailed' }]))).toEqual(['follow', 'claim'])
  })

  it('ownership: an edge confirms when it stands where the owner stopped, claims when the lease is its own, and runs without asking', () => {
    const room = edge(5)
    expect(kinds(play(room, [100, { kind: 'proposed', from: other, request: 4, position: { epoch: 10, seq: 6 } }]))).toEqual(['ask'])
    expect(kinds(play(room, [101, record(10, 6)]))).toEqual(['apply', 'confirm'])
    expect(kinds(play(room, [110, { kind: 'handed', epoch: 20, owner: me, position: { epoch: 10, seq: 6 } }]))).toEqual(['claim'])
    expect(of(play(room, [115, granted(30, 110, { previous: 20 })]), 'run')).toEqual({ kind: 'run', epoch: 30, parentEpoch: 10, forkSeq: 6, isNew: false })
  })

  it('ownership: if somebody else was granted the room in between, whom it was handed asks like every winner', () => {
    const room = edge(6)
    play(room, [110, { kind: 'handed', epoch: 20, owner: me, position: { epoch: 10, seq: 6 } }])
    expect(kinds(play(room, [115, granted(40, 110, { previous: 30 })]))).toEqual(['announce'])
  })
})

describe('ownership: the op log', () => {
  it('ownership: with ops-sync nothing is shown before the log has it, and the room stands still behind four records', () => {
    const room = owner({ durability: 'ops-sync' })
    expect(kinds(play(room, [200, { kind: 'flushed', seq: 1 }]))).toEqual(['publish'])
    play(room, [210, { kind: 'flushed', seq: 2 }], [220, { kind: 'flushed', seq: 3 }])
    expect(kinds(play(room, [230, { kind: 'flushed', seq: 4 }]))).toEqual(['publish', 'pause'])
    expect(kinds(play(room, [240, { kind: 'logged', epoch: 10, seq: 1 }]))).toEqual(['deliver', 'durable', 'goOn'])
  })

  it('ownership: a log that does not reach up to the record begins behind a stored snapshot', () => {
    const room = owner({ durability: 'ops-sync' })
    play(room, [200, { kind: 'flushed', seq: 1 }])
    expect(kinds(play(room, [205, { kind: 'logGap', epoch: 10 }]))).toEqual(['store'])
    play(room, [206, { kind: 'flushed', seq: 2 }])
    expect(play(room, [210, { kind: 'stored', epoch: 10, seq: 1 }])).toEqual([
      { kind: 'deliver', seq: 1 }, { kind: 'durable', seq: 1 }, { kind: 'publish', epoch: 10, seq: 2 },
    ])
  })

  it('ownership: whoever goes on from records that are not in the log stores them before it shows them', () => {
    const room = edge(5, { durability: 'ops-sync' })
    play(room, [1010, time], [1100, time], [1105, granted(20, 1100, { stored: { epoch: 10, seq: 3 } })])
    const effects = play(room, [1260, time])
    expect(kinds(effects)).toEqual(['run', 'beat', 'attached', 'store', 'renew'].filter((kind) => kinds(effects).includes(kind)))
    expect(kinds(effects)).not.toContain('deliver')
    expect(kinds(play(room, [1270, { kind: 'stored', epoch: 20, seq: 5 }]))).toContain('deliver')
  })

  it('ownership: a copy of a room that was closed for good is not run again, nor fetched from whoever has one', () => {
    const room = edge(5)
    play(room, [1010, time], [1100, time])
    expect(kinds(play(room, [1105, granted(20, 1100, { ended: 10 })]))).toEqual(['announce'])
    expect(room.position).toBe(undefined)
    play(room, [1110, { kind: 'offered', from: third, epoch: 20, position: { epoch: 10, seq: 9 } }])
    expect(play(room, [1260, time])).toContainEqual({ kind: 'run', epoch: 20, parentEpoch: 0, forkSeq: 0, isNew: true })
  })
})

describe('forwarding', () => {
  it('forwarding: an owner takes an input if, and only if, everything behind the last one is accounted for', () => {
    expect([accepts(4, 5, 5), accepts(4, 6, 6), accepts(4, 5, 7), accepts(4, 3, 4), accepts(4, 2, 5)]).toEqual(['take', 'hole', 'take', 'repeat', 'take'])
  })

  it('forwarding: without an owner inputs wait in order, expire, and are accounted for by the next', () => {
    const forwarding = createForwarding<string>()
    openLane(forwarding, 's', 3, 3, 0)
    expect(takeInput(forwarding, 's', 4, 4, 'a', { hasOwner: false, isRefused: false }, 0).kind).toBe('held')
    expect(takeInput(forwarding, 's', 5, 5, 'b', { hasOwner: false, isRefused: false }, 600).kind).toBe('held')
    expect(expireHeld(forwarding, 1000).map(({ number }) => number)).toEqual([4])
    expect(forwardHeld(forwarding, 1100)).toEqual([{ session: 's', from: 4, number: 5, body: 'b' }])
    expect(takeInput(forwarding, 's', 6, 6, 'c', { hasOwner: true, isRefused: false }, 1100)).toEqual({ kind: 'forward', input: { session: 's', from: 6, number: 6, body: 'c' } })
  })

  it('forwarding: what was sent before is never refused: a copy of it may be on its way', () => {
    const forwarding = createForwarding<string>()
    openLane(forwarding, 's', 3, 5, 0)
    for (const number of [4, 5, 6]) takeInput(forwarding, 's', number, number, 'x', { hasOwner: false, isRefused: false }, 0)
    expect(expireHeld(forwarding, 99_000).map(({ number }) => number)).toEqual([6])
    expect(forwardHeld(forwarding, 99_000).map(({ number }) => number)).toEqual([4, 5])
  })

  it('forwarding: a hole is asked for, and what nobody has taken for too long is asked for again', () => {
    const forwarding = createForwarding<string>()
    openLane(forwarding, 's', 0, 0, 0)
    expect(takeInput(forwarding, 's', 2, 2, 'x', { hasOwner: true, isRefused: false }, 0)).toEqual({ kind: 'want', number: 1 })
    for (const number of [1, 2, 3]) expect(takeInput(forwarding, 's', number, number, 'x', { hasOwner: true, isRefused: false }, 10).kind).toBe('forward')
    moveLane(forwarding, 's', 1, 20)
    expect(findStalled(forwarding, 519)).toEqual([])
    expect(findStalled(forwarding, 520)).toEqual([{ session: 's', number: 2 }])
    expect(takeInput(forwarding, 's', 2, 2, 'x', { hasOwner: true, isRefused: false }, 530)).toMatchObject({ kind: 'forward', input: { from: 2, number: 2 } })
    expect(wantAgain(forwarding, 's', 9, 540)).toBe(false)
  })

  it('forwarding: what is refused is answered for by the next input; what was sent before is let go instead, and asked for', () => {
    const forwarding = createForwarding<string>(), way = { hasOwner: true, isRefused: true }
    openLane(forwarding, 's', 0, 2, 0)
    expect(takeInput(forwarding, 's', 1, 1, 'x', way, 0).kind).toBe('forget')
    expect(findStalled(forwarding, 499)).toEqual([])
    expect(findStalled(forwarding, 500)).toEqual([{ session: 's', number: 1 }])
    for (const number of [1, 2]) takeInput(forwarding, 's', number, number, 'x', { ...way, isRefused: false }, 510)
    expect(takeInput(forwarding, 's', 3, 3, 'x', way, 520).kind).toBe('refuse')
    expect(takeInput(forwarding, 's', 4, 4, 'x', { ...way, isRefused: false }, 530)).toMatchObject({ kind: 'forward', input: { from: 3, number: 4 } })
  })

  it('forwarding: what the owner had no place for is refused if nobody has seen it, else it is as if it had not come', () => {
    const forwarding = createForwarding<string>(), way = { hasOwner: true, isRefused: false }
    openLane(forwarding, 's', 0, 0, 0)
    const forwarded = (number: number, atMs: number): ForwardedInput<string> => {
      const verdict = takeInput(forwarding, 's', number, number, 'x', way, atMs)
      if (verdict.kind !== 'forward') throw new Error(verdict.kind)
      return verdict.input
    }
    takeBack(forwarding, forwarded(1, 0), true, 0)
    const second = forwarded(2, 10)
    expect(second.from).toBe(1)
    takeBack(forwarding, second, false, 10)
    expect(findStalled(forwarding, 510)).toEqual([{ session: 's', number: 2 }])
    expect(forwarded(2, 520).from).toBe(1)
  })
})
