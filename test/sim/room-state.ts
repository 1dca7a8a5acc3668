/**
 * A room as the simulation knows it: entries in order, a hash over them, and what each session has applied. States are never changed in place, so a
 * copy is a reference; two copies that took different entries have different hashes.
 */
import type { Head, Lineage, Position } from '../../src/base/lineage.js'

export type Entry =
  | { readonly kind: 'attach'; readonly session: string; readonly generation: number; readonly edge: number; readonly firstHeld: number }
  | { readonly kind: 'input'; readonly session: string; readonly number: number }
  | { readonly kind: 'drop'; readonly session: string }
  | { readonly kind: 'grace' }

export interface Stay { readonly generation: number; readonly edge: number; /** Ticks of grace left; -1: connected. */ readonly grace: number }

export interface RoomState {
  readonly hash: number
  readonly sessions: Readonly<Record<string, Stay>>
  /** Of every session that ever was. */
  readonly applied: Readonly<Record<string, number>>
}

/** What one flush says. */
export interface RoomRecord { readonly head: Head; readonly entries: readonly Entry[]; readonly durableSeq: number; /** What the owner had after it: for the checker alone. */ readonly after: RoomState }

/** A whole room, as it is stored and sent. */
export interface RoomCopy { readonly position: Position; readonly lineage: Lineage; readonly state: RoomState }

/** The record before it, on its line. */
export const parentOf = ({ epoch, seq, parentEpoch, forkSeq }: Head): Position => (seq === forkSeq + 1 ? { epoch: parentEpoch, seq: forkSeq } : { epoch, seq: seq - 1 })

/** What the machine carries for the driver. */
export type Body = RoomRecord | RoomState

export const emptyState: RoomState = { hash: 17, sessions: {}, applied: {} }
const graceTicks = 12

function mix(hash: number, text: string): number {
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193) >>> 0
  return Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 0
}

export function applyEntries(state: RoomState, entries: readonly Entry[]): RoomState {
  let { hash } = state
  const sessions = { ...state.sessions }, applied = { ...state.applied }
  for (const entry of entries) {
    hash = mix(hash, `${entry.kind} ${'session' in entry ? entry.session : ''} ${entry.kind === 'input' ? entry.number : entry.kind === 'attach' ? entry.generation : 0}`)
    if (entry.kind === 'attach') {
      sessions[entry.session] = { generation: entry.generation, edge: entry.edge, grace: -1 }
      applied[entry.session] = Math.max(applied[entry.session] ?? 0, entry.firstHeld - 1)
    } else if (entry.kind === 'input') applied[entry.session] = entry.number
    else if (entry.kind === 'drop') {
      if (sessions[entry.session] !== undefined) sessions[entry.session] = { ...sessions[entry.session], grace: graceTicks }
    } else {
      for (const [session, stay] of Object.entries(sessions)) {
        if (stay.grace > 0) sessions[session] = { ...stay, grace: stay.grace - 1 }
        else if (stay.grace === 0) delete sessions[session]
      }
    }
  }
  return { hash, sessions, applied }
}
