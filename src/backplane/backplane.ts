/**
 * The backplane: what of a room outlives its process. Main thread; nothing here is slow for the caller, and nothing reads a room's state.
 *
 * What every implementation guarantees, and test/suites/backplane.ts holds it to:
 *
 *  - **Epochs only grow.** `claim` grants an epoch above every one that it has ever granted for that room, above the clock's milliseconds, and above
 *    what the caller has seen. It is durable before the promise resolves: no crash lets two owners hold the same epoch.
 *  - **One writer counts.** `store` and `remove` name an epoch and are refused as `stale` unless it is the last one granted for that room.
 *  - **A snapshot is whole or not there.** What `claim` gives back is the last stored snapshot, byte for byte, or undefined if there is none. Torn,
 *    foreign or altered data are refused as `data-bad`, and left as they are.
 *  - **In order.** Calls about one room take effect in the order in which they were made, whether or not anybody waits for them.
 *  - **No going back.** A claim by a lower room version than the room has known is refused as `version-older`, and changes nothing.
 *  - Every failure rejects with a KasagiError whose code is named here, or `store-failed` with the cause; nothing is tried again in silence.
 */
export interface StoredSnapshot {
  /** Opaque here: workers/stored-room.ts writes and reads it. */
  readonly data: Uint8Array
  readonly epoch: number
  readonly seq: number
  readonly tick: number
  /** When it was stored, ms since 1970. */
  readonly ts: number
  /** Of the room module that wrote it. */
  readonly version: number
}

export interface Claim { readonly epoch: number; readonly snapshot: StoredSnapshot | undefined }

export interface Backplane {
  /** For people: where rooms are kept. */
  readonly place: string
  /** Takes a room over: a new epoch, and what is stored of it. `seen`: the highest epoch that the caller knows of the room, or 0. */
  claim(roomId: string, seen: number, version: number): Promise<Claim>
  store(roomId: string, snapshot: StoredSnapshot): Promise<void>
  /** Forgets what is stored; the room's epochs go on growing. */
  remove(roomId: string, epoch: number): Promise<void>
  /** Resolves when everything asked for before is done. */
  close(): Promise<void>
}

/**
 * Milliseconds above ten bits of the claimant's, so that two that claim at once do not get the same. `ahead`: up to a second, drawn at random where a
 * store may forget what it granted, so that the same claimant does not get the same again.
 */
export const epochOf = (stored: number, seen: number, wallMs: number, claimant: number, ahead = 0): number =>
  (Math.max(high(stored) + 1, high(seen) + 1, wallMs) + ahead) * claimants + claimant

const claimants = 1024
const high = (epoch: number): number => Math.floor(epoch / claimants)
