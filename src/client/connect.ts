/** `connect(url).join(schema)`: one WebSocket, one stay in one room. Browser and Node. */
import { KasagiError } from '../base/errors.js'
import { monotonicMs } from '../base/clock.js'
import type { Schema } from '../schema/fields.js'
import { fullTablesOf, publicTablesOf } from '../schema/tables-of.js'
import { writeLeave } from '../wire/client-messages.js'
import type { ClientRoom, Connection, ConnectOptions, ListedRoom, Where } from './client-room.js'
import { askInput, sendInput } from './inputs.js'
import { openLine } from './line.js'
import { listRooms } from './list.js'
import type { Replication } from './replication.js'
import { createStay, endStay, setStatus, type Address, type Stay, type Welcomed } from './stay.js'
import type { Replica } from './table.js'
import { createCallbacks, createClientTable, createGlobals, refersTo, subscribe, type TableContext } from './tables.js'
import { openWebSocket, type OpenTransport } from './web-socket.js'

/** Names a server, by ws, wss, http or https; nothing is opened before `join`. */
export const connect = (url: string, options: ConnectOptions = {}): Connection => connectWith(openWebSocket, url, options)

/** The same over any transport: what tests use. */
export function connectWith(open: OpenTransport, url: string, options: ConnectOptions = {}): Connection {
  const stays = new Set<Stay>()
  return {
    join: (schema, where = {}) => joinRoom({ open, url, options, schema, where: where as Where<Schema> }, stays) as Promise<ClientRoom<typeof schema>>,
    list: (schema, match = {}) => listRooms(url, options, schema, match) as Promise<ListedRoom<typeof schema>[]>,
    close: () => { for (const stay of stays) leave(stay) },
  }
}

const joinMsDefault = 10_000

async function joinRoom(address: Address, stays: Set<Stay>): Promise<unknown> {
  const stay = createStay(address, publicTablesOf(fullTablesOf(address.schema, [])))
  stays.add(stay)
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => endStay(stay, new KasagiError('timeout')), address.options.joinMs ?? joinMsDefault)
    stay.onEnd = (error) => { clearTimeout(late); stays.delete(stay); reject(error) }
    stay.onComplete = () => {
      clearTimeout(late)
      stay.onComplete = () => setStatus(stay, 'live')
      stay.status = 'live'
      resolve(createRoom(stay, stay.welcomed!))
    }
    openLine(stay)
  })
}

/** Says goodbye; without a connection there is nobody to hear it. */
function leave(stay: Stay): void {
  stay.isLeaving = true
  if (stay.isWelcome) stay.transport?.send(writeLeave())
  else endStay(stay, new KasagiError('left'))
}

function createRoom(stay: Stay, welcomed: Welcomed): ClientRoom<Schema> {
  const { replication, inputs } = welcomed
  const tables: Record<string, unknown> = {}
  for (const replica of replication.replicas.slice(1)) {
    const callbacks = createCallbacks()
    stay.callbacks.set(replica.table.name, callbacks)
    tables[replica.table.name] = createClientTable(replica, callbacks, contextOf(replication, replica))
  }
  const checkOpen = (): void => { if (stay.status === 'closed') throw stay.notice ?? new KasagiError('connection-lost') }
  return {
    get id() { return welcomed.welcome.roomId },
    get sessionId() { return welcomed.welcome.sessionId },
    stats: stay.stats, position: replication.position,
    get status() { return stay.status },
    get detached() { return stay.isDetached },
    get tick() { return replication.tick },
    globals: createGlobals(replication.replicas[0], contextOf(replication, replication.replicas[0])) as ClientRoom<Schema>['globals'],
    tables: tables as ClientRoom<Schema>['tables'],
    send: (input, data) => { checkOpen(); return sendInput(inputs, input, data) },
    ask: async (input, data) => { checkOpen(); return askInput(inputs, input, data) },
    on: (event, callback) => {
      const callbacks = stay.onEvent.get(event) ?? new Set()
      stay.onEvent.set(event, callbacks)
      return subscribe(callbacks, callback as (data: never) => void)
    },
    onFlush: (callback) => subscribe(stay.onFlush, callback),
    onStatus: (callback) => subscribe(stay.onStatus, callback),
    leave: () => new Promise<void>((resolve) => {
      if (stay.status === 'closed') return resolve()
      stay.onStatus.add((told) => { if (told === 'closed') resolve() })
      leave(stay)
    }),
  }
}

const contextOf = (replication: Replication, replica: Replica): TableContext => ({
  nowMs: monotonicMs, intervalMs: () => replication.intervalMs,
  replica: (name) => replication.replicas.find(({ table }) => table.name === name),
  mine: () => {
    const { ownRow, tables } = replication
    if (ownRow === undefined || replica.table.name !== tables.player) return undefined
    return refersTo(replica, ownRow.generation * 0x1_0000_0000 + ownRow.row) ? ownRow.row : undefined
  },
})
