/** The floor of the fan-out bench from outside: what the engine sent is captured, played by a bare server, and compared byte by byte with what a client gets of it. */
import { WebSocket } from 'ws'
import { writeJoin } from '../../src/wire/client-messages.js'
import type { RoomType } from './project/shared/place.js'
import type { Seen } from './viewer.js'
import { until } from '../../test/support/until.js'

const none = new Uint8Array(0)

/** The room sections that a client of the engine gets while `move` runs. Its own way in is no part of them. */
export async function captureSections(url: string, type: RoomType, name: string, move: () => Promise<unknown>): Promise<Uint8Array[]> {
  const socket = new WebSocket(url), sections: Uint8Array[] = []
  let isMoving = false, messages = 0
  socket.on('open', () => socket.send(writeJoin({ schema: type, schemaHash: 0, name, open: 0, join: none, options: none })))
  socket.on('message', (data: Buffer) => {
    messages++
    if (isMoving && data.toString('latin1', 4, 8) === 'KSEC') sections.push(new Uint8Array(data))
  })
  // A Welcome, and a snapshot of the room and of the session's own stream.
  await until(() => messages >= 3, 'the engine has let the captor in')
  isMoving = true
  await move()
  socket.close()
  return sections
}

export interface FloorViewer { leave(): void; check(): Seen }

/** Every message is the next of those that are played. */
export async function viewFloor(port: number, name: string, messages: readonly Uint8Array[]): Promise<FloorViewer> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/${name}`)
  let turns = 0, wrong = '', isLeaving = false
  socket.on('message', (data: Buffer) => { if (Buffer.compare(new Uint8Array(data), messages[turns++ % messages.length]) !== 0) wrong ||= `message ${turns} is not what the engine sent` })
  socket.on('close', () => { if (!isLeaving) wrong ||= 'it has lost its connection' })
  await until(() => socket.readyState === WebSocket.OPEN, 'the floor has let its viewer in')
  return {
    leave: () => { isLeaving = true; socket.close() },
    check: () => ({ wrong, turn: turns, turns, applied: 0 }),
  }
}
