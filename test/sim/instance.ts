/**
 * One simulated instance: the real machine, and a driver around it as the engine's will be: carries out effects in order, talks to Redis over a
 * connection that loses answers, keeps state and history, applies inputs, serves its clients. It may stand still between any two effects.
 */
import { accepts, closeLane, createForwarding, expireHeld, findStalled, forwardHeld, moveLane, openLane, takeInput, wantAgain, type Forwarding, type ForwardedInput } from '../../src/backplane/forwarding.js'
import { continues, isOn, isSame, isNewer, type Lineage, type Position } from '../../src/backplane/lineage.js'
import { createOwnership, hasOwner, isAttached, isOvertaken, step } from '../../src/backplane/ownership.js'
import type { Effect, Event, HeardRecord, Ownership } from '../../src/backplane/protocol.js'
import { nextFloat } from '../../src/base/prng.js'
import { applied, began, count, make, must, show, wentOver } from './checker.js'
import { forget as clientGone, hearDurable, hearView, hearWant, hearWelcome, lostConnection, refused, sendAway, type Connection } from './client.js'
import { claimScript, handOverScript, logScript, publish, publishScript, rebuild, releaseScript, renewScript, storeScript, type Server, type Subscriber } from './redis.js'
import { applyEntries, emptyState, type Body, type Entry, type RoomCopy, type RoomRecord, type RoomState } from './room-state.js'
import { after, at, between, chance, delay, type World } from './world.js'

interface Link { isOpen: boolean; readonly server: Server; outMs: number; inMs: number; readonly pending: Set<() => void> }

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
  /** Effects until it stands still, in the midst of carrying them out. */
  pauseIn: number
  pauseMs: number
  server: Server
  isCut: boolean
  link: Link | undefined
  subscribers: Subscriber[]
  /** When something last went wrong with it that may keep it from answering. */
  troubleMs: number
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
}

export function createInstance(world: World, id: number, version: number, server: Server): Instance {
  const instance: Instance = {
    world, id, version, name: `#${id}v${version}`, clock: { offsetMs: between(world, 0, 1_000_000), rate: between(world, 0.985, 1.015) }, wallMs: between(world, -10_000, 10_000),
    machine: createOwnership<Body>({ ...world.settings, continues: world.plants.continues ?? continues, instance: id, version, random: () => nextFloat(world.random) }),
    isAlive: true, isPaused: false, backlog: [], pauseIn: 0, pauseMs: 0, server, isCut: false, link: undefined, subscribers: [], troubleMs: world.nowMs,
    at: undefined, state: emptyState, history: [], journal: [], accepted: new Map(), attaching: new Map(), isRunning: false, isStill: false, storeAtMs: 0,
    unshown: [], shownSeq: 0, answers: [], forwarding: createForwarding(), clients: new Map(),
  }
  connect(instance)
  subscribe(instance)
  if (instance.link === undefined) { handle(instance, { kind: 'unreachable' }); loseSubscribers(instance); reconnect(instance) }
  handle(instance, { kind: 'wanted' })
  const each = (ms: number, act: () => void): void => after(world, ms, () => {
    if (!instance.isAlive) return
    run(instance, act)
    each(ms, act)
  })
  each(40, () => {
    // Somebody sets the clock.
    if (world.isFaulty && world.plants.wallClock === true && chance(world, 0.01)) instance.wallMs += between(world, -2000, 2000)
    passTime(instance)
  })
  each(50, () => flush(instance))
  return instance
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
    instance.troubleMs = world.nowMs
    world.trace?.(`${instance.name} goes on`)
    while (instance.backlog.length > 0 && !instance.isPaused && instance.isAlive) instance.backlog.shift()!()
  })
}

export function crash(instance: Instance): void {
  const { world } = instance
  world.trace?.(`${instance.name} dies`)
  instance.isAlive = false
  disconnect(instance)
  for (const subscriber of instance.subscribers) subscriber.isOpen = false
  for (const client of [...instance.clients.values()]) lostConnection(client)
  instance.clients.clear()
}

