/** One stay in one room: what is known of it on the client, who listens, and how they are called. Browser and Node. */
import type { KasagiError } from '../base/errors.js'
import type { Schema } from '../schema/fields.js'
import type { PublicTables } from '../schema/field-tables.js'
import { schemaHash } from '../schema/tables-of.js'
import type { WelcomeMessage } from '../wire/server-messages.js'
import type { ConnectOptions, Stats, Status, Told, Where } from './client-room.js'
import { refuseAsked, type Inputs } from './inputs.js'
import type { Replication } from './replication.js'
import type { Replica } from './table.js'
import type { TableCallbacks } from './tables.js'
import type { OpenTransport, Transport } from './web-socket.js'

/** What the first Welcome brings, and what it goes on with: `welcome` is the newest one. */
export interface Welcomed { welcome: WelcomeMessage; readonly replication: Replication; readonly inputs: Inputs }

/** How a stay is reached. */
export interface Address {
  readonly open: OpenTransport
  readonly url: string
  readonly options: ConnectOptions
  readonly schema: Schema
  readonly where: Where<Schema>
}

/** A stay, from the first byte to the last, over as many connections as it takes. */
export interface Stay {
  readonly address: Address
  readonly tables: PublicTables
  /** What a Join says: of the own field tables, or 0 once a server has others, to be sent those. */
  schemaHash: number
  readonly stats: Stats
  readonly callbacks: Map<string, TableCallbacks>
  readonly onEvent: Map<string, Set<(data: never) => void>>
  readonly onFlush: Set<() => void>
  readonly onStatus: Set<(status: Told, code?: string) => void>
  /** Events of the frame that is being applied. */
  events: { readonly name: string; readonly data: unknown }[]
  transport: Transport | undefined
  /** Counts connections: what an older one still says is void. */
  attempt: number
  /** The server has welcomed this connection: inputs may be sent. */
  isWelcome: boolean
  /** Goodbye was said: however the connection ends, the stay is over. */
  isLeaving: boolean
  welcomed: Welcomed | undefined
  /** Proof of the session; empty: join anew. */
  token: string
  status: Status
  /** As the server of this connection, or of the last one, has said. */
  isDetached: boolean
  /** What the server's Notice said; the close follows. */
  notice: KasagiError | undefined
  /** Connections lost since the last Welcome, and when the first of them was. */
  losses: number
  lostMs: number
  heardMs: number
  beat: ReturnType<typeof setInterval> | undefined
  retry: ReturnType<typeof setTimeout> | undefined
  /** Round trips and the clock offsets that they gave, newest last. */
  clockSamples: { readonly pingMs: number; readonly offsetMs: number }[]
  onComplete(): void
  onEnd(error: KasagiError): void
}

export const createStay = (address: Address, tables: PublicTables): Stay => ({
  address, tables, schemaHash: schemaHash(tables),
  stats: { pingMs: 0, tickMs: 0, clockOffsetMs: 0, bytesIn: 0, frames: 0, sections: 0, resyncs: 0, reconnects: 0, hashMismatches: 0, missedEvents: 0 },
  callbacks: new Map(), onEvent: new Map(), onFlush: new Set(), onStatus: new Set(), events: [],
  transport: undefined, attempt: 0, isWelcome: false, isLeaving: false, welcomed: undefined, token: '', status: 'resuming', isDetached: false, notice: undefined,
  losses: 0, lostMs: 0, heardMs: 0, beat: undefined, retry: undefined, clockSamples: [], onComplete: () => {}, onEnd: () => {},
})

export function setStatus(stay: Stay, status: Status, code?: string): void {
  if (stay.status === status) return
  stay.status = status
  tell(stay, status, code)
}

export function setDetached(stay: Stay, isDetached: boolean): void {
  if (stay.isDetached === isDetached) return
  stay.isDetached = isDetached
  tell(stay, isDetached ? 'detached' : 'attached')
}

/** Tells those who listen to the status, also of what is no status. */
export function tell(stay: Stay, told: Told, code?: string): void {
  for (const callback of stay.onStatus) call(() => callback(told, code))
}

/** The stay is over; every promise that waits hears why. */
export function endStay(stay: Stay, error: KasagiError): void {
  if (stay.status === 'closed') return
  clearInterval(stay.beat)
  clearTimeout(stay.retry)
  if (stay.welcomed !== undefined) refuseAsked(stay.welcomed.inputs, error)
  stay.isWelcome = false
  stay.notice = error
  setStatus(stay, 'closed', error.code)
  stay.transport?.close()
  stay.onEnd(error)
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
