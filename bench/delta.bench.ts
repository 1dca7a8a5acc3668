/**
 * What a tick costs: mutation, compare, encode and commit of 10,000 entities with x, y, vx, vy, rot (f32) and hp (u16), beside
 * `@colyseus/schema` on the same changes in the same run. `make bench ONLY=delta`. Rounds alternate between the contestants; each is first
 * decoded and compared with the truth.
 */
import { Decoder, Encoder, schema as colyseus, t } from '@colyseus/schema'
import { Bench } from 'tinybench'
import { applySection, openSection } from '../src/client/apply.js'
import { createReplica, type NumberArray } from '../src/client/table.js'
import { createBenchWorker, createMovingRoom, placeOf, worldSize, type BenchWorker } from './moving-room.js'
import { figure, median, printFigures, writeReport, type Figure } from './report.js'

const entities = 10_000
const rounds = process.env.SMOKE === undefined ? 9 : 1
const roundMs = process.env.SMOKE === undefined ? 400 : 20

/** Everything moves to and fro inside the world, by the same amounts for every contestant, and by plain additions: the peer's cost is not to be hidden behind the mutation's. */
const stepOf = (turn: number): readonly [number, number] => turn % 200 < 100 ? [1.7, 0.9] : [-1.7, -0.9]

/** A contestant: moves the rows of one step by a bit, encodes, and can prove what it sent. */
interface Contestant { readonly subject: string; step(share: number): number; bytes(): number; check(): void; newest(): void }

/** As a room author writes it: a loop over columns. */
function moveRows(x: Float32Array, y: Float32Array, first: number, stride: number, [dx, dy]: readonly [number, number]): void {
  for (let row = first; row < entities; row += stride) {
    x[row] += dx
    y[row] += dy
  }
}

function engine(worker: BenchWorker, subject: string, isQuantized: boolean): Contestant {
  const room = createMovingRoom(worker, entities, isQuantized)
  const replicas = room.type.tables.tables.map(createReplica)
  let turn = 0
  const take = (): void => applySection(openSection(room.section().slice().buffer as ArrayBuffer)!, replicas, { nowMs: 0, intervalMs: 50 })
  take()
  return {
    subject,
    step: (share) => {
      moveRows(room.x, room.y, turn % Math.round(1 / share), Math.round(1 / share), stepOf(turn))
      turn++
      return room.flush()
    },
    newest: take,
    bytes: () => room.section().length,
    check: () => {
      const halfStep = isQuantized ? worldSize / 65_535 / 2 + 1e-3 : 0
      const [, { columns: [x, y] }] = replicas
      for (let row = 0; row < entities; row++) {
        if (Math.abs((x.values as NumberArray)[row] - room.x[row]) > halfStep || Math.abs((y.values as NumberArray)[row] - room.y[row]) > halfStep) throw new Error(`${subject}: row ${row} is not what was sent`)
      }
    },
  }
}

const Mover = colyseus({ x: t.float32(), y: t.float32(), vx: t.float32(), vy: t.float32(), rot: t.float32(), hp: t.uint16() }, 'Mover')
const World = colyseus({ movers: t.map(Mover) }, 'World')

function peer(): Contestant {
  Encoder.BUFFER_SIZE = 4 * 1024 * 1024
  const world = new World()
  const movers = Array.from({ length: entities }, (_, n) => {
    const mover = new Mover({ x: placeOf(n * 37), y: placeOf(n * 91), vx: 1, vy: 1, rot: 0, hp: 100 })
    world.movers.set(String(n), mover)
    return mover
  })
  const encoder = new Encoder(world), replica = new World(), decoder = new Decoder(replica)
  decoder.decode(encoder.encodeAll())
  encoder.discardChanges()
  let turn = 0, newest: Uint8Array = new Uint8Array(0)
  return {
    subject: '@colyseus/schema 5.0.34, f32',
    step: (share) => {
      const stride = Math.round(1 / share)
      const [dx, dy] = stepOf(turn)
      for (let n = turn++ % stride; n < entities; n += stride) {
        const mover = movers[n]
        mover.x += dx
        mover.y += dy
      }
      newest = encoder.encode()
      encoder.discardChanges()
      return newest.length
    },
    newest: () => { decoder.decode(newest) },
    bytes: () => newest.length,
    check: () => {
      for (let n = 0; n < entities; n++) {
        const seen = replica.movers.get(String(n))!
        if (seen.x !== Math.fround(movers[n].x) || seen.y !== Math.fround(movers[n].y)) throw new Error(`@colyseus/schema: entity ${n} is not what was sent`)
      }
    },
  }
}

async function measure(contestant: Contestant, share: number): Promise<number> {
  const bench = new Bench({ time: roundMs, warmup: false })
  bench.add('step', () => { contestant.step(share) })
  const [task] = await bench.run()
  const { result } = task
  if (result?.state !== 'completed') throw new Error(`${contestant.subject}: ${String(result?.state)}`)
  return result.latency.p50 * 1000
}

export async function runDeltaBench(): Promise<void> {
  const results: Figure[] = [], ratios: Record<string, number> = {}
  for (const share of [1, 0.1, 0.01]) {
    const id = `delta/${entities}-${share * 100}%`
    const worker = createBenchWorker()
    const contestants = [engine(worker, 'KasagiEngine, 16-bit x and y', true), engine(worker, 'KasagiEngine, f32', false), peer()]
    for (const contestant of contestants) {
      for (let n = 0; n < 30; n++) { contestant.step(share); contestant.newest() }
      contestant.check()
    }
    const times = contestants.map((): number[] => [])
    for (let round = 0; round < rounds; round++) {
      if (process.stderr.isTTY) process.stderr.write(`\r${id}: round ${round + 1} of ${rounds} `)
      for (const [index, contestant] of contestants.entries()) times[index].push(await measure(contestant, share))
    }
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
    contestants.forEach((contestant, index) => {
      results.push(figure(id, contestant.subject, 'time per tick', 'us', times[index]))
      results.push(figure(id, contestant.subject, 'bytes per moved entity', 'B', [contestant.bytes() / (entities * share)]))
    })
    const [ours, oursF32, theirs] = times
    ratios[id] = median(theirs.map((time, round) => time / ours[round]))
    ratios[`${id}-f32`] = median(theirs.map((time, round) => time / oursF32[round]))
  }
  printFigures(results)
  for (const [id, ratio] of Object.entries(ratios)) console.log(`  ${id.padEnd(24)} ${ratio.toFixed(1)}x faster than @colyseus/schema`)
  writeReport('delta', results, ratios)
}

await runDeltaBench()
