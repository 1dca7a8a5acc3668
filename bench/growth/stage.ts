/**
 * One server of the engine's with the rooms of the fan-out bench, the load that its clients come from, and a viewer that uses the SDK: what the growth bench grows. Servers
 * run on one core, load and bench on another; rooms stand still but in their turns.
 */
import { startChild, type Child } from '../child.js'
import type { Contestant } from '../fanout/contestants.js'
import { prove, type Told } from '../fanout/crowd.js'
import { engineOf, loadOf, type Load } from '../fanout/engine.js'
import { loadCore, pin, serverCore } from '../fanout/pinning.js'
import { tickHz, type RoomType } from '../fanout/project/shared/place.js'
import { takeTurn, type Taken } from '../fanout/turns.js'
import { startProject } from '../instances.js'
import { takeWindows, type Steal } from '../paired.js'
import { isSmoke, median } from '../report.js'

export interface GrowthStage extends Load { readonly engine: Contestant; end(): Promise<unknown> }

const ticks = isSmoke ? 3 : 20, windows = isSmoke ? 1 : 5
/** The viewer is one of the first room's clients, beside those of the load. */
export const viewers = 1

export async function openStage(...flags: string[]): Promise<GrowthStage> {
  pin(process.pid, loadCore)
  const server = await startProject('bench/fanout/project', '--rooms-per-address', '0', ...flags), children: Child[] = []
  const end = (): Promise<unknown> => Promise.all([server.end(), ...children.map((child) => child.end())])
  try {
    const start = async (script: string): Promise<Child> => {
      const child = await startChild(new URL(`../fanout/${script}`, import.meta.url), [])
      children.push(child)
      return child
    }
    const [load, viewer] = await Promise.all([start('load.js'), start('engine-viewer.js')])
    pin(server.pid(), serverCore)
    return { ...loadOf(load), engine: engineOf(server, viewer), end }
  } catch (error) {
    await end()
    throw error
  }
}

/** Rooms close half a second after their last client: the next may need their address space. */
const closeMs = isSmoke ? 0 : 1500

/** All of the load's clients at once. */
export async function leave(stage: GrowthStage): Promise<void> {
  await stage.ask({ kind: 'leave', group: stage.engine.key })
  await new Promise((resolve) => { setTimeout(resolve, closeMs) })
}

/** The load's clients, so many in each of the rooms beside those that are there already. */
export const join = (stage: GrowthStage, type: RoomType, names: readonly string[], clients: number): Promise<unknown> => {
  const { key, dialect, port } = stage.engine
  return stage.ask({ kind: 'join', group: key, dialect, port, type, names, clients: names.map(() => clients) })
}

const warmRooms = isSmoke ? 1 : 100, warmTurns = isSmoke ? 1 : 5

/** Many rooms for a while, which then are left: they tick so often that V8 has compiled the server's code before any point of a curve, which one room of 20 Hz takes minutes for. */
export async function warmUp(stage: GrowthStage): Promise<void> {
  await join(stage, 'small', Array.from({ length: warmRooms }, (_, n) => `warm-${n}`), 1)
  for (let turn = 0; turn < warmTurns; turn++) await takeTurn(stage, stage.engine, 0, ticks, 0)
  await leave(stage)
}

/** A turn for those who have just come, then windows of one turn each; before and behind them the first room's viewer sees what it was told. */
export async function measureTurns(stage: GrowthStage, id: string, told: Told, steal: Steal): Promise<Taken[]> {
  const { engine } = stage
  const take = async (): Promise<Taken> => {
    const taken = await takeTurn(stage, engine, viewers, ticks, 0)
    told.turns += ticks
    return taken
  }
  await take()
  await prove(engine, { id }, told)
  const taken = await takeWindows(id, steal, take, windows)
  await prove(engine, { id }, told)
  const middle = (of: (each: Taken) => number): number => median(taken.map(of)), percent = (share: number): string => `${Math.round(share * 100)}%`
  // A turn that comes late takes longer than it should: shares are of the time that it took.
  const hz = middle((each) => each.hz), late = Math.min(1, hz / tickHz), server = late * middle((each) => each.serverShare), load = late * middle((each) => each.loadShare)
  console.log(`  ${id}: of a core used: server ${percent(server)}, load ${percent(load)}; ${hz.toFixed(1)} Hz`)
  return taken
}

export const cpuPerTick = (taken: readonly Taken[]): number[] => taken.map(({ cpuUs }) => cpuUs / ticks)
