/** Field tables of a schema: full ones for servers, public ones for clients, and the numbers of one in the other. Plain data in and out. */
import { hashText } from '../base/hash.js'
import type { EntityTable, FieldTable, FullTables, MessageTable, PublicTables } from './field-tables.js'
import type { Fields, Schema, TableDef } from './fields.js'

/** The fields of one table or message, in declaration order. */
export const fieldsOf = (fields: Fields | undefined): FieldTable[] =>
  Object.entries(fields ?? {}).map(([name, { spec }]) => ({ name, ...spec }))

const messagesOf = (messages: Record<string, Fields> | undefined): MessageTable[] =>
  Object.entries(messages ?? {}).map(([name, fields]) => ({ name, fields: fieldsOf(fields) }))

function tableOf(name: string, { fields, options }: TableDef<Fields>): EntityTable {
  const audience = options.to ?? 'everyone'
  // A field never goes further than its table.
  const narrowed = fieldsOf(fields).map((field) => field.audience === 'everyone' ? { ...field, audience } : field)
  const grid = options.grid === undefined ? {} : { grid: { x: String(options.grid.x), y: String(options.grid.y), cell: options.grid.cell } }
  const { capacity, whenFull = 'throw' } = options
  const rows = whenFull === 'drop-oldest' ? { capacity: capacity * 2 + 1, keep: capacity } : { capacity }
  return { name, ...rows, audience, ids: options.ids ?? false, ...grid, fields: narrowed }
}

/** All tables in declaration order: `$globals` (one row that always lives), the author's, then `engineTables`. */
export function fullTablesOf(schema: Schema, engineTables: readonly EntityTable[]): FullTables {
  const globals: EntityTable = { name: '$globals', capacity: 1, audience: 'everyone', ids: false, fields: fieldsOf(schema.globals) }
  const own = Object.entries(schema.tables ?? {}).map(([name, table]) => tableOf(name, table))
  return {
    name: schema.name, ...(schema.player === undefined ? {} : { player: schema.player }),
    tables: [globals, ...own, ...engineTables], inputs: messagesOf(schema.inputs), events: messagesOf(schema.events), join: fieldsOf(schema.join),
    options: fieldsOf(schema.options), listing: fieldsOf(schema.listing),
  }
}

const isPublic = (table: EntityTable): boolean => table.audience !== 'server' && (!table.name.startsWith('$') || table.name === '$globals')

/** What clients know: no server tables, no server fields, nothing of the engine's but `$globals`. */
export const publicTablesOf = ({ name, player, tables, inputs, events, join }: FullTables): PublicTables => ({
  name, ...(player === undefined ? {} : { player }),
  tables: tables.filter(isPublic).map((table) => ({ ...table, fields: table.fields.filter(({ audience }) => audience !== 'server') })),
  inputs, events, join,
})

/** By full table number: its public number or -1, and the same for each of its fields. */
export function publicIndex({ tables }: Pick<FullTables, 'tables'>): { tables: number[]; fields: number[][] } {
  let table = 0
  const fields = tables.map((entry) => {
    let field = 0
    return entry.fields.map(({ audience }) => isPublic(entry) && audience !== 'server' ? field++ : -1)
  })
  return { tables: tables.map((entry) => isPublic(entry) ? table++ : -1), fields }
}

/** Says which full field tables a log was written with. */
export const hashTables = (tables: readonly EntityTable[]): number => hashText(JSON.stringify(tables)) || 1

/** What client and server compare: the hash of the public field tables. Never 0, which asks for the tables themselves. */
export const schemaHash = (tables: PublicTables): number => hashText(JSON.stringify(tables)) || 1
