/** What client authors read: columns, row views, refs, smoothing. */
import { describe, expect, it } from 'vitest'
import { applySection, openSection } from '../../src/client/apply.js'
import { createReplica, type Replica } from '../../src/client/table.js'
import { createCallbacks, createClientTable, type ClientTable } from '../../src/client/tables.js'
import { changed, despawned, field, schema, section, slots, tables, thing, things, type SetSpec } from './fake-room.js'

type Things = ClientTable<typeof schema.tables.things.fields>

function createThings() {
  const replicas: Replica[] = tables.tables.map(createReplica), replica = replicas[things]
  const clock = { nowMs: 0 }, intervalMs = 100
  const view = createClientTable(replica, createCallbacks(), {
    nowMs: () => clock.nowMs, intervalMs: () => intervalMs, mine: () => undefined, replica: () => replica,
  }) as unknown as Things
  const apply = (...sets: SetSpec[]): void => {
    applySection(openSection(section({ seq: 1, sets }))!, replicas, { nowMs: clock.nowMs, intervalMs })
    for (const rows of [replica.spawned, replica.despawned, replica.changed]) rows.clear()
  }
  return { view, clock, apply }
}

const setX = (row: number, wire: number): SetSpec =>
  ({ table: things, what: changed, rows: [row], columns: [[field.x, Uint16Array.of(wire)]] })
const setNext = (row: number, to: number, generation: number): SetSpec =>
  ({ table: things, what: changed, rows: [row], columns: [[field.next, Uint32Array.of(to, generation | 1 << 16)]] })

describe('table', () => {
  it('table: a column captured before its rows came shows them', () => {
    const { view, apply } = createThings(), { x, hp } = view
    apply(thing(200, { x: 240, hp: 7 }))
    expect([x[200], hp[200], view.size, [...view.rows()]]).toEqual([20, 7, 1, [200]])
  })

  it('table: a row view reads its values, its id and its number, and is one object a row', () => {
    const { view, apply } = createThings()
    apply(thing(3, { id: 'ann', name: 'Ann', hp: 9 }))
    apply({ table: things, what: changed, rows: [3], columns: [[field.kind, Uint8Array.of(1)], [field.on, Uint8Array.of(1)]] })
    const row = view.get('ann')!
    expect([row.name, row.hp, row.kind, row.on, row.next]).toEqual(['Ann', 9, 'two', true, null])
    expect(row).toMatchObject({ row: 3, id: 'ann' })
    expect(view.at(3)).toBe(row)
    expect(view.get('bob')).toBeUndefined()
    expect(() => view.at(4)).toThrow('things: no row 4')
  })

  it('table: a ref reads null once its target is despawned, also when another row has its place', () => {
    const { view, apply } = createThings()
    apply(thing(1, { generation: 5 }), thing(2))
    apply(setNext(2, 1, 5))
    const ref = view.next.get(2)
    expect([view.row(ref), view.at(2).next]).toEqual([1, ref])
    apply({ table: things, what: despawned, rows: [1] })
    expect([view.next.get(2), view.row(ref)]).toEqual([null, undefined])
    apply(thing(1, { generation: 6 }))
    expect([view.next.get(2), view.row(ref)]).toEqual([null, undefined])
  })

  it('table: a list is decoded once, frozen, and anew when other bytes have come', () => {
    const { view, apply } = createThings()
    const setTags = (...bytes: number[]): SetSpec => ({ table: things, what: changed, rows: [1], columns: [[field.tags, slots(bytes)]] })
    apply(thing(1), setTags(2, 0, 7, 8))
    const first = view.tags.get(1)
    expect([first, view.at(1).tags === first, Object.isFrozen(first)]).toEqual([[7, 8], true, true])
    apply(setTags(1, 0, 9))
    expect([view.tags.get(1), first]).toEqual([[9], [7, 8]])
    apply(setTags(5, 0, 1, 2, 3, 4, 5))
    expect(() => view.tags.get(1)).toThrow('tags of row 1 is no list')
  })

  it('table: a bigint column is an array of 64 bits, and a list that never came is empty', () => {
    const { view, apply } = createThings()
    apply(thing(1), { table: things, what: changed, rows: [1], columns: [[field.big, BigUint64Array.of(2n ** 64n - 1n)]] })
    expect([view.big[1], view.at(1).big, view.big[2], view.at(1).tags, view.kept.get(1)]).toEqual([2n ** 64n - 1n, 2n ** 64n - 1n, 0n, [], []])
    apply({ table: things, what: changed, rows: [1], columns: [[field.kept, slots([1, 0, 9])]] })
    expect(view.kept.get(1)).toEqual([9])
    apply({ table: things, what: despawned, rows: [1] })
    apply(thing(1))
    expect(view.kept.get(1)).toEqual([])
  })

  it('table: a smoothed value follows its wire values, decoded, and holds at the newest', () => {
    const { view, clock, apply } = createThings()
    apply(thing(1, { x: 240 }))
    expect(view.smooth(1, 'x')).toBe(20)
    clock.nowMs = 5000
    apply(setX(1, 280))
    expect([0, 25, 50, 100, 5000].map((ms) => { clock.nowMs = 5000 + ms; return view.smooth(1, 'x') })).toEqual([20, 25, 30, 40, 40])
  })

  it('table: a new row starts at its value, not at that of the row before it', () => {
    const { view, clock, apply } = createThings()
    apply(thing(1, { x: 200 }))
    view.smooth(1, 'x')
    apply({ table: things, what: despawned, rows: [1] })
    clock.nowMs = 10
    apply(thing(1, { x: 400 }))
    expect(view.smooth(1, 'x')).toBe(100)
  })

  it('table: what is no number cannot be smoothed', () => {
    const { view, apply } = createThings()
    apply(thing(1))
    for (const name of ['name', 'kind', 'on', 'next', 'tags', 'big'] as const) expect(() => view.smooth(1, name)).toThrow(`things: ${name} is no number`)
  })
})
