/**
 * What must hold in every run, whatever breaks. Sees everything at once, which nobody in the world does; throws at the first thing that is wrong.
 */
import { isNewer, isSame, start, type Position } from '../../src/base/lineage.js'
import { parentOf, type Entry, type RoomRecord, type RoomState } from './room-state.js'

export interface Checker {
  readonly records: Map<string, { readonly record: RoomRecord; readonly parent: Position }>
  readonly granted: Set<number>
  /** Inputs that were refused on their way, or given up by their client: later ones may pass them over. */
  readonly voided: Set<string>
  /** Inputs whose client has heard that they were refused: no room may apply them any more. */
  readonly nacked: Set<string>
  /** By session: the last input that its client saw as durable. */
  readonly durable: Map<string, number>
  highestVersion: number
  readonly counts: Record<string, number>
}

export const createChecker = (): Checker => ({ records: new Map(), granted: new Set(), voided: new Set(), nacked: new Set(), durable: new Map(), highestVersion: 0, counts: {} })

export class Violation extends Error { override name = 'Violation' }
export function must(condition: boolean, what: string): asserts condition { if (!condition) throw new Violation(what) }
export const count = ({ counts }: Checker, what: string, by = 1): void => { counts[what] = (counts[what] ?? 0) + by }
export const show = (position: Position | undefined): string => (position === undefined ? 'nothing' : `${position.epoch % 10_000_000}-${position.seq}`)

const keyOf = ({ epoch, seq }: Position): string => `${epoch}-${seq}`

export function grant({ granted }: Checker, epoch: number): void {
  must(!granted.has(epoch), `epoch ${epoch} was granted twice`)
  granted.add(epoch)
}

/** An owner has made a record. */
export function make(checker: Checker, record: RoomRecord, before: RoomState): void {
  const key = keyOf(record.head)
  must(!checker.records.has(key), `two records have the position ${show(record.head)}`)
  checker.records.set(key, { record, parent: parentOf(record.head) })
  count(checker, 'records')
  checkInputs(checker, record.entries, before)
}

function checkInputs(checker: Checker, entries: readonly Entry[], { applied }: RoomState): void {
  const last = { ...applied }
  for (const entry of entries) {
    if (entry.kind === 'attach') last[entry.session] = Math.max(last[entry.session] ?? 0, entry.firstHeld - 1)
    if (entry.kind !== 'input') continue
    const { session, number } = entry, from = last[session] ?? 0
    must(number > from, `input ${number} of ${session} was applied again, or behind ${from}`)
    must(!checker.nacked.has(`${session} ${number}`), `input ${number} of ${session} was applied after it had been refused`)
    for (let missed = from + 1; missed < number; missed++) must(checker.voided.has(`${session} ${missed}`), `input ${missed} of ${session} was passed over by ${number}`)
    last[session] = number
    count(checker, 'inputs')
  }
}

/** A copy has applied a record: it must have been at the record's parent, and be now what the owner was. */
export function applied(checker: Checker, who: string, at: Position, record: RoomRecord, now: RoomState): void {
  must(isSame(at, parentOf(record.head)), `${who} at ${show(at)} applied ${show(record.head)}, whose parent is ${show(parentOf(record.head))}`)
  count(checker, 'applied')
  must(now.hash === record.after.hash, `${who} differs from the owner at ${show(record.head)}`)
}

/** Whether `a` is `b`, or before it on its line. */
export function isBehind({ records }: Checker, a: Position, b: Position): boolean {
  for (let at: Position | undefined = b; at !== undefined && at.seq >= a.seq; at = records.get(keyOf(at))?.parent) if (isSame(a, at)) return true
  return isSame(a, start)
}

/** The newest record that both have. */
function fork(checker: Checker, a: Position, b: Position): Position {
  let at: Position = a
  while (!isBehind(checker, at, b)) at = checker.records.get(keyOf(at))?.parent ?? start
  return at
}

/** A copy goes over to `to`: it must say, exactly, how much it gives up. */
export function wentOver(checker: Checker, who: string, from: Position | undefined, to: Position, told: number | undefined): void {
  const lost = from === undefined ? 0 : from.seq - fork(checker, from, to).seq
  must(lost === (told ?? 0), `${who} went from ${show(from)} to ${show(to)} and gave up ${lost} records, but said ${told ?? 'nothing'}`)
  if (lost > 0) count(checker, 'discarded', lost)
}

/** A client is shown a record, or a whole state. */
export function shown(checker: Checker, who: string, at: Position | undefined, to: Position, kind: 'record' | 'state', isRewound: boolean): void {
  if (at === undefined) return
  if (kind === 'record') {
    const parent = checker.records.get(keyOf(to))?.parent
    must(isSame(parent, at), `${who} at ${show(at)} accepted ${show(to)}, whose parent is ${show(parent)}`)
  } else must(isRewound || isBehind(checker, at, to), `${who} went from ${show(at)} back to ${show(to)}, and was not told`)
}

/** A new owner begins at `at`: nobody who could be asked, and nothing stored, may be ahead of it. */
export function began(checker: Checker, who: string, at: Position | undefined, others: readonly { readonly name: string; readonly position: Position | undefined }[]): void {
  count(checker, 'takeovers')
  for (const { name, position } of others) must(position === undefined || !isNewer(position, at), `${who} began at ${show(at)}, but ${name} had ${show(position)}`)
}
