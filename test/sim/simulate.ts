/**
 * One run of one seed: instances and players, twelve seconds in which things break, then peace; and what must be true when peace has lasted `calmMs`.
 */
import { nextInt } from '../../src/base/prng.js'
import { createChecker, must, show, type Checker } from './checker.js'
import { checkDurable, createPlayer, isSettled } from './client.js'
import { breakThings, mend } from './faults.js'
import { createInstance } from './driver.js'
import { isEqual } from './instance.js'
import { createServer } from './redis.js'
import { between, chance, clockRate, createRandom, leaseMs, pick, runUntil, type Plants, type World } from './world.js'

const faultyUntilMs = 12_000
/** Within this time of the last fault one instance owns the room, all copies are equal, and the inputs of all players are applied: seven leases. */
export const calmMs = 5 * leaseMs

export function createWorld(seed: number, plants: Plants, tell?: (text: string) => void): World {
  const random = createRandom(seed), of = { random }
  const isVersioned = chance(of, 0.25)
  const world: World = {
    seed, random, plants, trace: tell === undefined ? undefined : (text) => tell(`${world.nowMs.toFixed(1)} ${text}`), mayForget: chance(of, 0.4), newestVersion: isVersioned ? 2 : 1,
    settings: { durability: pick(of, ['snapshot', 'snapshot', 'ops', 'ops-sync', 'ops-sync', 'none']), whenDetached: chance(of, 0.7) ? 'continue' : 'freeze', leaseMs },
    nowMs: 0, heap: [], order: 0, servers: [], instances: [], players: [], checker: createChecker(), delayMs: 1, troubleMs: 0, isFaulty: false, isQuiet: false, nextInstance: 1,
  }
  world.servers.push(createServer(between(of, -10_000, 10_000), clockRate(of)))
  for (let count = 3 + nextInt(random, 3); count > 0; count--) {
    world.instances.push(createInstance(world, world.nextInstance++, isVersioned && chance(of, 0.3) ? 2 : 1, world.servers[0]))
  }
  for (let count = 3 + nextInt(random, 3); count > 0; count--) world.players.push(createPlayer(world, `p${count}`))
  return world
}

/** Throws a Violation that names the seed. */
export function simulate(seed: number, plants: Plants = {}, trace?: (text: string) => void): Checker {
  const world = createWorld(seed, plants, trace)
  try {
    runUntil(world, 1000)
    world.isFaulty = true
    breakThings(world, between(world, 250, 2500))
    runUntil(world, faultyUntilMs)
    mend(world)
    runUntil(world, faultyUntilMs + calmMs - 2000)
    world.isQuiet = true
    runUntil(world, faultyUntilMs + calmMs)
    checkEnd(world)
  } catch (error) {
    if (error instanceof Error) error.message = `SEED=${seed}, ${world.settings.durability}${world.mayForget ? ', forgetful' : ''}, at ${world.nowMs.toFixed(1)} ms: ${error.message}`
    throw error
  }
  return world.checker
}

function checkEnd(world: World): void {
  const { instances, players } = world
  const owners = instances.filter(({ machine }) => machine.role === 'owning' && !machine.isDetached)
  must(owners.length === 1, `${owners.length} instances own the room at the end: ${instances.map(({ name, machine }) => `${name} ${machine.role} ${show(machine.position)}`).join(', ')}`)
  const [owner] = owners
  for (const instance of instances) {
    must(isEqual(instance, owner), `${instance.name} (${instance.machine.role}) is at ${show(instance.machine.position)}, the owner ${owner.name} at ${show(owner.machine.position)}`)
  }
  const { applied, sessions } = owner.state
  for (const player of players) {
    // What a Redis that forgot took with it after its player had let it go does not come back.
    must(isSettled(player, applied) || (world.mayForget && player.isIn && player.held.length === 0 && player.rewound > 0), `${player.name} (${player.session}, ${player.isIn ? 'in' : 'out'}) sent up to ${player.next - 1}, holds ${player.held.join(' ')}; applied is ${applied[player.session]}`)
    must(sessions[player.session]?.edge === player.connection?.edge.id, `${player.session} is at ${player.connection?.edge.name}, the room has it at ${sessions[player.session]?.edge}`)
  }
  must(Object.keys(sessions).length === players.length, `ghosts: ${Object.keys(sessions).join(', ')}`)
  if (world.settings.durability.startsWith('ops') && !world.mayForget) checkDurable(players[0], applied)
}


