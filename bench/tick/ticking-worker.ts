/** A worker thread that ticks rooms when it is asked to, in a loop or 20 times a second, as a worker of the engine's does: asleep on a word until the next is due. */
import { parentPort, workerData } from 'node:worker_threads'
import { createPhaseClock, phases, type Phase } from './phase-clock.js'
import { createTickingRooms, type TickingRooms } from './ticking-rooms.js'

/** What the thread is started with, what it is asked, and what it answers. */
export interface Setup { readonly entities: number; readonly rooms: number; readonly periodMs: number }
export interface Question { readonly how: 'loop' | 'cadence'; readonly isTimed: boolean; readonly stride: number; readonly ms: number }
export interface Ready { readonly arenas: readonly ArrayBufferLike[] }
export interface Answer { readonly ticksPerSecond: number; readonly usPerTick: number; readonly us: Record<Phase, number>; readonly bytesPerTick: number }

const { entities, rooms, periodMs } = workerData as Setup, port = parentPort!
const ringBell = (): void => port.postMessage('bell')
const clock = createPhaseClock()
/** Timed and untimed apart: the engine's code is to be compiled for either as it is. */
const plain = createTickingRooms(entities, rooms, undefined, ringBell), timed = createTickingRooms(entities, rooms, clock, ringBell)
for (const each of [plain, timed]) each.check()

const sleeping = new Int32Array(new SharedArrayBuffer(4))

/** Every room in turn; at cadence they are spread over the period, and the time that a tick takes is the sum of its own. */
function run(of: TickingRooms, { how, ms }: Question): Answer {
  clock.clear()
  let ticks = 0, bytes = 0, tickedMs = 0
  const began = performance.now(), stepMs = periodMs / of.count
  for (let now = began; now - began < ms; now = performance.now()) {
    if (how === 'cadence') Atomics.wait(sleeping, 0, 0, Math.max(0, began + ticks * stepMs - now))
    const before = performance.now()
    bytes += of.tick(ticks++ % of.count)
    tickedMs += performance.now() - before
  }
  const us = Object.fromEntries(phases.map((phase) => [phase, clock.us[phase] / ticks])) as Record<Phase, number>
  return { ticksPerSecond: ticks / (performance.now() - began) * 1000, usPerTick: tickedMs * 1000 / ticks, us, bytesPerTick: bytes / ticks }
}

port.on('message', (question: Question) => {
  const of = question.isTimed ? timed : plain
  of.stride = question.stride
  port.postMessage(run(of, question))
})
port.postMessage({ arenas: [plain.arena.buffer, timed.arena.buffer] } satisfies Ready)
