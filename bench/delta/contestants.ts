/**
 * Who takes part in the delta bench: the engine and `@colyseus/schema`, each with entities of x, y, vx, vy, rot (f32) and hp (u16). A step moves a share of them,
 * encodes and commits; each can decode what it sent and hold that against the truth.
 */
import { Decoder, Encoder, schema as colyseus, t } from '@colyseus/schema'
import { applySection, openSection } from '../../src/client/apply.js'
import { createReplica, type NumberArray } from '../../src/client/table.js'
import { createMovingRoom, placeOf, worldSize, type BenchWorker, type MovingRoom } from '../moving-room.js'

/** How many entities, which share of them moves, and how the engine finds it. */
export interface Load { readonly entities: number; readonly share: number; readonly track: 'scan' | 'touch' }

/** Everything moves to and fro inside the world, by the same amounts for every contestant, and by plain additions: the peer's cost is not to be hidden behind the mutation's. */
export const stepOf = (turn: number): readonly [number, number] => turn % 200 < 100 ? [1.7, 0.9] : [-1.7, -0.9]

/** A contestant: moves the rows of one step by a bit, encodes, and can prove what it sent. */
export interface Contestant { readonly subject: string; step(): number; bytes(): number; check(): void; newest(): void }

export type Move = (room: MovingRoom, first: number, end: number, stride: number, by: readonly [number, number]) => void

/** As a room author writes it: a loop over columns. */
export const moveRows: Move = ({ x, y }, first, end, stride, [dx, dy]) => {
  for (let row = first; row < end; row += stride) {
    x[row] += dx
    y[row] += dy
  }
}

export const moveAndTouch: Move = ({ x, y, touch }, first, end, stride, [dx, dy]) => {
  for (let row = first; row < end; row += stride) {
    x[row] += dx
    y[row] += dy
    touch(row)
  }
}

export const moveViews: Move = ({ at }, first, end, stride, [dx, dy]) => {
  for (let row = first; row < end; row += stride) {
    const view = at(row)
    view.x += dx
    view.y += dy
  }
}

export function engine(worker: BenchWorker, { entities, share, track }: Load, subject: string, isQuantized: boolean, move: Move): Contestant {
  const room = createMovingRoom(worker, entities, isQuantized, track), stride = Math.round(1 / share)
  const replicas = room.type.tables.tables.map(createReplica)
  let turn = 0
  const take = (): void => applySection(openSection(room.section().slice().buffer as ArrayBuffer)!, replicas, { nowMs: 0, intervalMs: 50 })
  take()
  return {
    subject,
    step: () => {
      move(room, turn % stride, entities, stride, stepOf(turn))
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

export function peer({ entities, share }: Load): Contestant {
  // Room for the first state.
  Encoder.BUFFER_SIZE = Math.max(4 * 1024 * 1024, entities * 160)
  const world = new World()
  const movers = Array.from({ length: entities }, (_, n) => {
    const mover = new Mover({ x: placeOf(n * 37), y: placeOf(n * 91), vx: 1, vy: 1, rot: 0, hp: 100 })
    world.movers.set(String(n), mover)
    return mover
  })
  const encoder = new Encoder(world), replica = new World(), decoder = new Decoder(replica)
  decoder.decode(encoder.encodeAll())
  encoder.discardChanges()
  const stride = Math.round(1 / share)
  let turn = 0, newest: Uint8Array = new Uint8Array(0)
  return {
    subject: '@colyseus/schema 5.0.34, f32',
    step: () => {
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
