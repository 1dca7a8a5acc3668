import { defineRoom, type Room, type Session } from 'kasagi-engine'
import { cards, deckSize, fits, handSize, overMs, seatsMax, turnMs } from '../shared/cards.js'

const timers = { turnOver: {}, tableOver: {} }
type CardRoom = Room<typeof cards, typeof timers>

/** What everybody comes with: a game of your own would ask its database. */
const walletAtFirst = 100n

const isTurnOf = ({ globals, tables: { players } }: CardRoom, player: number | undefined): player is number =>
  player !== undefined && players.row(globals.turn) === player

const sessionOf = ({ sessions }: CardRoom, player: number): Session | undefined => [...sessions.values()].find(({ row }) => row === player)

function freeSeat({ tables: { players } }: CardRoom): number {
  const taken = new Set([...players.rows()].map((row) => players.seat[row]))
  let seat = 0
  while (taken.has(seat)) seat++
  return seat
}

/** Takes any card out of the deck; undefined if all of them are in hands. */
function takeCard(room: CardRoom): number | undefined {
  const { deck } = room.tables
  if (deck.size === 0) turnPileOver(room)
  if (deck.size === 0) return undefined
  const row = [...deck.rows()][room.random.int(deck.size)], card = deck.card[row]
  deck.despawn(row)
  room.globals.inDeck = deck.size
  return card
}

/** What lies under the top card becomes the deck: every card that is in nobody's hand. */
function turnPileOver({ globals, tables: { deck, hands } }: CardRoom): void {
  const elsewhere = new Set([globals.top, ...[...hands.rows()].map((row) => hands.card[row])])
  for (let card = 0; card < deckSize; card++) if (!elsewhere.has(card)) deck.spawn({ card })
}

function drawCard(room: CardRoom, player: number): void {
  const { hands, players } = room.tables
  const card = takeCard(room)
  if (card === undefined) return
  hands.spawn({ of: players.ref(player), card }, { owner: sessionOf(room, player) })
  players.held[player]++
}

function deal(room: CardRoom): void {
  const { globals, tables: { players } } = room
  room.lock()
  globals.phase = 'playing'
  for (const player of players.rows()) {
    players.wallet[player] -= BigInt(globals.stake)
    globals.pot += globals.stake
    for (let n = 0; n < handSize; n++) drawCard(room, player)
  }
  globals.top = takeCard(room)!
  nextTurn(room)
}

/** The next seat has the turn, and the clock begins anew. */
function nextTurn(room: CardRoom): void {
  const { globals, tables: { players } } = room
  const seated = [...players.rows()].sort((a, b) => players.seat[a] - players.seat[b])
  const now = players.row(globals.turn)
  globals.turn = players.ref(seated[(seated.indexOf(now ?? -1) + 1) % seated.length])
  globals.turns++
  room.after(turnMs, 'turnOver')
}

function win(room: CardRoom, player: number): void {
  const { globals, tables: { players } } = room
  players.wallet[player] += BigInt(globals.pot)
  globals.phase = 'over'
  globals.winner = players.ref(player)
  globals.turn = null
  room.cancel('turnOver')
  room.after(overMs, 'tableOver')
}

export default defineRoom(cards, {
  tickHz: 0,
  maxSessions: seatsMax,
  graceMs: 120_000,
  durability: 'snapshot',
  snapshotEveryMs: 1000,
  timers,

  onCreate(room) {
    for (let card = 0; card < deckSize; card++) room.tables.deck.spawn({ card })
    room.globals.inDeck = deckSize
    room.globals.stake = room.listing.stake
  },

  onJoin(room, session, { name }) {
    const { players } = room.tables
    if (BigInt(room.globals.stake) > walletAtFirst) return room.reject('too-dear')
    session.row = players.spawn({ name, seat: freeSeat(room), wallet: walletAtFirst }, { owner: session })
    if (players.size === seatsMax) deal(room)
  },

  onDrop(room, { row }) {
    if (row !== undefined) room.tables.players.away.set(row, true)
  },

  onResume(room, { row }) {
    if (row !== undefined) room.tables.players.away.set(row, false)
  },

  onLeave(room, { row: player }) {
    const { globals, sessions, tables: { hands, players } } = room
    if (sessions.size === 1) return room.close('empty')
    // A game that is over stays on the table as it ended.
    if (player === undefined || globals.phase === 'over') return
    for (const row of hands.rows()) if (players.row(hands.of.get(row)) === player) hands.despawn(row)
    if (isTurnOf(room, player)) nextTurn(room)
    players.despawn(player)
    const [last] = players.rows()
    if (globals.phase === 'playing' && players.size === 1) win(room, last)
  },

  onInput: {
    deal(room) {
      if (room.globals.phase !== 'waiting') return room.reject('already-dealt')
      if (room.tables.players.size < 2) return room.reject('too-few')
      deal(room)
    },
    play(room, { row: player }, { card }) {
      const { globals, tables: { hands, players } } = room
      if (!isTurnOf(room, player)) return room.reject('not-your-turn')
      const held = [...hands.rows()].find((row) => hands.card[row] === card && players.row(hands.of.get(row)) === player)
      if (held === undefined) return room.reject('not-in-hand')
      if (!fits(card, globals.top)) return room.reject('does-not-fit')
      hands.despawn(held)
      globals.top = card
      players.held[player]--
      if (players.held[player] === 0) win(room, player)
      else nextTurn(room)
    },
    draw(room, { row: player }) {
      if (!isTurnOf(room, player)) return room.reject('not-your-turn')
      drawCard(room, player)
      nextTurn(room)
    },
    say(room, { row: player }, { line }) {
      const { globals, tables: { chat, players } } = room
      if (player !== undefined && line.trim() !== '') chat.spawn({ number: globals.lines++, from: players.at(player).name, line })
    },
  },

  onTimer: {
    turnOver(room) {
      const { globals, tables: { players } } = room
      const slow = players.row(globals.turn)
      if (slow !== undefined) {
        room.emit('turnLost', { seat: players.seat[slow] })
        drawCard(room, slow)
      }
      nextTurn(room)
    },
    tableOver(room) {
      room.close('over')
    },
  },
})
