/**
 * The driver around the real machine, as the engine's will be: carries out effects in order, answers each question to Redis once, gives it the time.
 * It may stand still between any two effects.
 */
import { createForwarding, expireHeld, findStalled, forwardHeld, wantAgain } from '../../src/backplane/forwarding.js'
import { continues, isSame } from '../../src/base/lineage.js'
import { createOwnership, hasOwner, isAttached, step } from '../../src/backplane/ownership.js'
import type { Effect, Event, HeardRecord } from '../../src/backplane/protocol.js'
import { nextFloat } from '../../src/base/prng.js'
import { count, show, wentOver } from './checker.js'
import { forget as clientGone, hearDurable, hearWant, lostConnection } from './client.js'
import { clientOf, nowOf, pause, run, type Instance, type Message } from './instance.js'
import { call, connect, disconnect, loseSubscribers, reconnect, send, sendEvent, subscribe } from './links.js'
import { claimScript, handOverScript, publishScript, releaseScript, renewScript, type Server } from './redis.js'
import { adopt, answer, apply, begin, deliver, endRunning, flush, load, publishRecord, store } from './room.js'
import { emptyState, type Body, type RoomCopy, type RoomRecord, type RoomState } from './room-state.js'
import { acceptInput, askAttach, attach, enter, exit, forwardInput, hearInput, reconcile, refuse, sessionsHere, sweep } from './sessions.js'
import { after, between, chance, clockRate, type World } from './world.js'

export function createInstance(world: World, id: number, version: number, server: Server): Instance {
  const instance: Instance = {
    world, id, version, name: `#${id}v${version}`, clock: { offsetMs: between(world, 0, 1_000_000), rate: clockRate(world) }, wallMs: between(world, -10_000, 10_000),
    machine: createOwnership<Body>({ ...world.settings, continues: world.plants.continues ?? continues, instance: id, version, random: () => nextFloat(world.random) }),
    isAlive: true, isPaused: false, backlog: [], rest: [], pauseIn: 0, pauseMs: 0, server, isCut: false, link: undefined, subscribers: [], troubleMs: world.nowMs, ownTroubleMs: world.nowMs,
    at: undefined, state: emptyState, history: [], journal: [], accepted: new Map(), attaching: new Map(), isRunning: false, isStill: false, storeAtMs: 0,
    unshown: [], shownSeq: 0, answers: [], forwarding: createForwarding(), clients: new Map(),
    tell: (event, loaded) => handle(instance, event, loaded), hear: (message) => hear(instance, message),
    enter: (client) => enter(instance, client), exit: (client) => exit(instance, client), input: (client, from, number) => hearInput(instance, client, from, number),
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

export function crash(instance: Instance): void {
  const { world } = instance
  world.trace?.(`${instance.name} dies`)
  instance.isAlive = false
  disconnect(instance)
  for (const subscriber of instance.subscribers) subscriber.isOpen = false
  for (const client of [...instance.clients.values()]) lostConnection(client)
  instance.clients.clear()
}

/** `loaded`: what the store gave, for the machine to take or not. */
export function handle(instance: Instance, event: Event<Body>, loaded?: RoomCopy): void {
  const { machine, world } = instance
  if (!instance.isAlive) return
  const before = machine.position, had = before ?? machine.broken?.position
  const effects = step(machine, event, nowOf(instance))
  if (world.trace !== undefined && (effects.length > 0 || event.kind !== 'time')) {
    world.trace(`${instance.name} ${machine.role} ${show(machine.position)} <- ${brief(event)}${effects.map((effect) => `\n        ${brief(effect)}`).join('')}`)
  }
  let told: number | undefined
  for (const effect of effects) {
    if (effect.kind === 'discard') told = (told ?? 0) + effect.count
    if (effect.kind === 'adopt') wentOver(world.checker, instance.name, had, effect.position, told)
  }
  if (loaded !== undefined && isSame(machine.position, loaded.position) && !isSame(before, loaded.position)) {
    wentOver(world.checker, instance.name, had, loaded.position, told)
    adopt(instance, loaded.position, loaded.state)
  }
  carryOut(instance, effects)
}

/** For the trace: without bytes, and only the low digits of epochs. */
const brief = (of: Event<Body> | Effect<Body>): string => JSON.stringify(of, (key, value: unknown) => {
  if (key === 'body' || key === 'lineage') return undefined
  if (key === 'records') return (value as HeardRecord<Body>[]).length
  if (typeof value === 'number') return value > 1e12 ? `…${value % 10_000_000}` : Math.round(value)
  return value
})

/** In order; what is left when the process stands still in the midst of it comes first when it goes on. */
function carryOut(instance: Instance, effects: readonly Effect<Body>[]): void {
  for (const [index, effect] of effects.entries()) {
    if (instance.pauseIn > 0 && --instance.pauseIn === 0) pause(instance, instance.pauseMs)
    if (instance.isPaused) return void instance.rest.push(() => carryOut(instance, effects.slice(index)))
    effectOf(instance, effect)
  }
}

export function effectOf(instance: Instance, effect: Effect<Body>): void {
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

export function hear(instance: Instance, message: Message | Event<Body>): void {
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

export function passTime(instance: Instance): void {
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
