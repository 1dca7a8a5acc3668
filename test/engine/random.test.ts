/** A room's random numbers: its own, nobody's to guess, and gone on with by whoever goes on with the room. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { describe, expect, it } from 'vitest'
import { connect, type ClientRoom } from 'kasagi-engine/client'
import { defineSchema, u32 } from 'kasagi-engine/schema'
import { startTestEngine, until, type TestEngine } from '../support/engine.js'
import { freePort } from '../support/free-port.js'
import { createServeProcess } from '../support/process.js'

const dice = defineSchema('dice', { globals: { rolled: u32, rolls: u32 }, inputs: { roll: {} } })
const files = {
  'shared/dice.ts': `import { defineSchema, u32 } from 'kasagi-engine/schema'
export const dice = defineSchema('dice', { globals: { rolled: u32, rolls: u32 }, inputs: { roll: {} } })`,
  'rooms/dice.ts': `import { defineRoom } from 'kasagi-engine'
import { dice } from '../shared/dice.js'
export default defineRoom(dice, { tickHz: 0, onInput: { roll(room) { room.globals.rolled = room.random.int(2 ** 32); room.globals.rolls++ } } })`,
}

describe('random numbers', () => {
  it('random: rooms opened alike draw differently, and none draws a number twice, over deaths and a restart', async () => {
    const data = mkdtempSync(joinPath(tmpdir(), 'kasagi-random-')), port = String(await freePort())
    const start = (): Promise<TestEngine> => startTestEngine(files, ['--port', port, '--data', data, '--fault', 'flush:written:25'])
    let server = await start()
    const rooms: ClientRoom<typeof dice>[] = []
    for (const name of ['one', 'two']) rooms.push(await connect(server.url).join(dice, { name }))
    const drawn: number[] = []
    const roll = async (): Promise<void> => {
      for (let n = 0; n < 40; n++) for (const room of rooms) { await room.ask('roll', {}); drawn.push(room.globals.rolled) }
    }
    await roll()
    expect(await server.metric('kasagi_worker_deaths_total')).toBe(1)
    await server.stop()
    server = await start()
    await until(() => rooms.every(({ status }) => status === 'live'), 'both are back')
    await roll()
    expect(rooms.map(({ globals }) => globals.rolls)).toEqual([80, 80])
    // Of 160 numbers of 32 bits two are equal once in 300,000 runs.
    expect(new Set(drawn).size).toBe(160)
    await server.stop()
    rmSync(data, { recursive: true, force: true })
  })

  it('random: a room that is killed, and comes back from its snapshot, does not draw again what was seen', async () => {
    const server = await createServeProcess(files)
    try {
      await server.start()
      const room = await connect(server.url).join(dice, { name: 'one' })
      await room.ask('roll', {})
      await until(async () => await server.metric('kasagi_stores_total') > 0, 'it is stored', 15_000)
      const stored = room.globals.rolls, seen = new Set<number>()
      for (let n = 0; n < 20; n++) { await room.ask('roll', {}); seen.add(room.globals.rolled) }
      await server.kill('SIGKILL')
      await server.start()
      await until(() => room.status === 'live', 'it is back')
      expect(room.globals.rolls).toBeLessThan(stored + 20)
      for (let n = 0; n < 20; n++) { await room.ask('roll', {}); expect(seen.has(room.globals.rolled)).toBe(false) }
    } finally {
      await server.end()
    }
  })
})
