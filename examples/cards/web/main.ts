import { connect, type KasagiError } from 'kasagi-engine/client'
import { cards } from '../shared/cards.js'
import { openChat } from './chat.js'
import { createTurnClock } from './clock.js'
import { find } from './element.js'
import { showClock, showTable, type Acts } from './table.js'

const texts: Record<string, string> = {
  'not-your-turn': 'It is not your turn.',
  'not-in-hand': 'You do not hold that card.',
  'does-not-fit': 'That card fits neither suit nor rank.',
  'too-few': 'It takes two to play.',
  'too-dear': 'Your wallet does not hold that stake.',
  'room-locked': 'They have begun to play at that table.',
  'room-full': 'That table is full.',
  'room-closed': 'The table was closed.',
}
const textOf = ({ code }: KasagiError): string => texts[code] ?? code

const statuses = { live: '', resuming: 'connection lost, coming back …', closed: 'the table is closed' }

const noteMs = 2500
let forget: ReturnType<typeof setTimeout> | undefined

/** Says something for a moment. */
function note(text: string): void {
  clearTimeout(forget)
  find('#note').textContent = text
  forget = setTimeout(() => { find('#note').textContent = '' }, noteMs)
}

// ?name=ann&stake=5&room=mine: who you are, and at which table you sit. Without a room it is any with that stake where they have not begun.
const asked = new URLSearchParams(location.search)
const name = asked.get('name') ?? `player ${Math.floor(Math.random() * 1000)}`
const stake = Number(asked.get('stake') ?? 5)
const server = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}`

async function play(): Promise<void> {
  const room = await connect(server).join(cards, { name: asked.get('room') ?? undefined, match: { stake }, join: { name } })
  // For the console, and for tests.
  Object.assign(globalThis, { room })
  const { players } = room.tables
  const say = (error: KasagiError): void => note(textOf(error))
  const acts: Acts = {
    deal: () => { room.ask('deal', {}).catch(say) },
    play: (card) => { room.ask('play', { card }).catch(say) },
    draw: () => { room.ask('draw', {}).catch(say) },
    again: () => location.reload(),
  }
  const clock = createTurnClock(room)
  const show = (): void => showTable(room, clock, acts)
  room.onFlush(show)
  room.on('turnLost', ({ seat }) => {
    const slow = [...players.rows()].find((row) => players.seat[row] === seat)
    if (slow !== undefined) note(slow === players.mine ? 'Too slow: you draw a card.' : `${players.name.get(slow)} was too slow, and draws a card.`)
  })
  room.onStatus(() => {
    find('#status').textContent = statuses[room.status]
    show()
  })
  setInterval(() => showClock(clock), 250)
  // Whoever closes the page leaves the table; else the others would wait for them through the room's grace time.
  addEventListener('pagehide', () => { void room.leave() })
  openChat(room, say)
  show()
}

play().catch((error: KasagiError) => { find('#says').textContent = textOf(error) })