// The connections to Redis

const canReach = ({ isCut, server }: Instance): boolean => !isCut && server.isUp

function connect(instance: Instance): void {
  if (canReach(instance)) instance.link = { isOpen: true, server: instance.server, outMs: 0, inMs: 0, pending: new Set() }
}

/** Ends both connections; they come back when Redis can be reached. */
export function disconnect(instance: Instance): void {
  const { link, world } = instance
  instance.troubleMs = world.nowMs
  loseSubscribers(instance)
  if (link === undefined) return
  link.isOpen = false
  instance.link = undefined
  run(instance, () => handle(instance, { kind: 'unreachable' }))
  for (const fail of [...link.pending]) fail()
  if (instance.isAlive) reconnect(instance)
}

function reconnect(instance: Instance): void {
  after(instance.world, between(instance.world, 20, 120), () => {
    if (!instance.isAlive || instance.link !== undefined) return
    connect(instance)
    if (instance.link === undefined) return reconnect(instance)
    run(instance, () => handle(instance, { kind: 'reachable' }))
  })
}

function subscribe(instance: Instance): void {
  const { server, world } = instance
  for (const topics of [['channel'], [`inbox ${instance.id}`]]) {
    const subscriber: Subscriber = { topics, lastMs: {}, isOpen: true, hear: (_topic, message) => run(instance, () => hear(instance, message as Message | Event<Body>)) }
    server.subscribers = [...server.subscribers.filter(({ isOpen }) => isOpen), subscriber]
    instance.subscribers.push(subscriber)
  }
  instance.troubleMs = world.nowMs
}

export function loseSubscribers(instance: Instance): void {
  const { world } = instance
  instance.troubleMs = world.nowMs
  if (instance.subscribers.length === 0) return
  for (const subscriber of instance.subscribers) subscriber.isOpen = false
  instance.subscribers = []
  const again = (): void => after(world, between(world, 10, 150), () => {
    if (!instance.isAlive || instance.subscribers.length > 0) return
    if (!canReach(instance)) return again()
    subscribe(instance)
    run(instance, () => handle(instance, { kind: 'subscribed' }))
  })
  again()
}

/** Runs a script. `then` is told its answer, or undefined if there came none: then it has run, or will, or will not. */
function call(instance: Instance, script: (server: Server) => Event<Body> | undefined, then: (event: Event<Body> | undefined, isLost: boolean) => void): void {
  const { world, link } = instance
  let isSettled = false
  const settle = (event: Event<Body> | undefined, isLost: boolean): void => {
    if (isSettled) return
    isSettled = true
    link?.pending.delete(lose)
    run(instance, () => then(event, isLost))
  }
  const lose = (): void => settle(undefined, true)
  if (link === undefined) return after(world, 1, lose)
  link.pending.add(lose)
  after(world, 400, lose)
  const execute = (): void => {
    const { server } = link
    if (!server.isUp || (!link.isOpen && chance(world, 0.5))) return
    if (server.pausedUntilMs > world.nowMs) return at(world, link.outMs = server.pausedUntilMs + 0.1, execute)
    const event = script(server)
    link.inMs = Math.max(link.inMs, world.nowMs + delay(world))
    at(world, link.inMs, () => { if (link.isOpen) settle(event, false) })
  }
  at(world, link.outMs = Math.max(link.outMs, world.nowMs + delay(world)), execute)
}

const send = (instance: Instance, to: number, message: Message): void => {
  if (to === instance.id) return run(instance, () => hear(instance, message))
  call(instance, (server) => { publish(instance.world, server, `inbox ${to}`, message); return undefined }, () => {})
}
const sendEvent = (instance: Instance, to: number, event: Event<Body>): void => send(instance, to, { kind: 'event', event })

// Events and effects

