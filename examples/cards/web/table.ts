import type { ClientRoom } from 'kasagi-engine/client'
import { fits, seatsMax, turnMs, type cards } from '../shared/cards.js'
import { backs, face } from './card.js'
import type { TurnClock } from './clock.js'
import { element, find } from './element.js'

type CardRoom = ClientRoom<typeof cards>

/** What a player may do. */
export interface Acts { deal(): void; play(card: number): void; draw(): void; again(): void }

const deck = find<HTMLButtonElement>('#deck')

/** Shows the whole table as the room has it now. It is small, and changes only when somebody moves. */
export function showTable(room: CardRoom, clock: TurnClock, acts: Acts): void {
  const { globals, tables: { players } } = room
  const me = players.mine, wallet = me === undefined ? '' : String(players.wallet[me])
  find('header dl').replaceChildren(...entry('stake', String(globals.stake)), ...entry('pot', String(globals.pot)), ...entry('your wallet', wallet))
  find('#others').replaceChildren(...othersOf(room).map((row) => seat(room, row, clock)), ...emptySeats(room))
  deck.disabled = !isTurnOf(room, me)
  deck.onclick = acts.draw
  deck.firstElementChild!.textContent = String(globals.inDeck)
  deck.setAttribute('aria-label', `draw a card of ${globals.inDeck}`)
  showPile(globals.phase === 'waiting' ? undefined : globals.top)
  find('#says').textContent = sentence(room)
  find('#choices').replaceChildren(...choices(room, acts))
  find('#me').replaceChildren(...me === undefined ? [] : [seat(room, me, clock)])
  const hand = find('#hand')
  hand.classList.toggle('turn', isTurnOf(room, me))
  hand.replaceChildren(...handOf(room).map((card) => handCard(room, card, acts)))
  showClock(clock)
}

/** Between moves only the clock moves. */
export function showClock(clock: TurnClock): void {
  for (const seconds of document.querySelectorAll('.seconds')) seconds.textContent = `${clock.secondsLeft()} s`
}

/** Only another card lands anew. */
function showPile(top: number | undefined): void {
  const pile = find('#pile')
  if (pile.dataset.top === String(top)) return
  pile.dataset.top = String(top)
  pile.replaceChildren(top === undefined ? element('div', 'card none') : face(top, 'div'))
}

const isTurnOf = ({ globals, tables: { players } }: CardRoom, player: number | undefined): boolean =>
  player !== undefined && players.row(globals.turn) === player

const entry = (term: string, text: string): HTMLElement[] => [element('dt', '', term), element('dd', '', text)]

/** Everybody else, from the next seat on. */
function othersOf({ tables: { players } }: CardRoom): number[] {
  const mySeat = players.mine === undefined ? 0 : players.seat[players.mine]
  const away = (row: number): number => (players.seat[row] - mySeat + seatsMax) % seatsMax
  return [...players.rows()].filter((row) => row !== players.mine).sort((a, b) => away(a) - away(b))
}

const emptySeats = ({ globals, tables: { players } }: CardRoom): HTMLElement[] =>
  globals.phase !== 'waiting' ? [] : Array.from({ length: seatsMax - players.size }, () => element('div', 'seat empty', 'a free seat'))

function seat(room: CardRoom, row: number, clock: TurnClock): HTMLElement {
  const { globals, tables: { players } } = room
  const isMine = row === players.mine, isTurn = isTurnOf(room, row), held = players.held[row]
  const made = element('div', `seat${isTurn ? ' turn' : ''}${players.row(globals.winner) === row ? ' winner' : ''}`)
  made.append(element('b', '', players.name.get(row)))
  if (!isMine && globals.phase !== 'waiting') made.append(element('span', 'held', `${held} ${held === 1 ? 'card' : 'cards'}`), backs(held))
  if (players.away.get(row)) made.append(element('span', 'away', 'away'))
  if (isTurn) {
    const bar = element('i', 'clock')
    // Begun in the past: where the clock stands now.
    bar.style.animation = `clock ${turnMs}ms linear ${-clock.elapsedMs()}ms both`
    made.append(element('span', 'seconds'), bar)
  }
  return made
}

function sentence({ globals, tables: { players } }: CardRoom): string {
  const turn = players.row(globals.turn), winner = players.row(globals.winner)
  switch (globals.phase) {
    case 'waiting':
      return players.size < 2 ? 'Waiting for somebody to play with: open this page in a second tab.' : 'Deal now, or wait for more players.'
    case 'playing':
      if (turn === undefined) return ''
      return turn === players.mine ? 'Your turn: play a card that fits, or draw one.' : `${players.name.get(turn)} is to play.`
    case 'over':
      if (winner === undefined) return 'The game is over.'
      return winner === players.mine ? 'You win!' : `${players.name.get(winner)} wins.`
  }
}

function choices({ globals, status, tables: { players } }: CardRoom, acts: Acts): HTMLElement[] {
  const choice = (text: string, act: () => void): HTMLElement => {
    const made = element('button', 'choice', text)
    made.onclick = act
    return made
  }
  if (globals.phase === 'over' || status === 'closed') return [choice('play again', acts.again)]
  return globals.phase === 'waiting' && players.size > 1 ? [choice(`deal for ${players.size}`, acts.deal)] : []
}

/** Suit by suit. No other hand is known here. */
const handOf = ({ tables: { hands } }: CardRoom): number[] => [...hands.rows()].map((row) => hands.card[row]).sort((a, b) => a - b)

function handCard(room: CardRoom, card: number, acts: Acts): HTMLElement {
  const made = face(card, 'button')
  const canPlay = isTurnOf(room, room.tables.players.mine) && fits(card, room.globals.top)
  made.classList.toggle('fits', canPlay)
  made.onclick = () => acts.play(card)
  return made
}
