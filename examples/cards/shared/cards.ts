import { bool, choice, defineSchema, ref, table, text, u16, u32, u64, u8 } from 'kasagi-engine/schema'

export const seatsMax = 4
export const handSize = 7
export const turnMs = 30_000
/** How long a table stays once its game is over. */
export const overMs = 60_000

/** A card is a number from 0 to 51: thirteen of each suit, the ace first. */
export const deckSize = 52
export const suitOf = (card: number): number => Math.floor(card / 13)
export const rankOf = (card: number): number => card % 13
const eight = 7

/** A card fits its suit and its rank, an eight fits everywhere. Room and page ask the same function. */
export const fits = (card: number, top: number): boolean => rankOf(card) === eight || suitOf(card) === suitOf(top) || rankOf(card) === rankOf(top)

export const cards = defineSchema('cards', {
  player: 'players',
  globals: {
    phase: choice('waiting', 'playing', 'over'),
    turn: ref('players'),
    /** How many turns there have been. */
    turns: u32,
    top: u8,
    inDeck: u8,
    stake: u16,
    pot: u32,
    winner: ref('players'),
    /** Lines said in the chat. */
    lines: u32.to('server'),
  },
  tables: {
    // Everybody sees these rows, but for the wallet: that goes to the session that owns the row, and to nobody else. Room for twice the seats:
    // the row of somebody who left is given out again only when everybody was told.
    players: table({ name: text(24), seat: u8, held: u8, away: bool, wallet: u64.to('owner') }, { capacity: seatsMax * 2 }),
    // A row goes to its owner only. What others may know of a hand is `held`, a column of players.
    hands: table({ of: ref('players'), card: u8 }, { capacity: 60, to: 'owner' }),
    // Survives the server, and never leaves it.
    deck: table({ card: u8 }, { capacity: 60, to: 'server' }),
    // Row numbers are given out again; which line came first says `number`.
    chat: table({ number: u32, from: text(24), line: text(200) }, { capacity: 50, whenFull: 'drop-oldest' }),
  },
  inputs: { deal: {}, play: { card: u8 }, draw: {}, say: { line: text(200) } },
  events: { turnLost: { seat: u8 } },
  join: { name: text(24).default('somebody') },
  listing: { stake: u16.default(5) },
})
