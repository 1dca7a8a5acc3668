/** Rooms that hardly live: kept for no time at all, or closed by their author as soon as anybody comes. */
import { afterEach, describe, expect, it } from 'vitest'
import { connect } from 'kasagi-engine/client'
import { defineSchema, u32 } from 'kasagi-engine/schema'
import { startTestEngine, until, type TestEngine } from '../support/engine.js'

const brief = defineSchema('brief', { globals: { n: u32 }, inputs: { add: {} }, options: { closes: u32 } })
const schemaText = `
import { defineSchema, u32 } from 'kasagi-engine/schema'
export const brief = defineSchema('brief', { globals: { n: u32 }, inputs: { add: {} }, options: { closes: u32 } })
`
const roomText = (settings: string): string => `
import { defineRoom } from 'kasagi-engine'
import { brief } from '../shared/brief.js'
export default defineRoom(brief, { ${settings}
  onCreate(room) { room.log.info('created'); if (room.options.closes === 1) room.close('not-today') },
  onJoin(room) { if (room.options.closes === 2) room.close('not-today') },
  onInput: { add(room) { room.globals.n++ } } })
`

describe('brief rooms', () => {
  let server: TestEngine
  afterEach(() => server.stop())
  const created = (): number => server.lines.filter(({ text }) => text.endsWith('created')).length

  for (const tickHz of [0, 30]) {
    it(`brief rooms: one that is kept for no time waits for whoever has opened it, and closes when the last one leaves, at ${tickHz} Hz`, async () => {
      server = await startTestEngine({ 'shared/brief.ts': schemaText, 'rooms/brief.ts': roomText(`tickHz: ${tickHz}, keepMs: 0, graceMs: 0,`) })
      for (let n = 1; n <= 10; n++) {
        const room = await connect(server.url).join(brief, { name: 'main' })
        await room.ask('add', {})
        expect(room.globals.n).toBe(n)
        await room.leave()
        await until(async () => await server.metric('kasagi_rooms ') === 0, 'the room is closed')
      }
      expect(created()).toBe(1)
    })
  }

  it('brief rooms: a join to a room that its author closes at once is told so, after a few tries', async () => {
    server = await startTestEngine({ 'shared/brief.ts': schemaText, 'rooms/brief.ts': roomText('tickHz: 0, keepMs: 0,') })
    await expect(connect(server.url).join(brief, { name: 'before', options: { closes: 1 } })).rejects.toMatchObject({ code: 'not-today' })
    // Whoever is in at once may have a glimpse of it.
    const glimpse = await connect(server.url).join(brief, { name: 'at once', options: { closes: 2 } }).catch(() => undefined)
    await until(() => glimpse === undefined || glimpse.status === 'closed', 'it is closed')
    expect(created()).toBeLessThanOrEqual(10)
    await until(async () => await server.metric('kasagi_rooms ') === 0, 'no room is left')
    expect((await connect(server.url).join(brief, { name: 'main' })).status).toBe('live')
  })
})
