import { defineRoom, type Room, type Session } from 'kasagi-engine'
import { arena, radiusOf, size, speed } from '../shared/arena.js'

const timers = { refill: {} }
type ArenaRoom = Room<typeof arena, typeof timers>

const massMax = 4000
const somewhere = ({ random }: ArenaRoom): { x: number; y: number } => ({ x: random.float() * size, y: random.float() * size })

function spawnBot(room: ArenaRoom, number: number): void {
  const at = somewhere(room), to = somewhere(room)
  room.tables.cells.spawn({
    ...at, tx: to.x, ty: to.y, name: `bot ${number}`, bot: 1, hue: room.random.int(360), mass: 12 + room.random.int(60),
  })
}

function spawnFood(room: ArenaRoom, count: number): void {
  const { food } = room.tables
  for (let n = 0; n < count && food.size < room.options.food; n++) food.spawn({ ...somewhere(room), kind: room.random.int(6) })
}

function spawnPlayer(room: ArenaRoom, session: Session, name: string): void {
  const at = somewhere(room)
  session.row = room.tables.cells.spawn({ ...at, tx: at.x, ty: at.y, name, hue: room.random.int(360), mass: 30 }, { owner: session })
}

export default defineRoom(arena, {
  tickHz: 30,
  flushHz: 15,
  maxSessions: 1000,
  timers,

  onCreate(room) {
    for (let n = 0; n < room.options.bots; n++) spawnBot(room, n)
    spawnFood(room, room.options.food)
    room.after(500, 'refill')
  },

  onTimer: {
    refill(room) {
      spawnFood(room, 60)
      let bots = 0
      for (const row of room.tables.cells.rows()) bots += room.tables.cells.bot[row]
      for (; bots < room.options.bots; bots++) spawnBot(room, room.time.tick % 1000)
      room.after(500, 'refill')
    },
  },

  onJoin(room, session, { name }) {
    spawnPlayer(room, session, name)
  },

  onLeave(room, { row }) {
    if (row !== undefined) room.tables.cells.despawn(row)
  },

  onInput: {
    aim(room, { row }, { x, y }) {
      if (row === undefined) return
      room.tables.cells.tx[row] = Math.min(size, Math.max(0, x))
      room.tables.cells.ty[row] = Math.min(size, Math.max(0, y))
    },
    again(room, session, { name }) {
      if (session.row === undefined) spawnPlayer(room, session, name)
    },
  },

  onTick(room, dtMs) {
    const { cells, food } = room.tables
    for (const row of cells.rows()) {
      if (cells.bot[row] === 1 && room.random.int(90) === 0) {
        const to = somewhere(room)
        cells.tx[row] = to.x
        cells.ty[row] = to.y
      }
      const dx = cells.tx[row] - cells.x[row], dy = cells.ty[row] - cells.y[row], far = Math.hypot(dx, dy)
      const pace = speed * dtMs / 1000 / (1 + cells.mass[row] / 800)
      const part = far > 0 ? Math.min(1, pace / far) : 0
      cells.x[row] += dx * part
      cells.y[row] += dy * part
      const reach = radiusOf(cells.mass[row])
      for (const bite of food.near(cells.x[row], cells.y[row], reach)) {
        cells.mass[row] = Math.min(massMax, cells.mass[row] + 1)
        food.despawn(bite)
      }
      for (const prey of cells.near(cells.x[row], cells.y[row], reach)) {
        if (cells.mass[prey] * 1.2 >= cells.mass[row]) continue
        cells.mass[row] = Math.min(massMax, cells.mass[row] + cells.mass[prey])
        cells.despawn(prey)
        const at = [cells.x[row], cells.y[row]] as const
        room.emit('eaten', { by: cells.at(row).name, x: at[0], y: at[1] }, { near: at })
      }
    }
  },
})
