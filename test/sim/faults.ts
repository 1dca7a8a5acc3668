/** What breaks, and when: a seeded plan of crashes, pauses, cuts, slow spells, and a Redis that goes, forgets, or is two. */
import { nextInt } from '../../src/base/prng.js'
import { count } from './checker.js'
import { cut, quit } from './client.js'
import { crash, createInstance, handle } from './driver.js'
import { pause, run, type Instance } from './instance.js'
import { disconnect, loseSubscribers } from './links.js'
import { createServer, emptyData, forgetting } from './redis.js'
import { after, between, chance, clockRate, pick, type World } from './world.js'

type Fault = (world: World, victim?: Instance) => void

const living = (world: World): Instance[] => world.instances.filter(({ isAlive }) => isAlive)
const anyone = (world: World): Instance => {
  const all = living(world), owner = all.filter(({ machine }) => machine.epoch !== 0)
  return owner.length > 0 && chance(world, 0.5) ? pick(world, owner) : pick(world, all)
}

/** The place of a dead instance is taken by a new process, sometimes with the same id, sometimes with newer code. */
export function restart(world: World, dead: Instance): void {
  if (!world.instances.includes(dead)) return
  const version = dead.version < world.newestVersion && chance(world, 0.7) ? world.newestVersion : dead.version
  const instance = createInstance(world, chance(world, 0.5) ? dead.id : world.nextInstance++, version, world.servers[0])
  world.instances = world.instances.map((each) => (each === dead ? instance : each))
}

function crashOne(world: World, victim = anyone(world)): void {
  if (!victim.isAlive) return
  for (const { player } of [...victim.clients.values()]) if (chance(world, 0.3)) quit(player)
  crash(victim)
  after(world, between(world, 100, 2500), () => restart(world, victim))
}

function cutOff(world: World, victim = anyone(world)): void {
  if (!victim.isAlive) return
  victim.isCut = true
  disconnect(victim)
  after(world, between(world, 100, 3500), () => {
    victim.isCut = false
    victim.ownTroubleMs = world.nowMs
  })
}

function standStill(world: World, victim = anyone(world)): void {
  if (!victim.isAlive) return
  const ms = between(world, 50, 3200)
  if (chance(world, 0.3)) loseSubscribers(victim)
  pause(victim, ms)
}

/** Between the look at the clock and the write. */
function standStillWithin(world: World): void {
  const victim = anyone(world)
  victim.pauseIn = 1 + nextInt(world.random, 4)
  victim.pauseMs = between(world, 500, 3200)
}

function stopRedis(world: World): void {
  const [server] = world.servers
  server.isUp = false
  for (const instance of living(world)) if (instance.server === server) disconnect(instance)
  const isEmptied = world.mayForget && chance(world, 0.4)
  after(world, between(world, 200, 3500), () => {
    if (isEmptied) server.data = emptyData
    server.isUp = true
  })
}

function failOver(world: World): void {
  if (!world.mayForget) return
  const [server] = world.servers
  server.data = forgetting(server, world.nowMs - between(world, 0, 1200))
  for (const instance of living(world)) disconnect(instance)
}

/** A copy is promoted while the old primary still serves some; then one of them is gone. */
function split(world: World): void {
  if (!world.mayForget || world.servers.length > 1) return
  const [old] = world.servers
  const other = createServer(between(world, -10_000, 10_000), clockRate(world))
  other.data = forgetting(old, world.nowMs - between(world, 0, 800))
  world.servers.push(other)
  for (const instance of living(world)) if (chance(world, 0.5)) { instance.server = other; disconnect(instance) }
  after(world, between(world, 300, 3000), () => {
    if (world.servers.length < 2) return
    const [keeps, goes] = chance(world, 0.5) ? [old, other] : [other, old]
    world.servers.splice(0, 2, keeps)
    goes.isUp = false
    for (const instance of living(world)) if (instance.server === goes) { instance.server = keeps; disconnect(instance) }
  })
}

function stopAndGo(world: World): void {
  const ms = between(world, 100, 1500)
  world.servers[0].pausedUntilMs = world.nowMs + ms
  world.troubleMs = Math.max(world.troubleMs, world.nowMs + ms)
}

