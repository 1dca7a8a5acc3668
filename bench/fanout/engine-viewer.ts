/** The engine's own client, with `verify`: stays in rooms of the fan-out bench, and can tell whether all that it sees is right. A process of its own. */
import { connect } from 'kasagi-engine/client'
import { placeAt } from './project/shared/place.js'
import { crowd, exact, small } from './project/shared/shapes.js'
import { answerViewer, type Stay } from './viewer.js'

const schemas = { crowd, exact, small }

answerViewer(async ({ port, name, type, movers: wanted }): Promise<Stay> => {
  const room = await connect(`ws://127.0.0.1:${port}`, { verify: true, joinMs: 30_000 }).join(schemas[type], { name })
  let turns = 0
  room.onFlush(() => { turns++ })
  return {
    leave: () => room.leave(),
    check: () => {
      const { globals: { turn, applied }, tables: { movers }, stats, status } = room, within = type === 'exact' ? 0 : 1 / 16
      const told = { turn, applied, turns }
      if (status !== 'live' || stats.hashMismatches > 0 || stats.resyncs > 0) return { ...told, wrong: `it is ${status}, after ${stats.hashMismatches} hashes that differed and ${stats.resyncs} resyncs` }
      if (movers.size !== wanted) return { ...told, wrong: `it sees ${movers.size} rows` }
      for (let row = 0; row < wanted; row++) {
        const place = placeAt(row, turn)
        if (Math.abs(movers.x[row] - place) > within || Math.abs(movers.y[row] - place) > within) return { ...told, wrong: `row ${row} is not at ${place}, where turn ${turn} has it` }
      }
      return { ...told, wrong: '' }
    },
  }
})
