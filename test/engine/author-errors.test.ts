/** Author code that throws: caught, logged with room, handler and source line, counted; the room and its neighbours go on. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connect } from 'kasagi-engine/client'
import { defineSchema, table, u32 } from 'kasagi-engine/schema'
import { startTestEngine, until, type TestEngine } from '../support/engine.js'

const shape = { globals: { done: u32, ticks: u32 }, tables: { marks: table({ n: u32 }, { capacity: 2 }) }, inputs: { fail: {}, fine: {}, refuse: {}, fill: {}, wait: {} }, join: { mood: u32 } }
const fragile = defineSchema('fragile', shape)

const roomText = `
import { defineRoom } from 'kasagi-engine'
import { u32 } from 'kasagi-engine/schema'
import { fragile } from '../shared/fragile.js'
export default defineRoom(fragile, {
  tickHz: 20,
  timers: { later: { by: u32 } },
  onTick(room) { room.globals.ticks++ },
  onJoin(room, session, { mood }) { room.tables.marks.spawn({ n: 1 }, { owner: session }); if (mood === 1) throw new Error('bad mood') ; if (mood === 2) room.tables.marks.despawn([...room.tables.marks.rows()][0]) },
  onInput: {
    fail(room) { room.globals.done++; throw new Error('on purpose') },
    fine(room) { room.globals.done += 10 },
    refuse(room) { room.reject('not-now', 'come back later') },
    fill(room) { room.tables.marks.spawn({ n: 2 }); room.tables.marks.spawn({ n: 3 }); room.tables.marks.spawn({ n: 4 }) },
    wait(room) { room.after(100, 'later', { by: 100 }) },
  },
  onTimer: { later(room, { by }) { room.globals.done += by } },
})
`
const schemaText = `
import { defineSchema, table, u32 } from 'kasagi-engine/schema'
export const fragile = defineSchema('fragile', { globals: { done: u32, ticks: u32 }, tables: { marks: table({ n: u32 }, { capacity: 2 }) }, inputs: { fail: {}, fine: {}, refuse: {}, fill: {}, wait: {} }, join: { mood: u32 } })
`

describe('author code that throws', () => {
  let server: TestEngine
  beforeAll(async () => { server = await startTestEngine({ 'shared/fragile.ts': schemaText, 'rooms/fragile.ts': roomText }) })
  afterAll(() => server.stop())

  it('errors: an input whose handler throws is refused, logged with its source line and counted; what it wrote stays', async () => {
    const room = await connect(server.url).join(fragile, { name: 'one', join: { mood: 2 } })
    await expect(room.ask('fail', {})).rejects.toMatchObject({ code: 'input-failed' })
    expect(room.globals.done).toBe(1)
    await room.ask('fine', {})
    expect(room.globals.done).toBe(11)
    const [line] = server.lines.filter(({ text }) => text.includes('on purpose'))
    expect(line.text).toMatch(/^fragile:one: onInput\.fail threw: on purpose \(.*rooms\/fragile\.ts:11:\d+\)$/)
    await until(async () => await server.metric('kasagi_handler_errors_total{type="fragile",handler="onInput.fail"}') === 1, 'it is counted, once')
    await room.leave()
  })

  it('errors: reject answers with the author\'s code; a full table is an error the author can handle', async () => {
    const room = await connect(server.url).join(fragile, { name: 'two', join: { mood: 2 } })
    await expect(room.ask('refuse', {})).rejects.toThrow('not-now: come back later')
    await expect(room.ask('fill', {})).rejects.toMatchObject({ code: 'input-failed' })
    await until(() => room.tables.marks.size === 2, 'the rows before the full table stay')
    await room.leave()
  })

  it('errors: an onJoin that throws refuses that join and despawns what the session owns', async () => {
    const witness = await connect(server.url).join(fragile, { name: 'three' })
    await expect(connect(server.url).join(fragile, { name: 'three', join: { mood: 1 } })).rejects.toMatchObject({ code: 'join-refused' })
    await witness.ask('fine', {})
    expect(witness.tables.marks.size).toBe(1)
    const before = witness.globals.ticks
    await until(() => witness.globals.ticks > before + 3, 'the room goes on ticking')
    await witness.leave()
  })

  it('timers: a timer fires once, in room time, with its argument', async () => {
    const room = await connect(server.url).join(fragile, { name: 'four', join: { mood: 2 } })
    await room.ask('wait', {})
    const armed = room.globals.ticks
    await until(() => room.globals.done === 100, 'the timer has fired')
    expect(room.globals.ticks - armed).toBeGreaterThanOrEqual(1)
    await room.ask('fine', {})
    expect(room.globals.done).toBe(110)
    await room.leave()
  })
})
