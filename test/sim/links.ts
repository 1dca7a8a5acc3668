/** An instance's connections to Redis: one for commands, in order, whose answers may be lost; one subscriber for the channel, one for its inbox. */
import type { Event } from '../../src/backplane/protocol.js'
import { run, type Instance, type Message } from './instance.js'
import { publish, type Server, type Subscriber } from './redis.js'
import type { Body } from './room-state.js'
import { after, at, between, chance, delay } from './world.js'

export const canReach = ({ isCut, server }: Instance): boolean => !isCut && server.isUp

/** Nothing has kept it from hearing and answering for longer than a winner waits and fetches. */
export const isSteady = (instance: Instance): boolean => instance.isAlive && !instance.isPaused && canReach(instance) && instance.link !== undefined && instance.subscribers.length > 0
  && instance.world.nowMs - Math.max(instance.troubleMs, instance.world.troubleMs) > 600

export function connect(instance: Instance): void {
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
  run(instance, () => instance.tell({ kind: 'unreachable' }))
  for (const fail of [...link.pending]) fail()
  if (instance.isAlive) reconnect(instance)
}

export function reconnect(instance: Instance): void {
  after(instance.world, between(instance.world, 20, 120), () => {
    if (!instance.isAlive || instance.link !== undefined) return
    connect(instance)
    if (instance.link === undefined) return reconnect(instance)
    run(instance, () => instance.tell({ kind: 'reachable' }))
  })
}

export function subscribe(instance: Instance): void {
  const { server, world } = instance
  for (const topics of [['channel'], [`inbox ${instance.id}`]]) {
    const subscriber: Subscriber = { topics, lastMs: {}, isOpen: true, hear: (_topic, message) => run(instance, () => instance.hear(message as Message | Event<Body>)) }
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
    run(instance, () => instance.tell({ kind: 'subscribed' }))
  })
  again()
}

/** Runs a script. `then` is told its answer, or undefined if there came none: then it has run, or will, or will not. */
export function call(instance: Instance, script: (server: Server) => Event<Body> | undefined, then: (event: Event<Body> | undefined, isLost: boolean) => void): void {
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

export const send = (instance: Instance, to: number, message: Message): void => {
  if (to === instance.id) return run(instance, () => instance.hear(message))
  call(instance, (server) => { publish(instance.world, server, `inbox ${to}`, message); return undefined }, () => {})
}
export const sendEvent = (instance: Instance, to: number, event: Event<Body>): void => send(instance, to, { kind: 'event', event })
