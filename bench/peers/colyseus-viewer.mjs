/** Colyseus' own client: stays in rooms of the fan-out bench, one of each variant, and can tell whether all that it sees is right. */
import { Client } from '@colyseus/sdk'
import { placeAt, worldSize } from '../../dist/bench/fanout/project/shared/place.js'
import { answerViewer } from '../../dist/bench/fanout/viewer.js'

answerViewer(async ({ port, name, movers, variant }) => {
  const room = await new Client(`http://127.0.0.1:${port}`).joinOrCreate('crowd', { room: name, movers })
  let turns = 0, lost = ''
  room.onLeave((code) => { lost = `it has lost its room: ${code}` })
  await new Promise((resolve) => { room.onStateChange.once(resolve) })
  room.onStateChange(() => { turns++ })
  return {
    leave: () => room.leave(),
    check: () => {
      const { turn, applied, movers: seen } = room.state
      if (lost !== '') return { wrong: lost }
      if (seen.size !== movers) return { wrong: `it sees ${seen.size} entities` }
      const within = variant === 'quantized' ? worldSize / 65_535 : 0
      for (let row = 0; row < movers; row++) {
        const { x, y } = seen.get(String(row)), place = placeAt(row, turn)
        if (Math.abs(x - place) > within || Math.abs(y - place) > within) return { wrong: `entity ${row} stands at ${x}, ${y}, not at ${place} of turn ${turn}` }
      }
      return { wrong: '', turn, applied, turns }
    },
  }
})
