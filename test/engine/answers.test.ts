/** Answers to inputs: none is lost, whatever state its client is in. */
import { describe, expect, it } from 'vitest'
import { defineSchema, table, u32 } from 'kasagi-engine/schema'
import { connectWith } from '../../src/client/connect.js'
import { openWebSocket } from '../../src/client/web-socket.js'
import { writeResync } from '../../src/wire/client-messages.js'
import { startTestEngine } from '../support/engine.js'

const schemaText = `
import { defineSchema, table, u32 } from 'kasagi-engine/schema'
export const desk = defineSchema('desk', {
  globals: { total: u32 }, tables: { rows: table({ n: u32 }, { capacity: 2000 }) }, inputs: { count: {}, refuse: { n: u32 } } })
`
const desk = defineSchema('desk', {
  globals: { total: u32 },
  tables: { rows: table({ n: u32 }, { capacity: 2000 }) },
  inputs: { count: {}, refuse: { n: u32 } },
})
const roomText = (tickHz: number): string => `
import { defineRoom } from 'kasagi-engine'
import { desk } from '../shared/desk.js'
export default defineRoom(desk, { tickHz: ${tickHz},
  onCreate(room) { for (let n = 0; n < 1000; n++) room.tables.rows.spawn({ n }) },
  onInput: {
    count(room) { room.globals.total++; room.tables.rows.n[room.globals.total % 1000] = room.globals.total },
    refuse(room, _, { n }) { room.reject('no', 'for the ' + n + 'th time') },
  } })
`

describe('answers', () => {
  for (const tickHz of [0, 30]) {
    it(`answers: inputs of a client that is being caught up are answered all the same, refused ones with their code, at ${tickHz} Hz`, async () => {
      const server = await startTestEngine({ 'shared/desk.ts': schemaText, 'rooms/desk.ts': roomText(tickHz) })
      let say = (_: Uint8Array): void => {}
      const watched = connectWith(async (url, handlers) => {
        const transport = await openWebSocket(url, handlers)
        say = transport.send
        return transport
      }, server.url)
      const ann = await watched.join(desk, { name: 'main' }), bob = await connectWith(openWebSocket, server.url).join(desk, { name: 'main' })
      for (let round = 0; round < 30; round++) {
        const answers: Promise<string>[] = []
        const ask = (...input: Parameters<typeof ann.ask>): void => {
          answers.push(ann.ask(...input).then(() => 'done', ({ code, message }: { code: string; message: string }) => `${code} ${message}`))
        }
        bob.send('count', {})
        ask('count', {})
        say(writeResync(0, 0))
        ask('refuse', { n: round })
        bob.send('count', {})
        ask('count', {})
        say(writeResync(ann.position.epoch, Math.max(1, ann.position.seq - 2)))
        ask('refuse', { n: round + 100 })
        expect(await Promise.all(answers)).toEqual(['done', `no no: for the ${round}th time`, 'done', `no no: for the ${round + 100}th time`])
      }
      await bob.ask('count', {})
      expect(bob.globals.total).toBe(30 * 4 + 1)
      expect(await server.metric('kasagi_resyncs_total')).toBeGreaterThan(29)
      await server.stop()
    })
  }
})
