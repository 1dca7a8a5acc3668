import type { ClientRoom } from 'kasagi-engine/client'
import type { arena } from '../shared/arena.js'

const list = document.querySelector('#panel dl')!
const leaders = document.querySelector('#leaders')!
let bytesBefore = 0
let atBefore = performance.now()

/** Replaces the panel's lines: what an engine's user wants to see at a glance. */
export function showPanel(room: ClientRoom<typeof arena>): void {
  const { stats, tables: { cells, food } } = room
  const now = performance.now()
  const perSecond = (stats.bytesIn - bytesBefore) / (now - atBefore) * 1000
  bytesBefore = stats.bytesIn
  atBefore = now
  const lines: [string, string][] = [
    ['status', room.status],
    ['tick', `${stats.tickMs.toFixed(2)} ms`],
    ['seq', String(room.position.seq)],
    ['received', `${(perSecond / 1000).toFixed(1)} kB/s`],
    ['entities', String(cells.size + food.size)],
    ['ping', `${stats.pingMs.toFixed(1)} ms`],
  ]
  list.replaceChildren(...lines.flatMap(([term, value]) => [element('dt', term), element('dd', value)]))
}

export function showLeaders({ tables: { cells } }: ClientRoom<typeof arena>): void {
  const rows = [...cells.rows()].sort((a, b) => cells.mass[b] - cells.mass[a]).slice(0, 6)
  leaders.replaceChildren(...rows.map((row) => element('li', `${cells.name.get(row)} · ${cells.mass[row]}`)))
}

function element(tag: string, text: string): HTMLElement {
  const made = document.createElement(tag)
  made.textContent = text
  return made
}
