/**
 * Simulated players: each sends numbered inputs, keeps them until they are durable, comes back to any instance when its connection is lost, and checks
 * what it is shown.
 */
import type { Position } from '../../src/base/lineage.js'
import { count, must, shown } from './checker.js'
import { run, type Instance, type View } from './instance.js'
import { after, at, between, chance, delay, pick, type World } from './world.js'

export interface Player {
  readonly world: World
  readonly name: string
  /** Sessions that this player has had. */
  stays: number
  session: string
  generation: number
  connection: Connection | undefined
  /** Welcome on this connection. */
  isIn: boolean
  next: number
  /** Numbers that are not durable yet; refused ones are no longer among them. */
  held: number[]
  /** Applied, as the player was shown, at which seq; until that is durable. */
  answered: { readonly through: number; readonly seq: number }[]
  position: Position | undefined
  rewound: number
}

/** One connection, as both ends know it. `isLive` and `sentPosition` are the edge's. */
export interface Connection {
  readonly player: Player
  readonly edge: Instance
  readonly session: string
  readonly generation: number
  readonly firstHeld: number
  readonly sent: number
  isOpen: boolean
  isLive: boolean
  sentPosition: Position | undefined
  outMs: number
  inMs: number
}

export function createPlayer(world: World, name: string): Player {
  const player: Player = { world, name, stays: 1, session: `${name}.1`, generation: 0, connection: undefined, isIn: false, next: 1, held: [], answered: [], position: undefined, rewound: 0 }
  comeBack(player)
  play(player)
  return player
}

function play(player: Player): void {
  const { world } = player
  after(world, between(world, 60, 240), () => {
    if (player.isIn && !world.isQuiet && player.held.length < 200) {
      const number = player.next++
      player.held.push(number)
      sendInput(player, number, number)
    }
    if (world.isFaulty && chance(world, 0.004)) cut(player)
    if (world.isFaulty && chance(world, 0.002)) quit(player)
    play(player)
  })
}

/** Takes any instance that takes connections. */
function comeBack(player: Player): void {
  const { world } = player
  after(world, between(world, 5, 200), () => {
    if (player.connection !== undefined) return
    const edges = world.instances.filter(({ isAlive, machine }) => isAlive && !machine.isDraining)
    if (edges.length === 0) return comeBack(player)
    player.generation++
    const edge = pick(world, edges)
    const connection: Connection = {
      player, edge, session: player.session, generation: player.generation, firstHeld: player.held[0] ?? player.next, sent: player.next - 1,
      isOpen: true, isLive: false, sentPosition: player.position, outMs: 0, inMs: 0,
    }
    player.connection = connection
    player.isIn = false
    toEdge(connection, () => edge.enter(connection))
    after(world, 1500, () => { if (connection.isOpen && !player.isIn) cut(player) })
  })
}

/** The connection is gone; both sides hear of it. */
export function cut(player: Player): void {
  const { connection } = player
  if (connection === undefined) return
  connection.isOpen = false
  player.connection = undefined
  player.isIn = false
  const { edge } = connection
  run(edge, () => edge.exit(connection))
  comeBack(player)
}

export function lostConnection(connection: Connection): void {
  connection.isOpen = false
  const { player } = connection
  if (player.connection !== connection) return
  player.connection = undefined
  player.isIn = false
  comeBack(player)
}

function toEdge(connection: Connection, act: () => void): void {
  const { world } = connection.player
  at(world, connection.outMs = Math.max(connection.outMs, world.nowMs + delay(world)), () => { if (connection.isOpen) run(connection.edge, () => { if (connection.isOpen) act() }) })
}

function toPlayer(connection: Connection, act: (player: Player) => void): void {
  const { world } = connection.player
  at(world, connection.inMs = Math.max(connection.inMs, world.nowMs + delay(world)), () => { if (connection.isOpen) act(connection.player) })
}

function sendInput({ connection }: Player, from: number, number: number): void {
  if (connection !== undefined) toEdge(connection, () => connection.edge.input(connection, from, number))
}

/** Everything held from `wanted` on; what is held no longer is named by `from`. */
function sendAgain(player: Player, wanted: number): void {
  const { world, held, session } = player
  let from = wanted
  world.trace?.(`${player.name} sends again from ${wanted}: ${held.join(' ')}`)
  for (const number of held) {
    if (number < wanted) continue
    for (let missing = from; missing < number; missing++) world.checker.voided.add(`${session} ${missing}`)
    sendInput(player, from, number)
    from = number + 1
  }
}

// What the edge says

export const hearWant = (connection: Connection, number: number): void => toPlayer(connection, (player) => sendAgain(player, number))

export const refused = (connection: Connection, number: number): void => toPlayer(connection, (player) => {
  player.world.checker.nacked.add(`${player.session} ${number}`)
  player.held = player.held.filter((held) => held !== number)
})

export const hearWelcome = (connection: Connection, view: View): void => toPlayer(connection, (player) => {
  player.isIn = true
  look(player, view)
  const applied = view.state.applied[player.session] ?? 0
  player.next = Math.max(player.next, applied + 1)
  sendAgain(player, applied + 1)
})

export const hearView = (connection: Connection, view: View): void => toPlayer(connection, (player) => look(player, view))

function look(player: Player, { kind, position, state, durableSeq, isRewound }: View): void {
  const { world, session } = player, { checker } = world
  shown(checker, player.name, player.position, position, kind, isRewound)
  if (isRewound) { player.rewound++; count(checker, 'rewound'); player.answered = [] }
  player.position = position
  const through = state.applied[session] ?? 0
  player.answered.push({ through, seq: position.seq })
  settle(player, durableSeq)
}

export const sendAway = (connection: Connection): void => toPlayer(connection, cut)

export const hearDurable = (connection: Connection, seq: number): void => toPlayer(connection, (player) => settle(player, seq))

function settle(player: Player, durableSeq: number): void {
  const { world: { checker }, session } = player
  const isDurable = ({ seq }: { seq: number }): boolean => seq <= durableSeq
  const durable = player.answered.filter(isDurable).at(-1)?.through
  player.answered = player.answered.filter((answer) => !isDurable(answer))
  if (durable === undefined) return
  player.held = player.held.filter((number) => number > durable)
  checker.durable.set(session, Math.max(checker.durable.get(session) ?? 0, durable))
}

/** The room does not know the session any more. */
export const forget = (connection: Connection): void => toPlayer(connection, (player) => {
  count(player.world.checker, 'sessions gone')
  quit(player)
})

/** Leaves without a word, for good; somebody new comes in its place. */
export function quit(player: Player): void {
  Object.assign(player, { session: `${player.name}.${++player.stays}`, generation: 0, next: 1, held: [], answered: [], position: undefined } satisfies Partial<Player>)
  cut(player)
}

export const isSettled = ({ isIn, next, held, session }: Player, applied: Readonly<Record<string, number>>): boolean =>
  isIn && held.length === 0 && (applied[session] ?? 0) >= (next - 1)

export function checkDurable({ world }: Player, applied: Readonly<Record<string, number>>): void {
  for (const [session, number] of world.checker.durable) must((applied[session] ?? 0) >= number, `${session} saw input ${number} as durable, and the room has ${applied[session] ?? 0}`)
}
