/**
 * socket.io on uWebSockets.js in the fan-out bench, with its MessagePack parser: a process of its own, under Node 22. What a sensible user writes: one binary
 * packet a turn with the rows that moved, each as row (u16), x and y (f32), published to the room; and to each client the number of its last input.
 */
import { Server } from 'socket.io'
import parser from 'socket.io-msgpack-parser'
import { App } from 'uWebSockets.js'
import { placeAt, tickMs } from '../../dist/bench/fanout/project/shared/place.js'
import { listening } from './port.mjs'

const rooms = new Map(), headBytes = 8, rowBytes = 10

function roomOf(io, name, movers) {
  let room = rooms.get(name)
  if (room === undefined) rooms.set(name, room = { turn: 0, applied: 0, left: 0, movers, packet: Buffer.alloc(headBytes + movers * rowBytes), to: io.to(name), told: new Map() })
  return room
}

function turn(room) {
  if (room.left > 0) {
    room.left--
    room.turn++
    const { packet } = room
    packet.writeUInt32LE(room.turn, 0)
    packet.writeUInt32LE(room.applied, 4)
    for (let row = 0, at = headBytes; row < room.movers; row++, at += rowBytes) {
      const place = placeAt(row, room.turn)
      packet.writeUInt16LE(row, at)
      packet.writeFloatLE(place, at + 2)
      packet.writeFloatLE(place, at + 6)
    }
    room.to.emit('t', packet)
  }
  for (const [socket, number] of room.told) socket.emit('a', number)
  room.told.clear()
}

const app = App(), io = new Server({ parser, transports: ['websocket'], serveClient: false })
io.attachApp(app)
io.on('connection', (socket) => {
  const { name, movers } = socket.handshake.query
  const room = roomOf(io, name, Number(movers))
  socket.join(name)
  socket.on('go', (turns) => { room.left = turns })
  socket.on('s', (number) => {
    room.applied++
    room.told.set(socket, number)
  })
})

let next = performance.now()
function tick() {
  for (const room of rooms.values()) turn(room)
  next = Math.max(next + tickMs, performance.now())
  setTimeout(tick, next - performance.now())
}
tick()
await listening((port) => new Promise((resolve) => { app.listen(port, resolve) }))
