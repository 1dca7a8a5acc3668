import { connect } from 'kasagi-engine/client'
import { arena, radiusOf, size } from '../shared/arena.js'
import { createSteering } from './steering.js'
import { draw, type Camera } from './draw.js'
import { showLeaders, showPanel } from './panel.js'

const canvas = document.querySelector('canvas')!
const paint = canvas.getContext('2d')!
const camera: Camera = { x: size / 2, y: size / 2, scale: 1 }

// ?name=ann&room=mine&bots=50&food=500: who you are, and what a new room is opened with.
const asked = new URLSearchParams(location.search)
const name = asked.get('name') ?? `player ${Math.floor(Math.random() * 1000)}`
const options = { bots: Number(asked.get('bots') ?? 300), food: Number(asked.get('food') ?? 2500) }
const room = await connect(location.origin).join(arena, { name: asked.get('room') ?? 'main', join: { name }, options })
// For the console, and for tests.
Object.assign(globalThis, { room })
const { cells } = room.tables

const steering = createSteering(canvas)
const bites: { x: number; y: number; at: number }[] = []
room.on('eaten', ({ x, y }) => bites.push({ x, y, at: performance.now() }))
room.onStatus(() => { document.title = `arena · ${room.detached ? 'detached' : room.status}` })

// Aims are world coordinates, twenty times a second; whoever was eaten begins again.
setInterval(() => {
  const aim = steering.aim(camera), { mine } = cells
  if (mine === undefined) room.send('again', { name })
  else if (aim !== undefined) room.send('aim', { x: cells.x[mine] + aim.x, y: cells.y[mine] + aim.y })
}, 50)
setInterval(() => { showPanel(room); showLeaders(room) }, 500)

requestAnimationFrame(function frame() {
  const mine = cells.mine
  if (mine !== undefined) {
    camera.x = cells.smooth(mine, 'x')
    camera.y = cells.smooth(mine, 'y')
    camera.scale += (1.6 / (1 + radiusOf(cells.mass[mine]) / 120) - camera.scale) * 0.05
  }
  draw(paint, room, camera, bites)
  requestAnimationFrame(frame)
})
