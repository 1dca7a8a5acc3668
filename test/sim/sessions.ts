/** Clients of an instance, and sessions of a room: what an edge says to the owner, and what the owner makes of it. */
import { closeLane, takeInput, type ForwardedInput } from '../../src/backplane/forwarding.js'
import { accepts } from '../../src/base/input-order.js'
import { hasOwner, isOvertaken } from '../../src/backplane/ownership.js'
import { count, must } from './checker.js'
import { hearWant, refused, sendAway, type Connection } from './client.js'
import { nowOf, type Instance, type Message } from './instance.js'
import { send } from './links.js'
import { knownDurable, showTo } from './room.js'

export const sessionsHere = ({ clients, id }: Instance): Message => ({ kind: 'sessions', edge: id, sessions: [...clients.values()].map(({ session, generation, isLive }) => [session, generation, isLive]) })

export function enter(instance: Instance, client: Connection): void {
  if (isOvertaken(instance.machine, client.sentPosition, nowOf(instance))) return sendAway(client)
  instance.clients.set(client.session, client)
  askAttach(instance, client)
}

export function exit(instance: Instance, client: Connection): void {
  if (instance.clients.get(client.session) !== client) return
  instance.clients.delete(client.session)
  closeLane(instance.forwarding, client.session)
}

export function askAttach(instance: Instance, client: Connection): void {
  const { machine, id, state } = instance
  const stay = state.sessions[client.session]
  if (machine.position !== undefined && stay?.generation === client.generation && stay.edge === id && machine.role === 'following' && instance.unshown.length === 0) {
    return showTo(instance, client, { kind: 'state', position: machine.position, state, durableSeq: knownDurable(instance, machine.position.seq), isRewound: false })
  }
  if (!hasOwner(machine)) return
  send(instance, machine.role === 'owning' ? id : machine.owner, { kind: 'attach', edge: id, session: client.session, generation: client.generation, firstHeld: client.firstHeld })
}

export function attach(instance: Instance, { edge, session, generation, firstHeld }: Extract<Message, { kind: 'attach' }>): void {
  if (instance.machine.role !== 'owning' || !instance.isRunning) return
  const stay = instance.state.sessions[session], known = Math.max(stay?.generation ?? 0, instance.attaching.get(session) ?? 0)
  if (known === 0 && (generation > 1 || instance.state.applied[session] !== undefined)) return send(instance, edge, { kind: 'gone', session, generation })
  if (generation <= known) return
  instance.attaching.set(session, generation)
  const accepted = instance.accepted.get(session) ?? instance.state.applied[session] ?? 0
  for (let number = accepted + 1; number < firstHeld; number++) lose(instance, session, number)
  instance.accepted.set(session, Math.max(accepted, firstHeld - 1))
  instance.journal.push({ kind: 'attach', session, generation, edge, firstHeld })
}

/** The room went back behind what a client no longer holds. */
export function lose(instance: Instance, session: string, number: number): void {
  const { world } = instance, { checker } = world
  count(checker, 'lost inputs')
  must(!world.settings.durability.startsWith('ops') || world.mayForget || checker.voided.has(`${session} ${number}`), `input ${number} of ${session} was durable, and is lost`)
  checker.voided.add(`${session} ${number}`)
}

export function reconcile(instance: Instance, edge: number, sessions: readonly (readonly [string, number, boolean])[]): void {
  const { machine, state } = instance
  if (machine.role !== 'owning' || !instance.isRunning) return
  const there = new Map(sessions.map(([session, generation, isLive]) => [session, { generation, isLive }]))
  const attachAgain = (session: string, generation: number): void => {
    instance.attaching.set(session, generation)
    instance.journal.push({ kind: 'attach', session, generation, edge, firstHeld: 0 })
  }
  for (const [session, stay] of Object.entries(state.sessions)) {
    if (stay.edge !== edge || instance.attaching.has(session)) continue
    const client = there.get(session)
    if (client === undefined && stay.grace < 0) drop(instance, session)
    if (client?.generation === stay.generation && stay.grace >= 0) attachAgain(session, stay.generation)
  }
  for (const [session, { generation, isLive }] of there) {
    if (!isLive || instance.attaching.has(session)) continue
    const stay = state.sessions[session]
    if (stay === undefined) send(instance, edge, { kind: 'gone', session, generation })
    // It was welcome in what the room has given up since.
    else if (stay.generation < generation) attachAgain(session, generation)
  }
}

export function drop(instance: Instance, session: string): void {
  if (!instance.journal.some((entry) => entry.kind === 'drop' && entry.session === session)) instance.journal.push({ kind: 'drop', session })
}

export function sweep(instance: Instance, alive: readonly number[]): void {
  for (const [session, stay] of Object.entries(instance.state.sessions)) {
    if (stay.grace < 0 && !alive.includes(stay.edge) && !instance.attaching.has(session)) drop(instance, session)
  }
}

/** A client's input arrives at its edge. */
export function hearInput(instance: Instance, client: Connection, from: number, number: number): void {
  const { machine, forwarding } = instance
  if (!client.isLive) return
  const verdict = takeInput(forwarding, client.session, from, number, undefined, { hasOwner: hasOwner(machine), isRefused: false }, nowOf(instance))
  if (verdict.kind === 'want') hearWant(client, verdict.number)
  else if (verdict.kind === 'refuse') refuse(instance, client.session, number)
  else if (verdict.kind === 'forward') forwardInput(instance, verdict.input)
}

export function refuse(instance: Instance, session: string, number: number): void {
  count(instance.world.checker, 'expired')
  instance.world.trace?.(`${instance.name} refuses input ${number} of ${session}`)
  instance.world.checker.voided.add(`${session} ${number}`)
  const client = instance.clients.get(session)
  if (client !== undefined) refused(client, number)
}

export function forwardInput(instance: Instance, input: ForwardedInput<undefined>): void {
  const { machine, id } = instance, generation = instance.clients.get(input.session)?.generation ?? 0
  send(instance, machine.role === 'owning' ? id : machine.owner, { kind: 'input', edge: id, generation, input })
}

/** And at the owner. */
export function acceptInput(instance: Instance, edge: number, generation: number, { session, from, number }: ForwardedInput<undefined>): void {
  const { machine, state, world } = instance
  if (machine.role !== 'owning' || !instance.isRunning || state.sessions[session]?.generation !== generation || instance.attaching.has(session)) {
    world.trace?.(`${instance.name} drops input ${number} of ${session} ${generation}: ${machine.role} ${JSON.stringify(state.sessions[session])}`)
    return
  }
  const accepted = instance.accepted.get(session) ?? state.applied[session] ?? 0
  const verdict = (world.plants.accepts ?? accepts)(accepted, from, number)
  if (verdict === 'hole') return send(instance, edge, { kind: 'want', session, generation, number: accepted + 1 })
  if (verdict === 'repeat') return
  world.trace?.(`${instance.name} takes input ${number} (from ${from}) of ${session}`)
  instance.accepted.set(session, number)
  instance.journal.push({ kind: 'input', session, number })
}
