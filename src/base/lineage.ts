/**
 * Where a copy of a room stands, and what it may take next. Pure; any thread.
 *
 * A *position* names the last record that a copy holds: that record's epoch and seq; (0, 0) is a new room before its first. An epoch that has made
 * no record yet is no part of any position, so an owner that came and went without a word leaves no trace. A *fork* says where an epoch begins:
 * its first record has seq forkSeq + 1 and continues (parentEpoch, forkSeq). A *lineage* is the forks that lead to a position, oldest first, each
 * the parent of the next. It travels with state and is stored with snapshots: only by it can a copy that was away for several owners say what it
 * must give up.
 */
export interface Position { readonly epoch: number; readonly seq: number }
export interface Fork { readonly epoch: number; readonly parentEpoch: number; readonly forkSeq: number }
/** What every record and beat says of itself; of a beat, `seq` is that of the last record. */
export interface Head extends Fork { readonly seq: number }
export type Lineage = readonly Fork[]

export const start: Position = { epoch: 0, seq: 0 }

/** Owners whose forks are kept. A copy that was away for more of them is given state, and what it gives up is counted from the oldest kept fork. */
export const lineageForksMax = 256

/** By epoch first: a record of a later owner stands for its decision about everything before. */
export const isNewer = (a: Position, b: Position | undefined): boolean =>
  b === undefined || a.epoch > b.epoch || (a.epoch === b.epoch && a.seq > b.seq)

export const isSame = (a: Position | undefined, b: Position | undefined): boolean => a?.epoch === b?.epoch && a?.seq === b?.seq

/** The position of a copy that has everything a head speaks of. */
export const positionOf = ({ epoch, seq, parentEpoch, forkSeq }: Head): Position => (seq === forkSeq ? { epoch: parentEpoch, seq } : { epoch, seq })

/** The receiver rule, the only one: a copy at `at` applies a record if, and only if, this holds. */
export const continues = (at: Position, head: Head): boolean =>
  head.seq === at.seq + 1 && (head.epoch === at.epoch || (head.parentEpoch === at.epoch && head.forkSeq === at.seq))

/** Whether `position` lies on a line that goes on beyond its last fork. */
export function isOn(lineage: Lineage, { epoch, seq }: Position): boolean {
  if (epoch === 0) return seq === 0
  const index = lineage.findLastIndex((fork) => fork.epoch === epoch)
  return index >= 0 && seq > lineage[index].forkSeq && seq <= (lineage[index + 1]?.forkSeq ?? Infinity)
}

/** For clients, who know the last fork alone: true if the history of its epoch leads over `position`, which may name the new epoch at the fork itself. */
export const leadsOver = ({ epoch, parentEpoch, forkSeq }: Fork, position: Position): boolean =>
  position.epoch === epoch ? position.seq >= forkSeq : position.epoch !== 0 && position.epoch === parentEpoch && position.seq <= forkSeq

/** The lineage behind a record that was applied. */
export function extend(lineage: Lineage, { epoch, parentEpoch, forkSeq }: Fork): Lineage {
  if (lineage.at(-1)?.epoch === epoch) return lineage
  return [...lineage.slice(1 - lineageForksMax), { epoch, parentEpoch, forkSeq }]
}

/** Without epochs that have made no record up to `at`. */
export const upTo = (lineage: Lineage, at: Position): Lineage => lineage.slice(0, lineage.findLastIndex(({ epoch }) => epoch === at.epoch) + 1)

/** How many of the records up to `at` are not on the line that leads to `to`: what whoever goes over to it gives up. */
export function countBeyond(lineage: Lineage, at: Position, theirs: Lineage, to: Position): number {
  for (let index = lineage.length - 1, end = at.seq; index >= 0; end = lineage[index--].forkSeq) {
    const other = theirs.findIndex(({ epoch }) => epoch === lineage[index].epoch)
    if (other >= 0) return at.seq - Math.min(end, theirs[other + 1]?.forkSeq ?? to.seq)
  }
  return at.seq - (lineage[0]?.parentEpoch === 0 ? 0 : lineage[0]?.forkSeq ?? 0)
}
