/** Rooms opened and abandoned, again and again: address space, rooms and connections return to where they began. LONG=1: ten minutes. */
import { expect, it } from 'vitest'
import { connect } from 'kasagi-engine/client'
import { counter } from '../../examples/counter/shared/counter.js'
import { startTestEngine, until } from '../support/engine.js'

const soakMs = process.env.LONG === undefined ? 4000 : 600_000
const roomText = `
import { defineRoom } from 'kasagi-engine'
import { counter } from '../shared/counter.js'
export default defineRoom(counter, { tickHz: 30, keepMs: 20, onInput: { add(room, _session, { by }) { room.globals.count += by } } })
`
const schemaText = `
import { defineSchema, i8, u32 } from 'kasagi-engine/schema'
export const counter = defineSchema('counter', { globals: { count: u32 }, inputs: { add: { by: i8 } } })
`

it('soak: rooms opened and abandoned leave nothing behind', { timeout: soakMs + 60_000 }, async () => {
  const server = await startTestEngine({ 'shared/counter.ts': schemaText, 'rooms/counter.ts': roomText })
  const free = await server.metric('kasagi_arena_free_bytes')
  let opened = 0
  for (const end = performance.now() + soakMs; performance.now() < end;) {
    const rooms = await Promise.all(Array.from({ length: 20 }, () => connect(server.url).join(counter, { name: `room ${opened++}` })))
    await Promise.all(rooms.map((room) => room.ask('add', { by: 1 })))
    for (const room of rooms) expect(room.globals.count).toBe(1)
    await Promise.all(rooms.map((room) => room.leave()))
  }
  await until(async () => await server.metric('kasagi_rooms') === 0, 'all rooms are closed')
  await until(async () => await server.metric('kasagi_connections') === 0, 'all connections are closed')
  await until(async () => await server.metric('kasagi_arena_free_bytes') === free, 'all blocks are given back')
  expect(await server.metric('kasagi_worker_deaths_total')).toBe(0)
  expect(opened).toBeGreaterThan(50)
  await server.stop()
})
