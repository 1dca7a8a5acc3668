/** socket.io's own client: stays in a room of the fan-out bench, keeps the rows as they come, and can tell whether all that it sees is right. */
import { io } from 'socket.io-client'
import parser from 'socket.io-msgpack-parser'
import { placeAt } from '../../dist/bench/fanout/project/shared/place.js'
import { answerViewer } from '../../dist/bench/fanout/viewer.js'

answerViewer(async ({ port, name, movers }) => {
  const socket = io(`ws://127.0.0.1:${port}`, { parser, transports: ['websocket'], query: { name, movers }, forceNew: true, reconnection: false })
  const x = new Float32Array(movers), y = new Float32Array(movers)
  let turn = 0, applied = 0, turns = 0, lost = ''
  socket.on('disconnect', (reason) => { lost = `it has lost its connection: ${reason}` })
  socket.on('t', (packet) => {
    const view = new DataView(packet.buffer, packet.byteOffset, packet.length)
    turn = view.getUint32(0, true)
    applied = view.getUint32(4, true)
    turns++
    for (let at = 8; at < packet.length; at += 10) {
      const row = view.getUint16(at, true)
      x[row] = view.getFloat32(at + 2, true)
      y[row] = view.getFloat32(at + 6, true)
    }
  })
  await new Promise((resolve, reject) => { socket.on('connect', resolve).on('connect_error', reject) })
  return {
    leave: () => { socket.disconnect() },
    check: () => {
      if (lost !== '') return { wrong: lost }
      for (let row = 0; turn > 0 && row < movers; row++) {
        const place = placeAt(row, turn)
        if (x[row] !== place || y[row] !== place) return { wrong: `entity ${row} stands at ${x[row]}, ${y[row]}, not at ${place} of turn ${turn}` }
      }
      return { wrong: '', turn, applied, turns }
    },
  }
})
