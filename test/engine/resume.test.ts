/** Sessions that outlive their connection: same entity, inputs applied once, or told plainly that the session is gone. */
import { afterEach, describe, expect, it } from 'vitest'
import { connect, type ClientRoom } from 'kasagi-engine/client'
import { defineSchema, table, text, u32 } from 'kasagi-engine/schema'
import { startTestEngine, until, type TestEngine } from '../support/engine.js'
import { startProxy, type Proxy } from '../support/proxy.js'

const schemaText = `
import { defineSchema, table, text, u32 } from 'kasagi-engine/schema'
export const tally = defineSchema('tally', {
  player: 'players', globals: { total: u32, drops: u32, resumes: u32, leaves: text(40) },
  tables: { players: table({ counted: u32, secret: u32.to('owner'), name: text(24) }, { capacity: 64, ids: true }) },
  inputs: { count: { by: u32 } }, join: { name: text(24) } })
`
const tally = defineSchema('tally', {
  player: 'players',
  globals: { total: u32, drops: u32, resumes: u32, leaves: text(40) },
  tables: { players: table({ counted: u32, secret: u32.to('owner'), name: text(24) }, { capacity: 64, ids: true }) },
  inputs: { count: { by: u32 } },
  join: { name: text(24) },
})

const roomText = (settings: string): string => `
import { defineRoom } from 'kasagi-engine'
import { tally } from '../shared/tally.js'
export default defineRoom(tally, { ${settings},
  onJoin(room, session, { name }) { session.row = room.tables.players.spawn({ name, secret: 7 }, { id: name, owner: session }) },
  onDrop(room, session) { room.globals.drops++ },
  onResume(room, session) { room.globals.resumes++ },
  onLeave(room, session, why) { room.globals.leaves += why + ' '; if (session.row !== undefined) room.tables.players.despawn(session.row) },
  onInput: { count(room, session, { by }) { room.globals.total += by; room.tables.players.counted[session.row] += by; room.tables.players.secret[session.row]++ } },
})
`
type Tally = ClientRoom<typeof tally>

describe('resume', () => {
  let server: TestEngine, proxy: Proxy
  const start = async (settings: string): Promise<void> => {
    server = await startTestEngine({ 'shared/tally.ts': schemaText, 'rooms/tally.ts': roomText(settings) })
    proxy = await startProxy(server.url)
  }
  const join = (url: string, name: string): Promise<Tally> => connect(url, { verify: true }).join(tally, { name: 'main', join: { name } })
  const statusesOf = (room: Tally): string[] => {
    const told: string[] = []
    room.onStatus((status, code) => told.push(code === undefined ? status : `${status} ${code}`))
    return told
  }
  afterEach(async () => { await proxy.stop(); await server.stop() })

  for (const tickHz of [0, 20]) {
    it(`resume: a connection that is cut comes back to its entity, and every input counts once, at ${tickHz} Hz`, async () => {
      await start(`tickHz: ${tickHz}`)
      const ann = await join(proxy.url, 'ann'), bob = await join(server.url, 'bob')
      const { sessionId } = ann, { mine } = ann.tables.players, told = statusesOf(ann)
      let sent = 0
      for (let round = 0; round < 5; round++) {
        for (let n = 0; n < 20; n++) { ann.send('count', { by: 1 }); sent++ }
        proxy.cut()
        for (let n = 0; n < 20; n++) { ann.send('count', { by: 1 }); sent++ }
        await until(() => ann.status === 'live' && ann.globals.total === sent, `round ${round}: ${ann.globals.total} of ${sent}, ${ann.status}`)
      }
      await until(() => bob.globals.total === sent, 'bob sees all of it')
      expect([ann.sessionId, ann.tables.players.mine, ann.tables.players.size]).toEqual([sessionId, mine, 2])
      expect(ann.tables.players.secret[mine!]).toBe(7 + sent)
      expect([ann.globals.drops, ann.globals.resumes, ann.globals.leaves]).toEqual([5, 5, ''])
      expect(told.filter((entry) => entry === 'live')).toHaveLength(5)
      expect([ann.stats.hashMismatches, ann.stats.reconnects]).toEqual([0, 5])
    })
  }

  it('resume: a Welcome that is lost costs nothing: the token before it is still good', async () => {
    await start('tickHz: 0')
    const ann = await join(proxy.url, 'ann')
    const { sessionId } = ann
    for (let round = 0; round < 3; round++) {
      proxy.deaf = true
      proxy.cut()
      await until(() => proxy.open() === 1, 'ann is back, and hears nothing')
      await new Promise((resolve) => { setTimeout(resolve, 50) })
      proxy.cut()
      proxy.deaf = false
      ann.send('count', { by: 1 })
      await until(() => ann.globals.total === round + 1, 'ann counts')
    }
    expect([ann.sessionId, ann.status]).toEqual([sessionId, 'live'])
  })

  it('resume: after its grace time a session has left, and its client is told session-gone and joins anew', async () => {
    await start('tickHz: 0, graceMs: 50')
    const ann = await join(proxy.url, 'ann'), bob = await join(server.url, 'bob')
    const { sessionId } = ann, told = statusesOf(ann)
    proxy.closed = true
    proxy.cut()
    await until(() => bob.globals.leaves === 'dropped ', 'the room lets go of ann')
    expect([...bob.tables.players.rows()].map((row) => bob.tables.players.name.get(row))).toEqual(['bob'])
    const asked = ann.ask('count', { by: 1 }).catch((error: { code: string }) => error.code)
    proxy.closed = false
    await until(() => ann.status === 'live', 'ann is back')
    expect(await asked).toBe('session-gone')
    expect(told).toContain('resuming connection-lost')
    expect(ann.sessionId).not.toBe(sessionId)
    await ann.ask('count', { by: 3 })
    expect([ann.globals.total, ann.tables.players.size]).toEqual([3, 2])
  })

  it('resume: a session that was left on purpose does not come back', async () => {
    await start('tickHz: 0')
    const ann = await join(proxy.url, 'ann'), bob = await join(server.url, 'bob')
    await ann.leave()
    await until(() => bob.globals.leaves === 'left ', 'ann has left')
    expect([ann.status, bob.globals.drops]).toEqual(['closed', 0])
  })
})
