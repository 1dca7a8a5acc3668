import type { ClientRoom } from 'kasagi-engine/client'
import { radiusOf, size, type arena } from '../shared/arena.js'

export interface Camera { x: number; y: number; scale: number }

const foodHues = [48, 95, 160, 205, 280, 335]
const biteMs = 450

export function draw(paint: CanvasRenderingContext2D, room: ClientRoom<typeof arena>, camera: Camera, bites: { x: number; y: number; at: number }[]): void {
  const { canvas } = paint
  const ratio = devicePixelRatio
  if (canvas.width !== innerWidth * ratio || canvas.height !== innerHeight * ratio) {
    canvas.width = innerWidth * ratio
    canvas.height = innerHeight * ratio
  }
  paint.setTransform(1, 0, 0, 1, 0, 0)
  paint.fillStyle = '#0d1219'
  paint.fillRect(0, 0, canvas.width, canvas.height)
  const scale = camera.scale * ratio
  paint.setTransform(scale, 0, 0, scale, canvas.width / 2 - camera.x * scale, canvas.height / 2 - camera.y * scale)
  drawFloor(paint)
  drawFood(paint, room)
  drawCells(paint, room)
  drawBites(paint, bites)
}

function drawFloor(paint: CanvasRenderingContext2D): void {
  paint.strokeStyle = '#1a2430'
  paint.lineWidth = 1
  paint.beginPath()
  for (let at = 0; at <= size; at += 100) {
    paint.moveTo(at, 0)
    paint.lineTo(at, size)
    paint.moveTo(0, at)
    paint.lineTo(size, at)
  }
  paint.stroke()
  paint.strokeStyle = '#3a4a5e'
  paint.lineWidth = 4
  paint.strokeRect(0, 0, size, size)
}

function drawFood(paint: CanvasRenderingContext2D, { tables: { food } }: ClientRoom<typeof arena>): void {
  for (let kind = 0; kind < foodHues.length; kind++) {
    paint.fillStyle = `hsl(${foodHues[kind]} 60% 58%)`
    paint.beginPath()
    for (const row of food.rows()) {
      if (food.kind[row] !== kind) continue
      const x = food.x[row], y = food.y[row]
      paint.moveTo(x + 3, y)
      paint.arc(x, y, 3, 0, Math.PI * 2)
    }
    paint.fill()
  }
}

function drawCells(paint: CanvasRenderingContext2D, { tables: { cells } }: ClientRoom<typeof arena>): void {
  paint.textAlign = 'center'
  paint.textBaseline = 'middle'
  const bySize = [...cells.rows()].sort((a, b) => cells.mass[a] - cells.mass[b])
  for (const row of bySize) {
    const x = cells.smooth(row, 'x'), y = cells.smooth(row, 'y'), radius = radiusOf(cells.mass[row])
    const isMine = row === cells.mine
    paint.fillStyle = `hsl(${cells.hue[row]} 55% ${isMine ? 62 : 48}%)`
    paint.beginPath()
    paint.arc(x, y, radius, 0, Math.PI * 2)
    paint.fill()
    paint.lineWidth = isMine ? 3 : 1.5
    paint.strokeStyle = isMine ? '#ffffff' : `hsl(${cells.hue[row]} 60% 70%)`
    paint.stroke()
    if (radius < 16) continue
    paint.fillStyle = '#ffffffd0'
    paint.font = `${Math.min(18, radius * 0.45)}px system-ui, sans-serif`
    paint.fillText(cells.name.get(row), x, y)
  }
}

function drawBites(paint: CanvasRenderingContext2D, bites: { x: number; y: number; at: number }[]): void {
  const now = performance.now()
  while (bites.length > 0 && now - bites[0].at > biteMs) bites.shift()
  for (const { x, y, at } of bites) {
    const part = (now - at) / biteMs
    paint.strokeStyle = `rgb(255 255 255 / ${0.7 * (1 - part)})`
    paint.lineWidth = 2
    paint.beginPath()
    paint.arc(x, y, 20 + part * 50, 0, Math.PI * 2)
    paint.stroke()
  }
}
