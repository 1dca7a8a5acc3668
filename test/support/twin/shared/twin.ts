/** The twin of `cards`: its structure, with marks wherever it has secrets. */
import { bool, choice, defineSchema, ref, table, text, u16, u32, u64, u8 } from 'kasagi-engine/schema'

export const seatsMax = 5

export const twin = defineSchema('twin', {
  player: 'players',
  globals: {
    phase: choice('waiting', 'playing', 'over'), turn: ref('players'), turns: u32, top: u8,
    bias: u64.to('server'), lines: u32.to('server'),
  },
  tables: {
    players: table({
      who: u8, held: u8, away: bool, drawn: u16, spent: u16, refused: u16,
      wallet: u64.to('owner'), word: text(16).to('owner'), bias: u64.to('server'), note: text(16).to('server'),
    }, { capacity: 60 }),
    hands: table({ of: ref('players'), card: u64, word: text(16) }, { capacity: 600, to: 'owner' }),
    deck: table({ card: u64, word: text(16) }, { capacity: 60, to: 'server' }),
    chat: table({ number: u32, from: u8, line: text(200) }, { capacity: 50, whenFull: 'drop-oldest' }),
  },
  inputs: {
    draw: {}, play: { card: u64 }, spend: {}, say: { line: text(200) }, fail: {}, close: {},
    /** Changes what belongs to those who have left; speaks to them; takes it away. */
    nudge: {}, haunt: {}, sweep: {},
  },
  events: { dealt: { card: u64 }, turned: { turns: u32 } },
  join: { who: u8, fails: bool },
  options: { seed: u32 },
  listing: { stake: u16.default(5) },
})
