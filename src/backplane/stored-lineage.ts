/**
 * A lineage as it is stored: lists of epoch, parent epoch and fork seq, oldest first; as text, JSON of them. Main thread. Writer and reader hold each
 * other to the same rules: what breaks one is not stored, and not believed.
 */
import { assert } from '../base/assert.js'
import { lineageForksMax, type Fork, type Lineage } from '../base/lineage.js'

/** Characters of a stored lineage: three numbers of 16 digits a fork, and what stands between them. */
export const lineageTextMax = lineageForksMax * 56

/** The newest forks, as they are stored with a snapshot at a position of `epoch`, to which they lead. */
export function storedForks(lineage: Lineage, epoch: number): number[][] {
  const forks = lineage.slice(-lineageForksMax).map((fork) => [fork.epoch, fork.parentEpoch, fork.forkSeq])
  assert(lineageOf(forks, epoch) !== undefined, 'a snapshot is stored with the forks that lead to it')
  return forks
}

/** The lineage, or undefined for what is none that leads to a position of `epoch`. Never throws. */
export function lineageOf(forks: unknown, epoch: number): Lineage | undefined {
  if (!Array.isArray(forks) || forks.length > lineageForksMax) return undefined
  const lineage: Fork[] = []
  for (const fork of forks as unknown[]) {
    if (!Array.isArray(fork) || fork.length !== 3 || !fork.every((value) => Number.isSafeInteger(value) && value >= 0)) return undefined
    const [of, parentEpoch, forkSeq] = fork as number[], parent = lineage.at(-1)
    if (of <= parentEpoch || parent !== undefined && (parentEpoch !== parent.epoch || forkSeq < parent.forkSeq)) return undefined
    lineage.push({ epoch: of, parentEpoch, forkSeq })
  }
  return (lineage.at(-1)?.epoch ?? 0) === epoch ? lineage : undefined
}

/** {@link lineageOf} a text. */
export function parseLineage(text: string, epoch: number): Lineage | undefined {
  try {
    return lineageOf(JSON.parse(text), epoch)
  } catch {
    return undefined
  }
}
