import { afterEach, describe, expect, it } from 'vitest'
import { connect } from 'kasagi-engine/client'
import { defineSchema, table, u32 } from 'kasagi-engine/schema'
import { placesFor } from '../../src/server/placement.js'
import { counter } from '../../examples/counter/shared/counter.js'
import { startTestEngine, type TestEngine } from '../support/engine.js'

describe('placement', () => {
  let server: TestEngine | undefined
  afterEach(async () => { await server?.stop(); server = undefined })

  it('placement: every worker is tried once, the same ids go to the same places, and no load passes the bound', () => {
    const loads = [0, 0, 0, 0], first = new Map<string, number>()
    for (let n = 0; n < 1000; n++) {
      const places = placesFor(`arena:${n}`, loads)
      expect([...places].sort()).toEqual([0, 1, 2, 3])
      first.set(`arena:${n}`, places[0])
      loads[places[0]]++
      expect(Math.max(...loads)).toBeLessThanOrEqual(Math.ceil((n + 1) / 4 * 1.25))
    }
    for (const load of loads) expect(load).toBeGreaterThan(150)
    const empty = [0, 0, 0, 0]
    expect(placesFor('arena:7', empty)).toEqual(placesFor('arena:7', empty))
    const moved = [...first.keys()].filter((id) => placesFor(id, [0, 0, 0, 0])[0] !== placesFor(id, [0, 0, 0, 0, 0])[0])
    expect(moved.length).toBeLessThan(300)
  })

  it('placement: rooms of one instance run on all its workers', async () => {
    server = await startTestEngine('examples/counter', ['--workers', '2'])
    const rooms = await Promise.all(Array.from({ length: 12 }, (_, n) => connect(server!.url).join(counter, { name: `room ${n}` })))
    await Promise.all(rooms.map((room, n) => room.ask('add', { by: n + 1 })))
    expect(rooms.map((room) => room.globals.count)).toEqual(rooms.map((_, n) => n + 1))
    const free = await Promise.all([0, 1].map((worker) => server!.metric(`kasagi_arena_free_bytes{worker="${worker}"}`)))
    expect(Math.max(...free)).toBeLessThan(1024 ** 3 - 8 * 1024 ** 2)
    await Promise.all(rooms.map((room) => room.leave()))
  })

  it('placement: a room that fits no worker is refused with no-space, and smaller ones still open', async () => {
    const files = (capacity: number, name: string): Record<string, string> => ({
      [`shared/${name}.ts`]: `import { defineSchema, table, u32 } from 'kasagi-engine/schema'\nexport const ${name} = defineSchema('${name}', { tables: { rows: table({ v: u32 }, { capacity: ${capacity} }) } })`,
      [`rooms/${name}.ts`]: `import { defineRoom } from 'kasagi-engine'\nimport { ${name} } from '../shared/${name}.js'\nexport default defineRoom(${name}, { tickHz: 0 })`,
    })
    server = await startTestEngine({ ...files(1_000_000, 'huge'), ...files(10, 'tiny') }, ['--workers', '2', '--arena-bytes', '32M'])
    const huge = defineSchema('huge', { tables: { rows: table({ v: u32 }, { capacity: 1_000_000 }) } })
    const tiny = defineSchema('tiny', { tables: { rows: table({ v: u32 }, { capacity: 10 }) } })
    await expect(connect(server.url).join(huge, { name: 'a' })).rejects.toMatchObject({ code: 'no-space' })
    const room = await connect(server.url).join(tiny, { name: 'a' })
    expect(room.status).toBe('live')
    await room.leave()
  })
})
