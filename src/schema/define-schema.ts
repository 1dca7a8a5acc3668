/** `defineSchema`, and every mistake that it finds: one error each, naming schema, table and field. Browser-safe. */
import { fieldsMax, rowsMax, tablesMax, typeBytesMax } from '../base/limits.js'
import type { Audience, FieldSpec } from './field-tables.js'
import type { AnyField, Fields, Schema, Shape, TableDef } from './fields.js'
import { defaultOf, fits } from './values.js'

const namePattern = /^[a-z][A-Za-z0-9]*$/
const reserved = new Set([
  'size', 'capacity', 'end', 'spawn', 'despawn', 'has', 'at', 'get', 'rowOf', 'ref', 'row', 'rows', 'near', 'touch',
  'mine', 'smooth', 'onSpawned', 'onChanged', 'onDespawned', 'id',
])
const numeric = new Set(['u8', 'i8', 'u16', 'i16', 'u32', 'i32', 'f32', 'f64', 'quantized'])

/**
 * Describes what a room's clients and handlers share. Pure data, safe in a browser; shared constants may live beside it.
 * Throws an Error that names the mistake's place.
 */
export function defineSchema<const N extends string, S extends Shape>(name: N, shape: S): Schema<N, S> {
  const problem = (place: string, what: string): never => { throw new Error(`schema ${name}: ${place}: ${what}`) }
  checkName(name, 'its name', problem)
  if (name.length > typeBytesMax) problem('its name', `at most ${typeBytesMax} letters and digits`)
  const tables = Object.entries(shape.tables ?? {})
  if (tables.length > tablesMax - 2) problem('tables', `at most ${tablesMax - 2}`)
  checkFields('globals', shape.globals ?? {}, shape, ['everyone', 'server'], problem)
  for (const [table, def] of tables) checkTable(table, def, shape, problem)
  for (const kind of ['inputs', 'events'] as const) {
    for (const [message, fields] of Object.entries(shape[kind] ?? {})) {
      checkName(message, kind, problem)
      checkFields(`${kind}.${message}`, fields, shape, ['everyone'], problem)
    }
  }
  for (const kind of ['options', 'join'] as const) checkFields(kind, shape[kind] ?? {}, shape, ['everyone', 'server'], problem)
  // Whoever asks for a list of rooms is told.
  checkFields('listing', shape.listing ?? {}, shape, ['everyone'], problem)
  checkPlayer(shape, problem)
  return Object.freeze({ ...shape, name })
}

/** The same for the arguments of a room's timers, which stand beside its handlers. */
export function checkTimers(schema: Schema, timers: Readonly<Record<string, Fields>>): void {
  const problem = (place: string, what: string): never => { throw new Error(`room ${schema.name}: ${place}: ${what}`) }
  for (const [timer, fields] of Object.entries(timers)) {
    checkName(timer, 'timers', problem)
    checkFields(`timers.${timer}`, fields, schema, ['everyone', 'server'], problem)
  }
}

type Problem = (place: string, what: string) => never

function checkName(name: string, place: string, problem: Problem): void {
  if (!namePattern.test(name)) problem(place, `${JSON.stringify(name)} is no name; names are letters and digits and begin with a small letter`)
}

function checkTable(name: string, { fields, options }: TableDef<Fields>, shape: Shape, problem: Problem): void {
  checkName(name, 'tables', problem)
  const home = options.to ?? 'everyone'
  const allowed: Audience[] = home === 'everyone' ? ['everyone', 'owner', 'server'] : home === 'owner' ? ['everyone', 'owner', 'server'] : ['everyone', 'server']
  checkFields(name, fields, shape, allowed, problem)
  for (const field of Object.keys(fields)) if (reserved.has(field)) problem(`${name}.${field}`, 'every table has a member of this name; choose another')
  if (options.whenFull === 'drop-oldest' && options.capacity * 2 + 1 > rowsMax) {
    problem(name, `whenFull: 'drop-oldest' takes two rows for each; a capacity of ${rowsMax / 2 - 1} is the most`)
  }
  if (options.grid === undefined) return
  for (const axis of ['x', 'y'] as const) {
    const field = fields[options.grid[axis]] as AnyField | undefined
    if (field === undefined || !numeric.has(field.spec.kind)) problem(name, `grid.${axis} names no numeric field: ${String(options.grid[axis])}`)
  }
  if (!(options.grid.cell > 0)) problem(name, 'grid.cell is a number above 0')
}

function checkFields(place: string, fields: Fields, shape: Shape, allowed: readonly Audience[], problem: Problem): void {
  const entries = Object.entries(fields)
  if (entries.length > fieldsMax) problem(place, `at most ${fieldsMax} fields`)
  for (const [name, field] of entries) {
    const where = `${place}.${name}`
    checkName(name, place, problem)
    if (field?.spec === undefined) problem(where, 'is no field type')
    const { kind, audience, item } = field.spec
    if (!allowed.includes(audience)) problem(where, `to('${audience}') has no meaning here`)
    if (kind === 'ref' && !(field.spec.table! in (shape.tables ?? {}))) problem(where, `refers to the table ${JSON.stringify(field.spec.table)}, which is not declared`)
    if (item !== undefined) checkItem(where, kind, item, problem)
    checkDefault(where, field.spec, problem)
  }
}

/** What a list or an optional holds. */
function checkItem(where: string, outer: string, { kind, audience, item }: FieldSpec, problem: Problem): void {
  // Nobody would know of the despawn of a row that a packed value names.
  if (kind === 'ref') {
    problem(where, outer === 'optional' ? 'a ref can be null by itself, without optional' : 'a ref cannot stand in a list; make it a table of rows with a ref')
  }
  if (outer === 'optional' && (kind === 'optional' || kind === 'json')) problem(where, `optional of ${kind}: null would have two meanings`)
  if (audience !== 'everyone') problem(where, `to('${audience}') belongs behind the ${outer}, not inside it`)
  if (item !== undefined) checkItem(where, kind, item, problem)
}

function checkDefault(where: string, spec: FieldSpec, problem: Problem): void {
  const value = defaultOf(spec)
  const isOutside = spec.kind === 'quantized' && ((value as number) < spec.min! || (value as number) > spec.min! + spec.steps! * spec.step!)
  if (isOutside || !fits(spec, value)) problem(where, `its default ${shownDefault(spec)} is no value of it`)
}

function shownDefault({ default: value }: FieldSpec): string {
  try {
    return JSON.stringify(value) ?? String(value)
  } catch {
    return 'object'
  }
}

function checkPlayer({ player, tables }: Shape, problem: Problem): void {
  if (player === undefined) return
  const table = tables?.[player]
  if (table === undefined) problem('player', `names the table ${JSON.stringify(player)}, which is not declared`)
  if ((table!.options.to ?? 'everyone') !== 'everyone') problem('player', `the table ${player} is not seen by everyone`)
}
