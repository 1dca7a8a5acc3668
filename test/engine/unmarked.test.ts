/** A column that is written without `touch`: named in the log and counted in development, nothing at all in production; clients miss it in both. */
import { describe, expect, it } from 'vitest'
import { connect } from 'kasagi-engine/client'
import { defineSchema, f32, table } from 'kasagi-engine/schema'
import { startTestEngine, until } from '../support/engine.js'

const field = defineSchema('field', { tables: { food: table({ x: f32, y: f32 }, { capacity: 200, track: 'touch' }) }, inputs: { forget: {}, mark: {} } })

const files = {
  'shared/field.ts': `
import { defineSchema, f32, table } from 'kasagi-engine/schema'
export const field = defineSchema('field', { tables: { food: table({ x: f32, y: f32 }, { capacity: 200, track: 'touch' }) }, inputs: { forget: {}, mark: {} } })
`,
  'rooms/field.ts': `
import { defineRoom } from 'kasagi-engine'
import { field } from '../shared/field.js'
export default defineRoom(field, {
  tickHz: 0,
  onCreate({ tables: { food } }) { for (let n = 0; n < 100; n++) food.spawn({ x: n }) },
  onInput: {
    forget({ tables: { food } }) { food.x[40] = 7; food.x[41] = 7 },
    mark({ tables: { food } }) { food.x[70] = 8; food.touch(70) },
  },
})
`,
}

describe('unmarked columns', () => {
  for (const [env, isTold] of [['development', true], ['production', false]] as const) {
    it(`unmarked: in ${env} ${isTold ? 'table, column and row are named once and counted' : 'nothing is looked for'}, and clients do not get the value`, async () => {
      const server = await startTestEngine(files, [], { NODE_ENV: env })
      const room = await connect(server.url).join(field, { name: 'one' })
      for (let n = 0; n < 3; n++) await room.ask('forget', {})
      await room.ask('mark', {})
      expect([room.tables.food.x[40], room.tables.food.x[70]]).toEqual([40, 8])
      const metric = 'kasagi_unmarked_rows_total{type="field",table="food"}'
      if (isTold) await until(async () => await server.metric(metric) === 2, 'both rows are counted, once')
      const lines = server.lines.filter(({ text }) => text.includes('without'))
      expect(lines.map(({ level, text }) => `${level} ${text}`)).toEqual(isTold ? ['error field:one: food.x was written in row 40 and 1 more without food.touch(row): clients do not get it'] : [])
      if (isTold) expect(lines[0].fields).toMatchObject({ room: 'field:one', table: 'food', field: 'x', row: 40, rows: 2 })
      await server.stop()
    })
  }
})
