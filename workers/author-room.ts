/** The `room` that handlers get: tables, globals, time, random numbers, events, timers. Worker thread. */
import { eventBytesPerFlushMax } from '../src/base/limits.js'
import { packToBytes } from '../src/wire/fields.js'
import type { ActiveRoom } from './active-room.js'
import type { AuthorTable } from './author-table.js'
import { Rejection } from './guard.js'
import type { BookedSession, Clock } from './session-book.js'
import type { Timers } from './timers.js'

export type LogLevel = 'info' | 'warn' | 'error'
export type RoomLog = (room: Pick<ActiveRoom, 'id'>, level: LogLevel, what: object | string) => void

type Target = 'everyone' | BookedSession | Iterable<BookedSession> | { readonly near: readonly [number, number] }

/** Bytes that an event adds to a record beside its own: a section, if it is addressed, and its receivers. */
const eventOverheadBytes = 32, addressedOverheadBytes = 256, receiverBytes = 8

/** Makes the handlers' room. `derived` is set by whoever opens the room. */
export function createAuthorRoom(room: ActiveRoom, timers: Timers, log: RoomLog): Record<string, unknown> {
  const { type, book } = room
  const named = new Map(room.tables.map((table) => [table.name, table]))
  const tables = Object.fromEntries(room.tables.filter(({ name }) => !name.startsWith('$')).map((table) => [table.name, table.face]))
  return {
    id: room.id,
    tables,
    globals: single(named.get('$globals')),
    options: single(named.get('$options')),
    listing: single(named.get('$listing')),
    sessions: book.byId,
    derived: undefined,
    time: new RoomTime(book.clock),
    random: book.random,
    log: {
      info: (what: object | string) => log(room, 'info', what),
      warn: (what: object | string) => log(room, 'warn', what),
      error: (what: object | string) => log(room, 'error', what),
    },
    emit: (event: string, data: Record<string, unknown>, to?: Target) => emit(room, event, data, to),
    after: (ms: number, timer: string, arg?: Record<string, unknown>, key?: string | number) => timers.arm(timer, ms, arg, key),
    cancel: (timer: string, key?: string | number) => timers.cancel(timer, key),
    reject: (code: string, text = ''): never => { throw new Rejection(code, text) },
    close: (reason = 'room-closed') => { room.closing ??= reason; room.restsUntilMs = 0 },
    lock: (locked = true) => { book.clock.locked = locked ? 1 : 0; room.listingDue = true; room.restsUntilMs = 0 },
    start: () => { throw new TypeError(`${type.name}: tasks are not supported by this version`) },
  }
}

/** Room time, as authors read it. */
class RoomTime {
  readonly #clock: Clock
  constructor(clock: Clock) { this.#clock = clock }
  get tick(): number { return this.#clock.tick }
  get ms(): number { return this.#clock.timeMs }
}

/** The one row of a table, as an object. A table without fields has none. */
const single = (table: AuthorTable | undefined): Record<string, unknown> =>
  table === undefined || table.rowsOf.size === 0 ? {} : table.at(0)

/** Queues an event for the next flush. Best effort within bounds: what does not fit is counted, and clients are told how many. */
function emit(room: ActiveRoom, name: string, data: Record<string, unknown>, to: Target = 'everyone'): void {
  const { events } = room.type.full
  const event = events.findIndex((entry) => entry.name === name)
  if (event < 0) throw new TypeError(`no event is named ${JSON.stringify(name)}; events: ${events.map((entry) => entry.name).join(', ') || 'none'}`)
  const bytes = packToBytes(events[event].fields, data)
  const receivers = receiversOf(to)
  if (receivers?.length === 0) return
  const cost = bytes.length + eventOverheadBytes + (receivers === undefined ? 0 : addressedOverheadBytes + receivers.length * receiverBytes)
  if (room.events.length >= room.type.definition.eventsPerFlushMax || room.eventBytes + cost > eventBytesPerFlushMax) {
    room.missedEvents++
    return
  }
  room.events.push({ event, bytes, receivers })
  room.eventBytes += cost
}

/** Slots of those who are here, or undefined for everyone. A point has no meaning before areas exist: such events go to all. */
function receiversOf(to: Target): number[] | undefined {
  if (to === 'everyone' || 'near' in to) return undefined
  return (Symbol.iterator in to ? [...to] : [to]).filter(({ hasLeft }) => !hasLeft).map(({ slot }) => slot)
}
