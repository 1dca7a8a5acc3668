/** One stay in one room: what is known of it on the client, who listens, and how they are called. Browser and Node. */
import type { KasagiError } from '../base/errors.js'
import type { PublicTables } from '../schema/field-tables.js'
import type { WelcomeMessage } from '../wire/server-messages.js'
import type { Stats, Status } from './client-room.js'
import type { Inputs } from './inputs.js'
import type { Replication } from './replication.js'
import type { Replica } from './table.js'
import type { TableCallbacks } from './tables.js'
import type { Transport } from './web-socket.js'

/** What a Welcome brings. */
export interface Welcomed { readonly welcome: WelcomeMessage; readonly replication: Replication; readonly inputs: Inputs }

/** A stay, from the first byte to the last. */
export interface Stay {
  readonly tables: PublicTables
  readonly verify: boolean
  readonly stats: Stats
  readonly callbacks: Map<string, TableCallbacks>
  readonly onEvent: Map<string, Set<(data: never) => void>>
  readonly onFlush: Set<() => void>
  readonly onStatus: Set<(status: Status, code?: string) => void>
  /** Events of the frame that is being applied. */
  events: { readonly name: string; readonly data: unknown }[]
  transport: Transport | undefined
  welcomed: Welcomed | undefined
  status: Status
  /** What the server's Notice said; the close follows. */
  notice: KasagiError | undefined
  timer: ReturnType<typeof setInterval> | undefined
  onComplete(): void
  onEnd(error: KasagiError): void
}

export const createStay = (tables: PublicTables, verify: boolean): Stay => ({
  tables, verify, stats: { pingMs: 0, tickMs: 0, bytesIn: 0, frames: 0, sections: 0, resyncs: 0, hashMismatches: 0, missedEvents: 0 },
  callbacks: new Map(), onEvent: new Map(), onFlush: new Set(), onStatus: new Set(), events: [],
  transport: undefined, welcomed: undefined, status: 'resuming', notice: undefined, timer: undefined, onComplete: () => {}, onEnd: () => {},
})

export function setStatus(stay: Stay, status: Status, code?: string): void {
  if (stay.status === status) return
  stay.status = status
  for (const callback of stay.onStatus) call(() => callback(status, code))
}

/** User code must not break the applying of frames. */
function call(run: () => void): void {
  try { run() } catch (error) { console.error(error) }
}

/** What the frame just applied has done to rows, then its events, then `onFlush`. */
export function callBack(stay: Stay, { replicas }: Replication): void {
  for (const replica of replicas) {
    const callbacks = stay.callbacks.get(replica.table.name)
    if (callbacks !== undefined) callTable(replica, callbacks)
    replica.spawned.clear()
    replica.despawned.clear()
    replica.changed.clear()
  }
  const { events } = stay
  stay.events = []
  for (const { name, data } of events) for (const callback of stay.onEvent.get(name) ?? []) call(() => callback(data as never))
  for (const callback of stay.onFlush) call(callback)
}

function callTable(replica: Replica, callbacks: TableCallbacks): void {
  for (const callback of callbacks.despawned) for (const row of replica.despawned) call(() => callback(row))
  for (const callback of callbacks.spawned) for (const row of replica.spawned) call(() => callback(row))
  for (const callback of callbacks.changed) for (const [row, fields] of replica.changed) call(() => callback(row, fields))
}