/** `loaded`: what the store gave, for the machine to take or not. */
export function handle(instance: Instance, event: Event<Body>, loaded?: RoomCopy): void {
  const { machine, world } = instance
  if (!instance.isAlive) return
  const before = machine.position
  const effects = step(machine, event, nowOf(instance))
  if (world.trace !== undefined && (effects.length > 0 || event.kind !== 'time')) {
    world.trace(`${instance.name} ${machine.role} ${show(machine.position)} <- ${brief(event)}${effects.map((effect) => `\n        ${brief(effect)}`).join('')}`)
  }
  let told: number | undefined
  for (const effect of effects) {
    if (effect.kind === 'discard') told = (told ?? 0) + effect.count
    if (effect.kind === 'adopt') wentOver(world.checker, instance.name, before, effect.position, told)
  }
  if (loaded !== undefined && isSame(machine.position, loaded.position) && !isSame(before, loaded.position)) {
    wentOver(world.checker, instance.name, before, loaded.position, told)
    adopt(instance, loaded.position, loaded.state)
  }
  carryOut(instance, effects)
}

const brief = (of: Event<Body> | Effect<Body>): string => JSON.stringify(of, (key, value: unknown) => (key === 'body' || key === 'lineage' ? undefined : key === 'records' ? (value as HeardRecord<Body>[]).length : typeof value === 'number' && value > 1e12 ? `…${value % 10_000_000}` : typeof value === 'number' ? Math.round(value) : value))

function carryOut(instance: Instance, effects: readonly Effect<Body>[]): void {
  effects.forEach((effect, index) => {
    if (instance.pauseIn > 0 && --instance.pauseIn === 0) {
      pause(instance, instance.pauseMs)
      instance.backlog.unshift(() => carryOut(instance, effects.slice(index)))
    }
    if (!instance.isPaused) effectOf(instance, effect)
  })
}

function effectOf(instance: Instance, effect: Effect<Body>): void {
  const { world, machine, id, version } = instance
  const answerWith = (failed: Event<Body>) => (event: Event<Body> | undefined): void => {
    if (event === undefined) return handle(instance, failed)
    handle(instance, world.plants.leaseFromAnswer === true && 'sentMs' in event ? { ...event, sentMs: nowOf(instance) } : event)
  }
  const say = (epoch: number, event: Event<Body>): void => call(instance, (server) => publishScript(world, server, epoch, event), (answer) => { if (answer !== undefined) handle(instance, answer) })
  switch (effect.kind) {
    case 'claim': return call(instance, (server) => claimScript(world, server, instance, effect.take, effect.seen, effect.sentMs), answerWith({ kind: 'claimFailed' }))
    case 'renew': return call(instance, (server) => renewScript(world, server, { id, version }, effect.epoch, effect.sentMs), answerWith({ kind: 'renewFailed' }))
    case 'handOver': return call(instance, (server) => handOverScript(world, server, effect.to, effect.epoch, effect.position), answerWith({ kind: 'handOverFailed' }))
    case 'load': return load(instance, effect.from)
    case 'store': return store(instance, effect.epoch)
    case 'release': {
      const copy = effect.stored !== undefined && world.settings.durability !== 'none' ? { ...effect.stored, state: instance.state } : undefined
      return call(instance, (server) => { releaseScript(world, server, effect.epoch, copy); return undefined }, () => {})
    }
    case 'publish': return publishRecord(instance, effect.epoch, effect.seq)
    case 'announce': return world.plants.isMute === true ? undefined : say(effect.epoch, { kind: 'announced', epoch: effect.epoch, owner: id, position: effect.position })
    case 'beat': return say(effect.head.epoch, { ...effect, owner: id })
    case 'subscribe': return loseSubscribers(instance)
    case 'ask': return sendEvent(instance, effect.to, { kind: 'asked', from: id, request: effect.request, position: effect.position, seen: effect.seen, isFetch: effect.isFetch })
    case 'answer': return answer(instance, effect)
    case 'offer': return sendEvent(instance, effect.to, { kind: 'offered', from: id, epoch: effect.epoch, position: effect.position })
    case 'present':
      sendEvent(instance, effect.to, { kind: 'present', from: id, version: effect.version, isDraining: effect.isDraining, hasReplica: effect.hasReplica })
      return send(instance, effect.to, sessionsHere(instance))
    case 'propose': return sendEvent(instance, effect.to, { kind: 'proposed', from: id, request: effect.request, position: effect.position })
    case 'confirm': return sendEvent(instance, effect.to, { kind: 'confirmed', request: effect.request })
    case 'refuse': return sendEvent(instance, effect.to, { kind: 'refused', request: effect.request })
    case 'run': return begin(instance, effect.isNew)
    case 'pause': instance.isStill = true; return
    case 'goOn': instance.isStill = false; instance.isRunning = machine.role === 'owning'; return
    case 'halt':
      flush(instance)
      instance.isRunning = false
      return handle(instance, { kind: 'halted' })
    case 'follow': return endRunning(instance)
    case 'apply': return apply(instance, effect.body as RoomRecord)
    case 'adopt': return adopt(instance, effect.position, effect.body as RoomState)
    case 'drop': instance.history = []; instance.unshown = []; instance.at = undefined; return
    case 'deliver': return deliver(instance, effect.seq)
    case 'sweep': return sweep(instance, effect.alive)
    case 'durable': for (const client of instance.clients.values()) if (client.isLive) hearDurable(client, effect.seq); return
    case 'detached': case 'attached': return
    case 'discard': count(world.checker, 'discards'); return
  }
}

