/**
 * One simulated instance: what it has, and how its process stands still, goes on and dies. What it does is in driver.ts, with links.ts (its connections
 * to Redis), room.ts (the room's worker) and sessions.ts (its clients).
 */
import type { Forwarding, ForwardedInput } from '../../src/backplane/forwarding.js'
import { isSame, type Position } from '../../src/base/lineage.js'
import type { Event, Ownership } from '../../src/backplane/protocol.js'
import type { Connection } from './client.js'
import type { Server, Subscriber } from './redis.js'
import type { Body, Entry, RoomCopy, RoomRecord, RoomState } from './room-state.js'
import { after, type World } from './world.js'

export interface Link { isOpen: boolean; readonly server: Server; outMs: number; inMs: number; readonly pending: Set<() => void> }

/** Beside the machine's own messages: what edges and owners say of sessions and inputs. */
export type Message =
  | { readonly kind: 'event'; readonly event: Event<Body> }
  | { readonly kind: 'input'; readonly edge: number; readonly generation: number; readonly input: ForwardedInput<undefined> }
  | { readonly kind: 'attach'; readonly edge: number; readonly session: string; readonly generation: number; readonly firstHeld: number }
  | { readonly kind: 'sessions'; readonly edge: number; readonly sessions: readonly (readonly [string, number, boolean])[] }
  | { readonly kind: 'want'; readonly session: string; readonly generation: number; readonly number: number }
  | { readonly kind: 'gone'; readonly session: string; readonly generation: number }

export interface View { readonly kind: 'record' | 'state'; readonly position: Position; readonly state: RoomState; readonly durableSeq: number; readonly isRewound: boolean }

export interface Instance {
  readonly world: World
  readonly id: number
  readonly version: number
  readonly name: string
  readonly clock: { offsetMs: number; readonly rate: number }
  /** How far its wall clock is off. */
  wallMs: number
  readonly machine: Ownership<Body>
  isAlive: boolean
  isPaused: boolean
  backlog: (() => void)[]
  /** What it had begun when it stood still: comes before everything else. */
  rest: (() => void)[]
  /** Effects until it stands still, in the midst of carrying them out. */
  pauseIn: number
  pauseMs: number
  server: Server
  isCut: boolean
  link: Link | undefined
  subscribers: Subscriber[]
  /** When something last went wrong that may keep it from hearing and answering; and of that, what went wrong with this instance alone. */
  troubleMs: number
  ownTroubleMs: number
  /** Where `state` stands. */
  at: Position | undefined
  state: RoomState
  history: RoomRecord[]
  journal: Entry[]
  readonly accepted: Map<string, number>
  readonly attaching: Map<string, number>
  isRunning: boolean
  isStill: boolean
  storeAtMs: number
  /** What clients here have not been shown yet. */
  unshown: View[]
  shownSeq: number
  answers: { readonly seq: number; readonly send: () => void }[]
  readonly forwarding: Forwarding<undefined>
  readonly clients: Map<string, Connection>
  // What its parts and its clients call: driver.ts fills them in.
  /** An event for the machine. `loaded`: what the store gave, for it to take or not. */
  tell(event: Event<Body>, loaded?: RoomCopy): void
  hear(message: Message | Event<Body>): void
  enter(client: Connection): void
  exit(client: Connection): void
  input(client: Connection, from: number, number: number): void
}

export const nowOf = ({ world, clock, wallMs }: Instance): number => clock.offsetMs + world.nowMs * clock.rate + (world.plants.wallClock === true ? wallMs : 0)

/** Does something in this process, now or when it goes on. */
export function run(instance: Instance, act: () => void): void {
  if (!instance.isAlive) return
  if (instance.isPaused) instance.backlog.push(act)
  else act()
}

export function pause(instance: Instance, ms: number): void {
  const { world } = instance
  if (!instance.isAlive || instance.isPaused) return
  world.trace?.(`${instance.name} stands still for ${Math.round(ms)} ms`)
  instance.isPaused = true
  after(world, ms, () => {
    if (!instance.isAlive) return
    instance.isPaused = false
    instance.troubleMs = instance.ownTroubleMs = world.nowMs
    world.trace?.(`${instance.name} goes on`)
    const { rest } = instance
    instance.rest = []
    for (const act of rest) if (instance.isPaused) instance.rest.push(act); else act()
    while (instance.backlog.length > 0 && !instance.isPaused && instance.isAlive) instance.backlog.shift()!()
  })
}

export const clientOf = (instance: Instance, session: string, generation: number): Connection | undefined => {
  const client = instance.clients.get(session)
  return client?.generation === generation ? client : undefined
}

/** Whether two instances show the same. */
export const isEqual = (a: Instance, b: Instance): boolean => isSame(a.machine.position, b.machine.position) && a.state.hash === b.state.hash
