/** `defineRoom`: the author's handlers with their schema, checked when the module loads. Runs in workers only. */
import { eventsPerFlushDefault, graceMsMax, sessionsDefault, sessionsMax } from '../base/limits.js'
import { checkTimers } from '../schema/define-schema.js'
import type { Fields, Schema } from '../schema/fields.js'
import type { Definition, Durability } from './types.js'

/** What a room file exports by default. `kind` tells it from anything else, across bundles. */
export interface RoomModule<S extends Schema = Schema> {
  readonly kind: 'kasagi-room'
  readonly schema: S
  readonly definition: Readonly<Record<string, unknown>>
}

type Handler = (...args: unknown[]) => unknown

/** A definition with every default in its place. */
export interface NormalDefinition {
  readonly tickHz: number
  readonly flushHz: number
  readonly maxSessions: number
  readonly graceMs: number
  readonly keepMs: number
  readonly snapshotEveryMs: number
  readonly snapshotEveryTicks: number
  readonly durability: Durability
  readonly whenDetached: 'continue' | 'freeze'
  readonly opens: 'anyone' | 'server'
  readonly eventsPerFlushMax: number
  readonly version: number
  readonly timers: Readonly<Record<string, Fields>>
  readonly handlers: Readonly<Partial<Record<SingleHandler, Handler>>> & {
    readonly onInput: Readonly<Record<string, Handler | undefined>>
    readonly onTimer: Readonly<Record<string, Handler | undefined>>
  }
}

const singleHandlers = ['derive', 'migrate', 'onCreate', 'onClose', 'onTick', 'onJoin', 'onDrop', 'onResume', 'onLeave'] as const
type SingleHandler = (typeof singleHandlers)[number]
const settings = {
  tickHz: [0, 240], flushHz: [0, 240], maxSessions: [1, sessionsMax], graceMs: [0, graceMsMax], keepMs: [0, Infinity], snapshotEveryMs: [100, Infinity], snapshotEveryTicks: [1, Infinity], eventsPerFlushMax: [0, 65_536], version: [1, 2 ** 31],
} as const
/** Settings that are one of some words; the first is the default. */
const words = {
  durability: ['snapshot', 'none', 'ops', 'ops-sync'], whenDetached: ['continue', 'freeze'], opens: ['anyone', 'server'],
} as const
const known = [...singleHandlers, ...Object.keys(settings), 'onInput', 'onTimer', 'timers', ...Object.keys(words)]

/** Describes a room. Throws an Error that names the room and the mistake. */
export function defineRoom<S extends Schema, T extends Record<string, Fields> = {}, D = undefined>(schema: S, definition: Definition<S, T, D>): RoomModule<S> {
  const given = definition as unknown as Readonly<Record<string, unknown>>
  const problem = (what: string): never => { throw new Error(`room ${schema.name}: ${what}`) }
  for (const key of Object.keys(given)) if (!known.includes(key)) problem(`${key} is not supported by this version; it knows ${known.join(', ')}`)
  for (const [name, [low, high]] of Object.entries(settings)) {
    const value = given[name]
    if (value !== undefined && !(typeof value === 'number' && value >= low && value <= high)) problem(`${name}: ${String(value)} is not within ${low} to ${high}`)
  }
  checkRates(given, problem)
  for (const [name, allowed] of Object.entries(words)) {
    if (given[name] !== undefined && !(allowed as readonly unknown[]).includes(given[name])) problem(`${name}: ${String(given[name])} is none of ${allowed.join(', ')}`)
  }
  checkTimers(schema, (given.timers ?? {}) as Record<string, Fields>)
  for (const name of singleHandlers) checkHandler(name, given[name], problem)
  checkHandlers('onInput', given.onInput, Object.keys(schema.inputs ?? {}), problem)
  checkHandlers('onTimer', given.onTimer, Object.keys(given.timers ?? {}), problem)
  return Object.freeze({ kind: 'kasagi-room', schema, definition: Object.freeze({ ...given }) })
}

type Problem = (what: string) => never

function checkRates({ tickHz = 20, flushHz }: { tickHz?: unknown; flushHz?: unknown }, problem: Problem): void {
  if (flushHz === undefined || tickHz === 0) return
  if ((flushHz as number) <= 0 || (flushHz as number) > (tickHz as number)) problem(`flushHz: ${String(flushHz)} is above 0 and at most tickHz (${String(tickHz)})`)
}

function checkHandler(name: string, value: unknown, problem: Problem): void {
  if (value === undefined) return
  if (typeof value !== 'function') problem(`${name} is a function`)
  if ((value as Handler).constructor.name === 'AsyncFunction') problem(`${name} is async; handlers are synchronous`)
}

function checkHandlers(kind: string, value: unknown, names: readonly string[], problem: Problem): void {
  if (value === undefined) return
  if (typeof value !== 'object' || value === null) problem(`${kind} is an object of handlers`)
  for (const [name, handler] of Object.entries(value as object)) {
    if (!names.includes(name)) problem(`${kind}.${name}: the schema declares ${names.join(', ') || 'none'}`)
    checkHandler(`${kind}.${name}`, handler, problem)
  }
}

/** The definition with its defaults. */
export function normalise(definition: Readonly<Record<string, unknown>>): NormalDefinition {
  const number = (name: keyof typeof settings, fallback: number): number => definition[name] as number | undefined ?? fallback
  const word = (name: keyof typeof words): string => definition[name] as string | undefined ?? words[name][0]
  const tickHz = number('tickHz', 20)
  return {
    tickHz, flushHz: number('flushHz', tickHz), maxSessions: number('maxSessions', sessionsDefault), graceMs: number('graceMs', 30_000), keepMs: number('keepMs', 60_000),
    // Either cadence; in ticks only if it is named and the other is not.
    snapshotEveryMs: number('snapshotEveryMs', definition.snapshotEveryTicks === undefined ? 5000 : Infinity),
    snapshotEveryTicks: number('snapshotEveryTicks', Infinity), durability: word('durability') as Durability,
    whenDetached: word('whenDetached') as 'continue', opens: word('opens') as 'anyone',
    eventsPerFlushMax: number('eventsPerFlushMax', eventsPerFlushDefault), version: number('version', 1),
    timers: (definition.timers ?? {}) as Record<string, Fields>,
    handlers: {
      ...Object.fromEntries(singleHandlers.map((name) => [name, definition[name]])),
      onInput: (definition.onInput ?? {}) as Record<string, Handler>, onTimer: (definition.onTimer ?? {}) as Record<string, Handler>,
    },
  }
}

/** True for what `defineRoom` made, whichever copy of this module made it. */
export const isRoomModule = (value: unknown): value is RoomModule =>
  typeof value === 'object' && value !== null && (value as { kind?: unknown }).kind === 'kasagi-room'