function hear(instance: Instance, message: Message | Event<Body>): void {
  switch (message.kind) {
    case 'event': return handle(instance, message.event)
    case 'input': return acceptInput(instance, message.edge, message.generation, message.input)
    case 'attach': return attach(instance, message)
    case 'sessions': return reconcile(instance, message.edge, message.sessions)
    case 'want': {
      const client = clientOf(instance, message.session, message.generation)
      if (client !== undefined && wantAgain(instance.forwarding, message.session, message.number, nowOf(instance))) hearWant(client, message.number)
      return
    }
    case 'gone': {
      const client = clientOf(instance, message.session, message.generation)
      if (client !== undefined) clientGone(client)
      return
    }
    default: return handle(instance, message)
  }
}

const clientOf = (instance: Instance, session: string, generation: number): Connection | undefined => {
  const client = instance.clients.get(session)
  return client?.generation === generation ? client : undefined
}

// Records, state and store

const copyOf = ({ machine, state }: Instance): RoomCopy => ({ position: machine.position!, lineage: upToPosition(machine.lineage, machine.position!), state })
const upToPosition = (lineage: Lineage, { epoch }: Position): Lineage => lineage.slice(0, lineage.findLastIndex((fork) => fork.epoch === epoch) + 1)

function load(instance: Instance, from: Position | undefined): void {
  let copy: RoomCopy | undefined
  call(instance, (server) => { copy = rebuild(server.data); return undefined }, (_event, isLost) => {
    if (isLost) return handle(instance, { kind: 'loadFailed' })
    if (instance.machine.gather?.isLoading === true && isSame(instance.machine.position, from)) {
      handle(instance, { kind: 'loaded', position: copy?.position, lineage: copy?.lineage ?? [] }, copy)
    }
  })
}

function store(instance: Instance, epoch: number): void {
  const { world, machine } = instance
  if (machine.epoch !== epoch || machine.position === undefined) return
  const copy = copyOf(instance)
  call(instance, (server) => storeScript(world, server, epoch, copy), (event, isLost) => handle(instance, isLost ? { kind: 'storeFailed' } : event!))
}

function publishRecord(instance: Instance, epoch: number, seq: number): void {
  const { world, id } = instance
  const record = instance.history.find(({ head }) => head.epoch === epoch && head.seq === seq)
  const isLogged = world.settings.durability === 'ops' || world.settings.durability === 'ops-sync'
  if (record === undefined) return isLogged ? handle(instance, { kind: 'logGap', epoch }) : undefined
  const message: Event<Body> = { kind: 'record', head: record.head, owner: id, body: record }
  if (isLogged) return call(instance, (server) => logScript(world, server, record, message), (event, isLost) => handle(instance, isLost ? { kind: 'logFailed', epoch } : event!))
  call(instance, (server) => publishScript(world, server, epoch, message), (event) => { if (event !== undefined) handle(instance, event) })
}

