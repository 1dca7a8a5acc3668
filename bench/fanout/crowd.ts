/**
 * One crowd of the fan-out bench: every contestant gets the same rooms and clients, proves that what it delivers is right, and takes its turns in windows: the
 * floor, the engine, the peers, each with and without inputs, and the floor again. Behind the last window all is proved once more.
 */
import { takeWindows, type Steal } from '../paired.js'
import { median } from '../report.js'
import type { Contestant, ContestantKey, Stage } from './contestants.js'
import type { TurnAnswer } from './load.js'
import { inputsPerTurn, roomNames, ticksPerTurn, warmUpWindows, type CrowdShape } from './shapes.js'
import { takeTurn, type Taken } from './turns.js'

/** Contestants that are in no target have their turns in one window of so many. */
const windowsPerBeside = 3

/** In the order of a window. A turn without inputs comes behind one with them: it tells every client of all that was applied. */
const turnsOfWindow = [
  { name: 'floor', key: 'floor', inputs: 0 }, { name: 'engineInputs', key: 'engine', inputs: inputsPerTurn }, { name: 'engine', key: 'engine', inputs: 0 },
  { name: 'colyseusF32', key: 'colyseusF32', inputs: 0 }, { name: 'colyseus16', key: 'colyseus16', inputs: 0 }, { name: 'colyseusInputs', key: 'colyseusInputs', inputs: inputsPerTurn, isBeside: true },
  { name: 'socketioInputs', key: 'socketio', inputs: inputsPerTurn, isBeside: true }, { name: 'socketio', key: 'socketio', inputs: 0, isBeside: true }, { name: 'floorInputs', key: 'floor', inputs: inputsPerTurn },
  { name: 'floorAgain', key: 'floor', inputs: 0 },
] as const satisfies readonly { name: string; key: ContestantKey; inputs: number; isBeside?: boolean }[]

type Turn = typeof turnsOfWindow[number]
export type BesideName = Extract<Turn, { isBeside: true }>['name']
export type TurnName = Exclude<Turn['name'], BesideName>
export type CrowdWindow = Readonly<Record<TurnName, Taken>> & Readonly<Partial<Record<BesideName, Taken>>>

/** What a turn was in each window that had it. */
export const takenIn = (windows: readonly CrowdWindow[], turn: TurnName | BesideName): Taken[] => windows.flatMap((window) => window[turn] ?? [])

/** What a contestant's first room has been told in all: turns to move, and inputs to apply. */
export interface Told { turns: number; inputs: number }

/** One of the first room's clients is the viewer; the load brings all others. */
const viewers = 1
const rawClients = (shape: CrowdShape): number[] => roomNames(shape).map((_, room) => shape.clients - (room === 0 ? viewers : 0))

async function comeIn(stage: Stage, contestant: Contestant, shape: CrowdShape): Promise<void> {
  const names = roomNames(shape), { key, dialect, port } = contestant
  await stage.ask({ kind: 'join', group: key, dialect, port, type: shape.type, names, clients: rawClients(shape) })
  await contestant.enter(names[0], shape.type)
}

/** The viewer sees all that was asked for, and nothing that is wrong. It may still be busy with what came last. */
export async function prove({ key, subject, check }: Contestant, shape: Pick<CrowdShape, 'id'>, told: Told): Promise<void> {
  let seen = await check()
  const end = performance.now() + 3000
  while (seen.wrong === '' && seen.turns < told.turns && performance.now() < end) seen = await check()
  const { wrong, turn, turns, applied } = seen, where = `${shape.id}: ${subject}`
  if (wrong !== '') throw new Error(`${where}: ${wrong}`)
  if (turns < told.turns) throw new Error(`${where}: its viewer has seen ${turns} of ${told.turns} turns`)
  // Bytes that are played again tell neither turns nor inputs; they were compared.
  if (key !== 'floor' && (turn !== told.turns || applied !== told.inputs)) throw new Error(`${where}: its room is at turn ${turn} of ${told.turns}, with ${applied} of ${told.inputs} inputs applied`)
}

export async function measureCrowd(stage: Stage, shape: CrowdShape, steal: Steal): Promise<CrowdWindow[]> {
  const { floor, ...moving } = stage.contestants, all = [moving.engine, floor, moving.colyseusF32, moving.colyseus16, moving.colyseusInputs, moving.socketio]
  const told = new Map<ContestantKey, Told>(all.map(({ key }) => [key, { turns: 0, inputs: 0 }]))
  const take = async (key: ContestantKey, inputs: number): Promise<Taken> => {
    const taken = await takeTurn(stage, stage.contestants[key], viewers, ticksPerTurn, inputs), sum = told.get(key)!
    sum.turns += ticksPerTurn
    sum.inputs += inputs * (shape.clients - viewers)
    return taken
  }
  const window = async (number: number): Promise<CrowdWindow> => {
    const taken: Partial<Record<TurnName | BesideName, Taken>> = {}
    for (const turn of turnsOfWindow) if (!('isBeside' in turn) || number % windowsPerBeside === 0) taken[turn.name] = await take(turn.key, turn.inputs)
    return taken as CrowdWindow
  }
  await comeIn(stage, moving.engine, shape)
  // The floor's bytes are the engine's: nobody comes in to it before they are known.
  await stage.capture(roomNames(shape)[0], shape.type, () => stage.ask<TurnAnswer>({ kind: 'turn', group: 'engine', ticks: ticksPerTurn, inputs: 0 }))
  told.get('engine')!.turns += ticksPerTurn
  for (const contestant of all) if (contestant !== moving.engine) await comeIn(stage, contestant, shape)
  for (let turn = 0; turn < warmUpWindows; turn++) await window(0)
  for (const contestant of all) await prove(contestant, shape, told.get(contestant.key)!)
  const windows = await takeWindows(shape.id, steal, window, shape.windows)
  for (const contestant of all) {
    await prove(contestant, shape, told.get(contestant.key)!)
    await contestant.leave()
    await stage.ask({ kind: 'leave', group: contestant.key })
  }
  sayWhatWasUsed(stage, shape, windows)
  return windows
}

/** Of a core, in the median of a contestant's turns. */
function sayWhatWasUsed(stage: Stage, { id }: CrowdShape, windows: readonly CrowdWindow[]): void {
  const percent = (share: number): string => `${Math.round(share * 100)}%`
  const used = turnsOfWindow.map(({ name, key, inputs }) => {
    const taken = takenIn(windows, name), server = median(taken.map(({ serverShare }) => serverShare)), load = median(taken.map(({ loadShare }) => loadShare))
    const full = [...server >= 0.95 ? ['its core'] : [], ...load >= 0.95 ? ['the load\'s core'] : []]
    return `${stage.contestants[key].subject}${inputs > 0 ? ' with inputs' : ''} ${percent(server)} (load ${percent(load)}${full.length > 0 ? `; saturated: ${full.join(' and ')}` : ''})`
  })
  console.log(`  ${id}: of a core used, server (load): ${used.slice(0, -1).join(', ')}`)
}
