import { defineRoom, type Room, type Session } from 'kasagi-engine'
import { u64 } from 'kasagi-engine/schema'
import { echoesMax, mark, numbersMax, servers, word, type Kind } from '../shared/marks.js'
import { seatsMax, twin } from '../shared/twin.js'

const timers = { turnOver: { secret: u64 } }
/** Sessions that have left, as an author may keep them by mistake. */
interface Derived { readonly gone: { readonly session: Session; readonly who: number }[] }
type TwinRoom = Room<typeof twin, typeof timers, {}, Derived>

const deckSize = 20
const markOf = ({ options }: TwinRoom, who: number, kind: Kind, number: number): bigint => mark(options.seed, who, kind, number)
const wordOf = ({ options }: TwinRoom, who: number, kind: Kind, number: number): string => word(options.seed, who, kind, number)
/** Servers' marks are nobody's, so their numbers may come round again. */
const nextNumber = ({ globals }: TwinRoom): number => globals.turns++ % numbersMax

function drawCard(room: TwinRoom, session: Session, player: number): void {
  const { deck, hands, players } = room.tables
  const who = players.who[player], number = players.drawn[player]
  const row = [...deck.rows()][room.random.int(deck.size)]
  deck.despawn(row)
  spawnDeck(room, nextNumber(room))
  hands.spawn({ of: players.ref(player), card: markOf(room, who, 'card', number), word: wordOf(room, who, 'word', number) }, { owner: session })
  // Not before: there may be no row for it.
  players.drawn[player]++
  players.held[player]++
  room.emit('dealt', { card: markOf(room, who, 'event', number) }, session)
}

function spawnDeck(room: TwinRoom, number: number): void {
  room.tables.deck.spawn({ card: markOf(room, servers, 'deck', number), word: wordOf(room, servers, 'deck', number) })
}

function arm(room: TwinRoom): void {
  room.after(20, 'turnOver', { secret: markOf(room, servers, 'timer', nextNumber(room)) })
}

export default defineRoom(twin, {
  tickHz: 0,
  maxSessions: seatsMax,
  graceMs: 60_000,
  snapshotEveryMs: 150,
  timers,
  derive: (): Derived => ({ gone: [] }),

  onCreate(room) {
    for (let n = 0; n < deckSize; n++) spawnDeck(room, n)
    room.globals.bias = markOf(room, servers, 'bias', 0)
    arm(room)
  },

  onJoin(room, session, { who, fails }) {
    if (fails) throw new Error(`it is ${markOf(room, servers, 'bias', 1)}`)
    const player = session.row = room.tables.players.spawn({
      who, wallet: markOf(room, who, 'wallet', 0), word: wordOf(room, who, 'wallet', 0),
      bias: markOf(room, servers, 'bias', who), note: wordOf(room, servers, 'bias', who),
    }, { owner: session })
    for (let n = 0; n < 3; n++) drawCard(room, session, player)
    room.globals.turn ??= room.tables.players.ref(player)
  },

  onDrop(room, { row }) {
    if (row !== undefined) room.tables.players.away.set(row, true)
  },

  onResume(room, { row }) {
    if (row !== undefined) room.tables.players.away.set(row, false)
  },

  onLeave(room, session) {
    room.derived.gone.push({ session, who: room.tables.players.who[session.row!] })
  },

  onInput: {
    draw(room, session) {
      drawCard(room, session, session.row!)
    },
    play(room, { row }, { card }) {
      const { hands, players } = room.tables, player = row!
      const held = [...hands.rows()].find((other) => hands.card[other] === card && players.row(hands.of.get(other)) === player)
      if (held === undefined) return room.reject('not-in-hand', String(markOf(room, players.who[player], 'refusal', players.refused[player]++)))
      hands.despawn(held)
      players.held[player]--
      room.globals.top++
    },
    spend(room, { row }) {
      const { players } = room.tables, player = row!, number = ++players.spent[player]
      players.wallet[player] = markOf(room, players.who[player], 'wallet', number)
      players.word.set(player, wordOf(room, players.who[player], 'wallet', number))
      players.bias[player] = markOf(room, servers, 'bias', 100 + number)
    },
    say(room, { row }, { line }) {
      room.tables.chat.spawn({ number: room.globals.lines++, from: room.tables.players.who[row!], line })
    },
    fail(room) {
      throw new Error(`the deck holds ${markOf(room, servers, 'deck', 0)}`)
    },
    nudge(room) {
      const { hands, players } = room.tables
      const seated = new Set([...room.sessions.values()].map(({ row }) => row))
      const orphan = (): bigint => markOf(room, servers, 'orphan', nextNumber(room))
      for (const player of players.rows()) if (!seated.has(player)) players.wallet[player] = orphan()
      for (const row of hands.rows()) if (!seated.has(players.row(hands.of.get(row)))) hands.card[row] = orphan()
    },
    haunt(room) {
      for (const { session, who } of room.derived.gone) {
        const number = nextNumber(room), card = markOf(room, who, 'echo', number % echoesMax)
        room.emit('dealt', { card }, session)
        room.emit('dealt', { card }, [session])
        room.tables.hands.spawn({ card: markOf(room, servers, 'orphan', number), word: wordOf(room, servers, 'orphan', number) }, { owner: session })
      }
    },
    sweep(room) {
      const { hands, players } = room.tables
      const seated = new Set([...room.sessions.values()].map(({ row }) => row))
      for (const row of hands.rows()) if (!seated.has(players.row(hands.of.get(row)))) hands.despawn(row)
      for (const player of players.rows()) if (!seated.has(player)) players.despawn(player)
    },
    close(room) {
      room.close('over')
    },
  },

  onTimer: {
    turnOver(room, { secret }) {
      room.globals.bias = secret
      room.emit('turned', { turns: room.globals.turns })
      arm(room)
    },
  },
})