function answer(instance: Instance, { to, request, from }: Extract<Effect<Body>, { kind: 'answer' }>): void {
  const { machine, history, id, world } = instance
  const first = from === undefined ? -1 : history.findIndex(({ head }) => head.seq === from.seq + 1)
  const records = from !== undefined && isSame(from, machine.position) ? [] : first < 0 ? undefined : history.slice(first)
  const event: Event<Body> = records !== undefined
    ? { kind: 'records', request, records: records.map((record) => ({ head: record.head, owner: id, body: record })) }
    : { kind: 'state', request, position: machine.position!, lineage: copyOf(instance).lineage, body: instance.state }
  const seq = machine.position!.seq
  if (world.settings.durability !== 'ops-sync' || machine.role === 'following' || instance.shownSeq >= seq) return sendEvent(instance, to, event)
  instance.answers.push({ seq, send: () => sendEvent(instance, to, event) })
}

const historyMax = 48
function keep(instance: Instance, record: RoomRecord): void {
  instance.history.push(record)
  if (instance.history.length > historyMax) instance.history.shift()
}

function apply(instance: Instance, record: RoomRecord): void {
  const { world } = instance
  const { head } = record
  instance.state = applyEntries(instance.state, record.entries)
  applied(world.checker, instance.name, instance.at!, record, instance.state)
  instance.at = { epoch: head.epoch, seq: head.seq }
  keep(instance, record)
  instance.unshown.push({ kind: 'record', position: instance.at, state: instance.state, durableSeq: record.durableSeq, isRewound: false })
  afterChange(instance)
}

function adopt(instance: Instance, position: Position, state: RoomState): void {
  instance.state = state
  instance.at = position
  instance.history = []
  instance.unshown = [{ kind: 'state', position, state, durableSeq: knownDurable(instance, position.seq), isRewound: false }]
  afterChange(instance)
}

function afterChange(instance: Instance): void {
  for (const [session] of instance.clients) moveLane(instance.forwarding, session, instance.state.applied[session] ?? 0, nowOf(instance))
  if (instance.machine.role === 'following') showAll(instance, Infinity)
}

/** With an asynchronous log nothing is durable before the log says so; else what is shown is. */
const knownDurable = ({ world, machine }: Instance, seq: number): number => (world.settings.durability === 'ops' ? machine.epoch === 0 ? 0 : machine.loggedSeq : seq)

function deliver(instance: Instance, seq: number): void {
  instance.shownSeq = Math.max(instance.shownSeq, seq)
  showAll(instance, seq)
  instance.answers = instance.answers.filter((waiting) => waiting.seq > seq || (waiting.send(), false))
}

function showAll(instance: Instance, seq: number): void {
  while (instance.unshown.length > 0 && instance.unshown[0].position.seq <= seq) {
    const view = instance.unshown.shift()!
    for (const client of instance.clients.values()) showTo(instance, client, view)
  }
}

/** A client that joins or comes back is welcome as soon as the room's state names it; all others see what there is. */
function showTo(instance: Instance, client: Connection, view: View): void {
  const { machine, forwarding } = instance
  const stay = view.state.sessions[client.session]
  // What clients saw and the room has given up, they are told.
  const isRewound = client.sentPosition !== undefined && (client.sentPosition.seq > view.position.seq || !isOn([...machine.lineage], client.sentPosition))
  if (client.isLive) {
    if (view.kind === 'state' || isSame(parentOf(view, instance), client.sentPosition)) hearView(client, { ...view, isRewound })
    else hearView(client, { ...view, kind: 'state', isRewound })
    client.sentPosition = view.position
    return
  }
  if (stay?.generation !== client.generation || stay.edge !== instance.id) return
  client.isLive = true
  client.sentPosition = view.position
  openLane(forwarding, client.session, view.state.applied[client.session] ?? 0, client.sent, nowOf(instance))
  hearWelcome(client, { ...view, kind: 'state', isRewound: isRewound })
}

