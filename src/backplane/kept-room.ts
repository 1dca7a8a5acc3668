/** A room as a list for operators has it. Whatever is unknown, or is no number of ours, is undefined. */
export interface KeptRoom {
  readonly roomId: string
  /** Who holds its lease; undefined: nobody. */
  readonly instance: number | undefined
  /** The last one granted. */
  readonly epoch: number | undefined
  /** The highest that lease, snapshot or log know of. */
  readonly seq: number | undefined
  readonly storedSeq: number | undefined
  /** When it was stored, ms since 1970. */
  readonly storedMs: number | undefined
  readonly sessions: number | undefined
  /** JSON, as the directory has it. */
  readonly listing: string | undefined
}

export const highest = (...numbers: readonly (number | undefined)[]): number | undefined =>
  numbers.reduce((high, number) => number === undefined || (high !== undefined && high >= number) ? high : number, undefined)
