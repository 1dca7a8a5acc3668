/** What the windows of a crowd say: figures of each contestant, and the targets that this crowd is for. */
import { judge } from '../paired.js'
import { figure, median, type Figure, type Target } from '../report.js'
import type { GoalId } from '../targets.js'
import { takenIn, type BesideName, type CrowdWindow, type TurnName } from './crowd.js'
import { inputsPerTurn, ticksPerTurn, type CrowdShape } from './shapes.js'
import type { Taken } from './turns.js'

const subjects: readonly (readonly [TurnName | BesideName, string])[] = [
  ['engine', 'the engine'], ['colyseusF32', 'Colyseus, f32'], ['colyseus16', 'Colyseus, quantized'], ['socketio', 'socket.io'],
]
const withInputs: readonly (readonly [TurnName | BesideName, string])[] = [
  ['engineInputs', 'the engine'], ['colyseusInputs', 'Colyseus, f32'], ['socketioInputs', 'socket.io'], ['floorInputs', 'bare uWS and its echo'],
]

const share = (latencies: readonly number[], of: number): number => [...latencies].sort((a, b) => a - b)[Math.min(latencies.length - 1, Math.floor(latencies.length * of))]

const floorOf = ({ floor, floorAgain }: CrowdWindow): number => (floor.cpuPerDeliveryUs + floorAgain.cpuPerDeliveryUs) / 2

/** In each turn. How CPU divides is told by samples of the kernel's clock, few in a turn, so the share is that of the whole run: what varies is the CPU. */
function userPerDeliveryUs(taken: readonly Taken[]): number[] {
  const sum = (valueOf: (turn: Taken) => number): number => taken.reduce((all, turn) => all + valueOf(turn), 0)
  const userShare = Math.max(1, sum(({ userTicks }) => userTicks)) / Math.max(1, sum(({ allTicks }) => allTicks))
  return taken.map(({ cpuPerDeliveryUs }) => userShare * cpuPerDeliveryUs)
}

export function figuresOf(id: string, windows: readonly CrowdWindow[]): Figure[] {
  const floor = 'bare uWebSockets.js', figures = [
    figure(id, floor, 'CPU per delivery', 'us', windows.map(floorOf)),
    figure(id, floor, 'user CPU per delivery', 'us', userPerDeliveryUs([...takenIn(windows, 'floor'), ...takenIn(windows, 'floorAgain')])),
    figure(id, floor, 'bytes per delivery', 'B', windows.map((each) => each.floor.bytesPerDelivery)),
  ]
  for (const [turn, subject] of subjects) {
    const taken = takenIn(windows, turn)
    figures.push(
      figure(id, subject, 'CPU per delivery', 'us', taken.map(({ cpuPerDeliveryUs }) => cpuPerDeliveryUs)),
      figure(id, subject, 'user CPU per delivery', 'us', userPerDeliveryUs(taken)),
      figure(id, subject, 'bytes per delivery', 'B', taken.map(({ bytesPerDelivery }) => bytesPerDelivery)),
    )
  }
  for (const [turn, subject] of withInputs) {
    const taken = takenIn(windows, turn)
    figures.push(
      figure(`${id}-inputs`, subject, 'CPU per delivery, inputs included', 'us', taken.map(({ cpuPerDeliveryUs }) => cpuPerDeliveryUs)),
      figure(`${id}-inputs`, subject, 'input to effect, p50', 'ms', taken.map(({ latencies }) => share(latencies, 0.5))),
      figure(`${id}-inputs`, subject, 'input to effect, p99', 'ms', taken.map(({ latencies }) => share(latencies, 0.99))),
    )
  }
  return figures
}

/** CPU of a turn with inputs beyond that of one without, per input that was applied and acknowledged. */
function perInputUs(withThem: Taken, without: number, { rooms, clients }: CrowdShape): number {
  const inputs = (rooms * clients - 1) * inputsPerTurn
  return (withThem.cpuUs - without * rooms * clients * ticksPerTurn) / inputs
}

/** Of Colyseus' two the one that costs less, by the median of the run: it is not to lose for its fields' sake. */
const bestColyseus = (windows: readonly CrowdWindow[]): 'colyseusF32' | 'colyseus16' =>
  median(windows.map((each) => each.colyseusF32.cpuPerDeliveryUs)) <= median(windows.map((each) => each.colyseus16.cpuPerDeliveryUs)) ? 'colyseusF32' : 'colyseus16'

export function targetsOf(shape: CrowdShape, windows: readonly CrowdWindow[]): Target[] {
  const peer = bestColyseus(windows)
  const ratio = (id: GoalId, of: (window: CrowdWindow) => number): Target => judge(id, windows.map(of))
  const aboveFloor = (id: GoalId): Target =>
    ratio(id, (each) => (each.engine.cpuPerDeliveryUs - floorOf(each)) / (each[peer].cpuPerDeliveryUs - floorOf(each)))
  const user = (id: GoalId): Target => {
    const theirs = userPerDeliveryUs(takenIn(windows, peer))
    return judge(id, userPerDeliveryUs(takenIn(windows, 'engine')).map((ours, window) => ours / theirs[window]))
  }
  const inputs = (id: GoalId): Target => ratio(id, (each) =>
    perInputUs(each.engineInputs, each.engine.cpuPerDeliveryUs, shape) / perInputUs(each.floorInputs, floorOf(each), shape))
  switch (shape.role) {
    case 'few': return [ratio('fanout/200-clients', (each) => each.engine.cpuPerDeliveryUs / floorOf(each)), inputs('fanout/inputs-200-clients')]
    case 'many': return [
      aboveFloor('fanout/1000-clients'), user('fanout/user-one-room'),
      ratio('fanout/bytes-f32', (each) => each.engine.bytesPerDelivery / each.colyseusF32.bytesPerDelivery),
      ratio('fanout/bytes-quantized', (each) => each.engine.bytesPerDelivery / each.colyseus16.bytesPerDelivery), inputs('fanout/inputs-1000-clients'),
    ]
    case 'rooms': return [aboveFloor('fanout/100-rooms'), user('fanout/user-100-rooms'), inputs('fanout/inputs-100-rooms')]
  }
}

/** What an input costs, beside the target that holds the two against each other. */
export const inputFigures = (shape: CrowdShape, windows: readonly CrowdWindow[]): Figure[] => [
  figure(`${shape.id}-inputs`, 'the engine', 'CPU per input', 'us', windows.map((each) => perInputUs(each.engineInputs, each.engine.cpuPerDeliveryUs, shape))),
  figure(`${shape.id}-inputs`, 'socket.io', 'CPU per input', 'us', takenIn(windows, 'socketioInputs').map((each, turn) => perInputUs(each, takenIn(windows, 'socketio')[turn].cpuPerDeliveryUs, shape))),
  figure(`${shape.id}-inputs`, 'bare uWS and its echo', 'CPU per input', 'us', windows.map((each) => perInputUs(each.floorInputs, floorOf(each), shape))),
]
