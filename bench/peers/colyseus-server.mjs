/**
 * Colyseus 0.18 in the fan-out bench: a process of its own, under Node 22, with its uWebSockets transport. Arguments: `f32`, `quantized` (16 bits) or `inputs`
 * (f32, and inputs declared with `defineInput`, whose acknowledgements come with the patches). Says its port.
 *
 * One timer makes a turn and broadcasts its patch: cheaper for it than its two separate intervals. A room that does not move encodes and sends nothing.
 */
import './uws-default.mjs'
import { Room, Server } from '@colyseus/core'
import { Encoder, schema, t } from '@colyseus/schema'
import { placeAt, tickMs, worldSize } from '../../dist/bench/fanout/project/shared/place.js'
import { listening } from './port.mjs'

// Not before uws-default.mjs has been run: the transport imports the library as a default.
const { uWebSocketsTransport } = await import('@colyseus/uwebsockets-transport')

const variant = process.argv[2]
const place = () => variant === 'quantized' ? t.quantized({ min: 0, max: worldSize, bits: 16 }) : t.float32()
// All of a room in one buffer that never has to grow.
Encoder.BUFFER_SIZE = 256 * 1024

const Mover = schema({ x: place(), y: place() }, 'Mover')
const World = schema({ turn: t.uint32(), applied: t.uint32(), movers: t.map(Mover) }, 'World')
const Steer = schema({ to: t.uint32() }, 'Steer')

class Crowd extends Room {
  inputs = variant === 'inputs' ? this.defineInput(Steer) : undefined
  patchRate = null
  left = 0
  movers = []

  onCreate({ movers }) {
    this.state = new World()
    this.state.turn = this.state.applied = 0
    for (let row = 0; row < movers; row++) {
      const mover = new Mover({ x: placeAt(row, 0), y: placeAt(row, 0) })
      this.movers.push(mover)
      this.state.movers.set(String(row), mover)
    }
    this.onMessage('go', (_, turns) => { this.left = turns })
    this.setTimestep(() => this.turn(), tickMs)
  }

  turn() {
    const applied = this.inputs === undefined ? 0 : this.applyInputs()
    if (this.left === 0 && applied === 0) return
    if (this.left > 0) this.move()
    this.broadcastPatch()
  }

  move() {
    this.left--
    const turn = ++this.state.turn
    for (let row = 0; row < this.movers.length; row++) {
      const mover = this.movers[row]
      mover.x = mover.y = placeAt(row, turn)
    }
  }

  applyInputs() {
    let applied = 0
    for (const { sessionId } of this.clients) for (const _ of this.inputs.get(sessionId)) applied++
    if (applied > 0) this.state.applied += applied
    return applied
  }
}

const transport = new uWebSocketsTransport({})
const server = new Server({ transport, greet: false, gracefullyShutdown: false })
server.define('crowd', Crowd).filterBy(['room'])
await listening((port) => server.listen(port))
