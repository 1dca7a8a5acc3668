/**
 * Positions in a room's history, and which of them a later state goes on from. Anywhere.
 *
 * An epoch begins at a fork: its first record has seq `forkSeq` + 1 and goes on from (`parentEpoch`, `forkSeq`). What an earlier owner said behind
 * the fork never counts again. Epoch 0 is nobody's: of a room's first epoch it is the parent.
 */
export interface Position { readonly epoch: number; readonly seq: number }
export interface Lineage { readonly epoch: number; readonly parentEpoch: number; readonly forkSeq: number }

/** True if the history of this epoch leads over `position`: whoever stands there has seen nothing that does not count. */
export const leadsOver = ({ epoch, parentEpoch, forkSeq }: Lineage, position: Position): boolean =>
  position.epoch === epoch ? position.seq >= forkSeq : position.epoch !== 0 && position.epoch === parentEpoch && position.seq <= forkSeq

/** True if a record at (`epoch`, `seq`) is the very next behind `position`. */
export const continues = ({ epoch, parentEpoch, forkSeq }: Lineage, seq: number, position: Position): boolean =>
  seq === position.seq + 1 && (position.epoch === epoch || (position.epoch === parentEpoch && position.seq === forkSeq))
