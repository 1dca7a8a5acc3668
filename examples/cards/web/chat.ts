import type { ClientRoom, KasagiError } from 'kasagi-engine/client'
import type { cards } from '../shared/cards.js'
import { element, find } from './element.js'

const lines = find('#lines')
const form = find<HTMLFormElement>('aside form')
const input = find<HTMLInputElement>('aside input')

export function openChat(room: ClientRoom<typeof cards>, onRefused: (error: KasagiError) => void): void {
  const { chat } = room.tables
  const show = (): void => {
    const rows = [...chat.rows()].sort((a, b) => chat.number[a] - chat.number[b])
    lines.replaceChildren(...rows.map((row) => element('li', '', element('b', '', chat.from.get(row)), ` ${chat.line.get(row)}`)))
    lines.scrollTop = lines.scrollHeight
  }
  let isStale = true
  chat.onSpawned(() => { isStale = true })
  room.onFlush(() => {
    if (isStale) show()
    isStale = false
  })
  show()
  form.onsubmit = (event) => {
    event.preventDefault()
    if (input.value.trim() !== '') room.ask('say', { line: input.value }).catch(onRefused)
    input.value = ''
  }
}