function parentOf({ position }: View, { history }: Instance): Position | undefined {
  const head = history.find((record) => isSame(record.head, position))?.head
  return head === undefined ? undefined : head.seq === head.forkSeq + 1 ? { epoch: head.parentEpoch, seq: head.forkSeq } : { epoch: head.epoch, seq: head.seq - 1 }
}

// Running the room

/** Nothing has kept it from hearing and answering for longer than a winner waits and fetches. */
const isSteady = (instance: Instance): boolean => instance.isAlive && !instance.isPaused && canReach(instance) && instance.link !== undefined && instance.subscribers.length > 0
  && instance.world.nowMs - Math.max(instance.troubleMs, instance.world.troubleMs) > 600

function begin(instance: Instance, isNew: boolean): void {
  const { world, machine } = instance
  if (isNew) { instance.state = emptyState; instance.history = []; instance.unshown = []; instance.at = machine.position }
  const { mayForget } = world
  // One that stood still between deciding and running decided rightly, at its time.
  if (!mayForget && isAttached(machine, nowOf(instance))) {
    const others = world.instances.filter((other) => other !== instance && other.machine.role === 'following' && isSteady(other) && isSteady(instance))
      .map((other) => ({ name: other.name, position: other.machine.position }))
    if (others.some(({ position }) => !isSame(position, machine.position))) count(world.checker, 'takeovers among unequals')
    began(world.checker, instance.name, isNew ? undefined : machine.position, [...others, { name: 'the store', position: rebuild(instance.server.data)?.position }])
  } else count(world.checker, 'takeovers')
  instance.journal = []
  instance.accepted.clear()
  instance.attaching.clear()
  instance.isRunning = true
  instance.isStill = false
  instance.shownSeq = 0
  instance.answers = []
}

function endRunning(instance: Instance): void {
  instance.isRunning = false
  instance.journal = []
  instance.accepted.clear()
  instance.attaching.clear()
  instance.answers = []
}

/** A tick of the room's worker. */
function flush(instance: Instance): void {
  const { world, machine, state } = instance
  if (!instance.isRunning || instance.isStill || (machine.role !== 'owning' && machine.role !== 'handing')) return
  if (isAttached(machine, nowOf(instance)) && !world.mayForget) {
    must(instance.server.data.epoch === machine.epoch, `${instance.name} counts as attached with epoch ${machine.epoch}, while ${instance.server.data.epoch} is granted`)
  }
  const isWaning = Object.values(state.sessions).some(({ grace }) => grace >= 0)
  if (instance.journal.length === 0 && !isWaning) return
  const entries: Entry[] = isWaning ? [...instance.journal, { kind: 'grace' }] : instance.journal
  instance.journal = []
  instance.attaching.clear()
  const fork = machine.lineage.at(-1)!, seq = machine.position!.seq + 1
  instance.state = applyEntries(state, entries)
  const record: RoomRecord = { head: { ...fork, seq }, entries, durableSeq: knownDurable(instance, seq), after: instance.state }
  make(world.checker, record, state)
  instance.at = { epoch: fork.epoch, seq }
  keep(instance, record)
  instance.unshown.push({ kind: 'record', position: instance.at, state: instance.state, durableSeq: record.durableSeq, isRewound: false })
  handle(instance, { kind: 'flushed', seq })
  afterChange(instance)
}

function passTime(instance: Instance): void {
  const { world, machine, forwarding } = instance
  handle(instance, { kind: 'time' })
  const now = nowOf(instance)
  for (const { session, number } of expireHeld(forwarding, now)) refuse(instance, session, number)
  for (const { session, number } of findStalled(forwarding, now)) { const client = instance.clients.get(session); if (client !== undefined) hearWant(client, number) }
  if (hasOwner(machine)) for (const input of forwardHeld(forwarding, now)) forwardInput(instance, input)
  for (const client of instance.clients.values()) if (!client.isLive && chance(world, 0.15)) askAttach(instance, client)
  if (machine.role !== 'owning') return
  if (chance(world, 0.15)) reconcile(instance, instance.id, (sessionsHere(instance) as Extract<Message, { kind: 'sessions' }>).sessions)
  if (isAttached(machine, now) && world.settings.durability !== 'none' && world.nowMs >= instance.storeAtMs) {
    instance.storeAtMs = world.nowMs + 700
    store(instance, machine.epoch)
  }
}