function slow(world: World): void {
  world.delayMs = between(world, 5, 60)
  const ms = between(world, 200, 2000)
  world.troubleMs = Math.max(world.troubleMs, world.nowMs + ms)
  after(world, ms, () => { world.delayMs = 1 })
}

/** A rolling restart's step. */
function drainOne(world: World): void {
  const victim = anyone(world)
  run(victim, () => handle(victim, { kind: 'drain' }))
  after(world, between(world, 300, 1500), () => {
    if (!victim.isAlive) return
    count(world.checker, 'drained')
    crash(victim)
    after(world, between(world, 50, 800), () => restart(world, victim))
  })
}

function moveRoom(world: World): void {
  const owner = living(world).find(({ machine }) => machine.role === 'owning')
  if (owner === undefined) return
  const to = pick(world, world.instances)
  run(owner, () => handle(owner, { kind: 'move', to: to.id }))
  // And in the midst of it, something else.
  if (chance(world, 0.5)) after(world, between(world, 0, 60), () => pick(world, [standStill, cutOff, crashOne, loseMessages, stopRedis, stopAndGo])(world, chance(world, 0.5) ? owner : to))
}

function loseInterest(world: World): void {
  const one = anyone(world)
  if (one.machine.role !== 'following') return
  for (const { player } of [...one.clients.values()]) cut(player)
  run(one, () => handle(one, { kind: 'unwanted' }))
  after(world, between(world, 50, 1500), () => run(one, () => handle(one, { kind: 'wanted' })))
}

function closeRoom(world: World): void {
  const owner = living(world).find(({ machine }) => machine.role === 'owning')
  if (owner === undefined || !chance(world, 0.3)) return
  run(owner, () => { handle(owner, { kind: 'close' }); handle(owner, { kind: 'wanted' }) })
}

/** The worst moment for an owner to die: one edge has just missed something. */
function dieUnequal(world: World): void {
  const owner = living(world).find(({ machine }) => machine.role === 'owning')
  if (owner === undefined || living(world).length < 3) return
  loseSubscribers(pick(world, living(world).filter((each) => each !== owner)))
  after(world, between(world, 30, 200), () => {
    if (!owner.isAlive) return
    crash(owner)
    after(world, between(world, 100, 2500), () => restart(world, owner))
  })
}

const loseMessages: Fault = (world, victim = anyone(world)) => loseSubscribers(victim)
const failLocally: Fault = (world) => { const one = anyone(world); if (one.machine.role === 'following') run(one, () => { one.at = undefined; handle(one, { kind: 'failed' }) }) }

const faults: readonly Fault[] = [
  crashOne, crashOne, cutOff, cutOff, standStill, standStill, standStillWithin, standStillWithin, loseMessages, loseMessages, stopRedis, failOver, failOver, split, split, stopAndGo, slow,
  dieUnequal, dieUnequal, drainOne, drainOne, moveRoom, moveRoom, loseInterest, closeRoom, failLocally,
]

/** From now on something breaks every so often. */
export function breakThings(world: World, everyMs: number): void {
  after(world, between(world, 0.2, 1.8) * everyMs, () => {
    if (!world.isFaulty) return
    if (living(world).length > 1) {
      const fault = pick(world, faults)
      world.trace?.(`fault: ${fault.name}`)
      fault(world)
    }
    breakThings(world, everyMs)
  })
}

/** Everything works again. */
export function mend(world: World): void {
  world.isFaulty = false
  world.delayMs = 1
  for (const server of world.servers) { server.isUp = true; server.pausedUntilMs = 0 }
  if (world.servers.length > 1) {
    const [keeps, goes] = world.servers
    world.servers.splice(1)
    goes.isUp = false
    for (const instance of living(world)) if (instance.server === goes) { instance.server = keeps; disconnect(instance) }
  }
  for (const instance of world.instances) {
    if (instance.isCut) instance.ownTroubleMs = world.nowMs
    instance.isCut = false
    instance.pauseIn = 0
    if (!instance.isAlive || instance.machine.isDraining) { if (instance.isAlive) crash(instance); restart(world, instance) }
    else if (instance.machine.role === 'idle') run(instance, () => handle(instance, { kind: 'wanted' }))
  }
}
