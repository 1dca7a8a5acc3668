/**
 * Where the engine calls author code: marked in the arena while it runs, caught when it throws, refused when it returns a promise.
 * Worker thread. Nothing that a handler does reaches another room.
 */
import { mark } from '../src/memory/arena.js'
import { handlers, type HandlerName } from '../src/memory/crossing.js'
import type { ActiveRoom } from './active-room.js'

/** What `room.reject` throws: an answer, not a mistake. */
export class Rejection extends Error {
  constructor(readonly code: string, readonly text: string) { super(code) }
}

export type Reporter = (room: ActiveRoom, handler: string, error: unknown) => void

/** What became of a call: `ok`, `rejected` with its answer, `threw`, or `poisoned`: not called, because it has ended threads. */
export type Outcome = { readonly kind: 'ok'; readonly value: unknown } | { readonly kind: 'rejected'; readonly rejection: Rejection } | { readonly kind: 'threw' | 'poisoned' }

const okNothing: Outcome = { kind: 'ok', value: undefined }
const ok = (value: unknown): Outcome => value === undefined ? okNothing : { kind: 'ok', value }

/** Runs one handler of a room. `detail` names the input or timer; `journalNumber` is the entry in progress, 0 for ticks and timers. */
export function guard(room: ActiveRoom, report: Reporter, handler: HandlerName, detail: string, journalNumber: number, run: () => unknown): Outcome {
  const { number: skipped, inputsThrough } = room.poison
  if (journalNumber !== 0 && (journalNumber === skipped || (journalNumber <= inputsThrough && handler === 'onInput'))) return { kind: 'poisoned' }
  mark(room.arena, room.key, handlers.indexOf(handler), journalNumber)
  try {
    room.fault('handler:before')
    const value = run()
    room.fault('handler:after')
    if (value instanceof Promise) refusePromise(room, report, nameOf(handler, detail), value)
    return ok(value)
  } catch (error) {
    if (error instanceof Rejection) return { kind: 'rejected', rejection: error }
    report(room, nameOf(handler, detail), error)
    return { kind: 'threw' }
  } finally {
    mark(room.arena, 0, 0, 0)
  }
}

const nameOf = (handler: HandlerName, detail: string): string => detail === '' ? handler : `${handler}.${detail}`

/** A function of its own: what a closure sees is allocated at each call of the function around it. */
function refusePromise(room: ActiveRoom, report: Reporter, name: string, promise: Promise<unknown>): never {
  promise.catch((error: unknown) => report(room, name, error))
  throw new TypeError(`${name} returned a promise; handlers are synchronous, tasks and prepare are not`)
}
