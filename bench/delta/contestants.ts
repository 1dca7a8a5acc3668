/**
 * Who takes part in the delta bench: the engine and `@colyseus/schema`, each with 10,000 entities of x, y, vx, vy, rot (f32) and hp (u16). A step moves a share of
 * them, encodes and commits; each can decode what it sent and hold that against the truth.
 */
import { Decoder, Encoder, schema as colyseus, t } from '@colyseus/schema'
import { applySection, openSection } from '../../src/client/apply.js'
import { createReplica, type NumberArray } from '../../src/client/table.js'
import { createMovingRoom, placeOf, worldSize, type BenchWorker } from '../moving-room.js'

export const entities = 10_000

/** Everything moves to and fro inside the world, by the same amounts for every contestant, and by plain additions: the peer's cost is not to be hidden behind the mutation's. */
export const stepOf = (turn: number): readonly [number, number] => turn % 200 < 100 ? [1.7, 0.9] : [-1.7, -0.9]

/** A contestant: moves the rows of one step by a bit, encodes, and can prove what it sent. */
export interface Contestant { readonly subject: string; step(share: number): number; bytes(): number; check(): void; newest(): void }

/** As a room author writes it: a loop over columns. */
export function moveRows(x: Float32Array, y: Float32Array, first: number, stride: number, [dx, dy]: readonly [number, number]): void {
  for (let row = first; row < entities; row += stride) {
    x[row] += dx
    y[row] += dy
  }
}

export function engine(worker: BenchWorker, subject: string, isQuantized: boolean): Contestant {
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

export function peer(): Contestant {
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
