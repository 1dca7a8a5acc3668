/** Whether a client sees the movers of bench/tick/project where their room's turn says that they are. */
import type { ClientRoom } from 'kasagi-engine/client'
import { moverCount, placeAt, type steady, type storm } from './project/shared/shapes.js'

/** Half a step of the quantized places. */
const awayMax = 1 / 32

export function checkMovers(id: string, { globals: { turn }, tables: { movers }, stats, status }: ClientRoom<typeof steady> | ClientRoom<typeof storm>): void {
  if (status !== 'live' || stats.hashMismatches > 0 || stats.resyncs > 0) throw new Error(`${id}: a client is ${status}, after ${stats.hashMismatches} hashes that differed and ${stats.resyncs} resyncs`)
  if (movers.size !== moverCount) throw new Error(`${id}: a client sees ${movers.size} rows`)
  for (let row = 0; row < moverCount; row++) {
    const away = Math.max(Math.abs(movers.x[row] - placeAt(row, turn)), Math.abs(movers.y[row] - placeAt(row, turn)))
    if (away > awayMax) throw new Error(`${id}: row ${row} is seen ${away} away from where it is at turn ${turn}`)
  }
}
