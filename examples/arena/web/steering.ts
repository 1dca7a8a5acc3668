import type { Camera } from './draw.js'

/** How far ahead a key points, in world units. */
const keyReach = 400
const keys: Record<string, readonly [number, number]> = {
  KeyW: [0, -1], ArrowUp: [0, -1], KeyS: [0, 1], ArrowDown: [0, 1], KeyA: [-1, 0], ArrowLeft: [-1, 0], KeyD: [1, 0], ArrowRight: [1, 0],
}

export interface Steering {
  /** Where the player wants to go, from where it stands; undefined before the first move. */
  aim(camera: Camera): { x: number; y: number } | undefined
}

export function createSteering(canvas: HTMLCanvasElement): Steering {
  const held = new Set<string>()
  let pointer: { x: number; y: number } | undefined
  addEventListener('keydown', ({ code }) => { if (code in keys) { held.add(code); pointer = undefined } })
  addEventListener('keyup', ({ code }) => held.delete(code))
  canvas.addEventListener('pointermove', ({ clientX, clientY }) => { pointer = { x: clientX - innerWidth / 2, y: clientY - innerHeight / 2 } })
  return {
    aim({ scale }) {
      if (pointer !== undefined) return { x: pointer.x / scale, y: pointer.y / scale }
      if (held.size === 0) return undefined
      let x = 0, y = 0
      for (const code of held) { x += keys[code][0] * keyReach; y += keys[code][1] * keyReach }
      return { x, y }
    },
  }
}