// Sessions and inputs

const sessionsHere = ({ clients, id }: Instance): Message => ({ kind: 'sessions', edge: id, sessions: [...clients.values()].map(({ session, generation, isLive }) => [session, generation, isLive]) })

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

function askAttach(instance: Instance, client: Connection): void {
  const { machine, id, state } = instance
  const stay = state.sessions[client.session]
  if (machine.position !== undefined && stay?.generation === client.generation && stay.edge === id && machine.role === 'following' && instance.unshown.length === 0) {
    return showTo(instance, client, { kind: 'state', position: machine.position, state, durableSeq: knownDurable(instance, machine.position.seq), isRewound: false })
  }
  if (!hasOwner(machine)) return
  send(instance, machine.role === 'owning' ? id : machine.owner, { kind: 'attach', edge: id, session: client.session, generation: client.generation, firstHeld: client.firstHeld })
}

function attach(instance: Instance, { edge, session, generation, firstHeld }: Extract<Message, { kind: 'attach' }>): void {
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
function lose(instance: Instance, session: string, number: number): void {
  const { world } = instance, { checker } = world
  count(checker, 'lost inputs')
  must(!world.settings.durability.startsWith('ops') || world.mayForget || checker.voided.has(`${session} ${number}`), `input ${number} of ${session} was durable, and is lost`)
  checker.voided.add(`${session} ${number}`)
}

function reconcile(instance: Instance, edge: number, sessions: readonly (readonly [string, number, boolean])[]): void {
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

function drop(instance: Instance, session: string): void {
  if (!instance.journal.some((entry) => entry.kind === 'drop' && entry.session === session)) instance.journal.push({ kind: 'drop', session })
}

function sweep(instance: Instance, alive: readonly number[]): void {
  for (const [session, stay] of Object.entries(instance.state.sessions)) {
    if (stay.grace < 0 && !alive.includes(stay.edge) && !instance.attaching.has(session)) drop(instance, session)
  }
}

/** A client's input arrives at its edge. */
export function hearInput(instance: Instance, client: Connection, from: number, number: number): void {
  const { machine, forwarding } = instance
  if (!client.isLive) return
  const verdict = takeInput(forwarding, client.session, from, number, undefined, hasOwner(machine), nowOf(instance))
  if (verdict.kind === 'want') hearWant(client, verdict.number)
  else if (verdict.kind === 'refuse') refuse(instance, client.session, number)
  else if (verdict.kind === 'forward') forwardInput(instance, verdict.input)
}

function refuse(instance: Instance, session: string, number: number): void {
  count(instance.world.checker, 'expired')
  instance.world.trace?.(`${instance.name} refuses input ${number} of ${session}`)
  instance.world.checker.voided.add(`${session} ${number}`)
  const client = instance.clients.get(session)
  if (client !== undefined) refused(client, number)
}

function forwardInput(instance: Instance, input: ForwardedInput<undefined>): void {
  const { machine, id } = instance, generation = instance.clients.get(input.session)?.generation ?? 0
  send(instance, machine.role === 'owning' ? id : machine.owner, { kind: 'input', edge: id, generation, input })
}

/** And at the owner. */
function acceptInput(instance: Instance, edge: number, generation: number, { session, from, number }: ForwardedInput<undefined>): void {
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

/** Whether two instances show the same. */
export const isEqual = (a: Instance, b: Instance): boolean => isSame(a.machine.position, b.machine.position) && a.state.hash === b.state.hash && !isNewer(a.machine.position ?? { epoch: 0, seq: 0 }, b.machine.position)
