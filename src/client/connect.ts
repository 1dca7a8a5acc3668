/** `connect(url).join(schema)`: one WebSocket, one stay in one room. Browser and Node. */
import { codeOfClose, KasagiError } from '../base/errors.js'
import { monotonicMs } from '../base/clock.js'
import type { Schema } from '../schema/fields.js'
import { fieldsOf, fullTablesOf, publicTablesOf, schemaHash } from '../schema/tables-of.js'
import { writeJoin, writeLeave, writePing, writeResync } from '../wire/client-messages.js'
import { packToBytes } from '../wire/fields.js'
import { readServerMessage, type ResyncedMessage, type ServerMessage, type WelcomeMessage } from '../wire/server-messages.js'
import { BadSection } from './apply.js'
import type { ClientRoom, Connection, ConnectOptions, Where } from './client-room.js'
import { answerInputs, askInput, createInputs, refuseAsked, sendInput } from './inputs.js'
import {
  createReplication, expectFrame, expectSections, expectSnapshot, loseSync, receiveSection, type Replication,
} from './replication.js'
import { callBack, createStay, setStatus, type Stay, type Welcomed } from './stay.js'
import type { Replica } from './table.js'
import { createCallbacks, createClientTable, createGlobals, refersTo, subscribe, type TableContext } from './tables.js'
import { openWebSocket, type OpenTransport } from './web-socket.js'

/** Names a server; nothing is opened before `join`. */
export const connect = (url: string, options: ConnectOptions = {}): Connection => connectWith(openWebSocket, url, options)

/** The same over any transport: what tests use. */
export const connectWith = (open: OpenTransport, url: string, options: ConnectOptions = {}): Connection => ({
  join: (schema, where = {}) => joinRoom(open, url, options, schema, where as Where<Schema>) as Promise<ClientRoom<typeof schema>>,
})

const pingEveryMs = 2000
const joinMsDefault = 10_000
const opens = { 'if-absent': 0, never: 1, always: 2 } as const

async function joinRoom(open: OpenTransport, url: string, options: ConnectOptions, schema: Schema, where: Where<Schema>): Promise<unknown> {
  const tables = publicTablesOf(fullTablesOf(schema, []))
  const stay = createStay(tables, options.verify ?? false)
  const join = writeJoin({
    schema: schema.name, schemaHash: schemaHash(tables), name: where.name, open: opens[where.open ?? 'if-absent'],
    join: packToBytes(tables.join, where.join ?? {}),
    options: where.options === undefined ? new Uint8Array(0) : packToBytes(fieldsOf(schema.options), where.options),
  })
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => end(stay, new KasagiError('timeout')), options.joinMs ?? joinMsDefault)
    stay.onEnd = (error) => { clearTimeout(late); reject(error) }
    stay.onComplete = () => { clearTimeout(late); resolve(settleIn(stay)) }
    open(url, {
      open: () => stay.transport?.send(join),
      message: (message) => receive(stay, message),
      closed: (code) => end(stay, stay.notice ?? new KasagiError(codeOfClose(code) ?? 'connection-lost')),
    }).then((transport) => {
      stay.transport = transport
      if (stay.status === 'closed') transport.close()
    }, () => end(stay, new KasagiError('connection-lost')))
  })
}

/** The first snapshot is complete. */
function settleIn(stay: Stay): ClientRoom<Schema> {
  stay.onComplete = () => setStatus(stay, 'live')
  stay.onEnd = () => {}
  stay.status = 'live'
  stay.timer = setInterval(() => beat(stay), pingEveryMs)
  beat(stay)
  return createRoom(stay, stay.welcomed!)
}

function beat(stay: Stay): void {
  stay.transport?.send(writePing(monotonicMs()))
  const { position, state } = stay.welcomed!.replication
  // A server that was still handing out an earlier answer has not taken the Resync.
  if (state === 'waiting') stay.transport?.send(writeResync(position.epoch, position.seq))
}

function receive(stay: Stay, message: ArrayBuffer): void {
  if (stay.status === 'closed') return
  stay.stats.bytesIn += message.byteLength
  const said = readServerMessage(new Uint8Array(message))
  if (said !== undefined) return hear(stay, said)
  if (stay.welcomed === undefined) return
  const { replication } = stay.welcomed
  try {
    receiveSection(replication, message)
  } catch (error) {
    if (!(error instanceof BadSection)) throw error
    // A snapshot is what mends; one that is broken itself would be asked for without end.
    if (replication.state === 'snapshot') return end(stay, new KasagiError('bad-message', error.message))
    console.warn(`kasagi: ${error.message}; the state is fetched anew`)
    loseSync(replication)
  }
  stay.stats.frames = replication.frames
  stay.stats.sections = replication.sections
}

function hear(stay: Stay, said: ServerMessage): void {
  switch (said.kind) {
    case 'welcome': return begin(stay, said.welcome)
    case 'own': {
      if (stay.welcomed === undefined) return
      expectFrame(stay.welcomed.replication, said.own.sections)
      return answerInputs(stay.welcomed.inputs, said.own)
    }
    case 'notice': stay.notice = new KasagiError(said.code, said.text); return
    case 'resynced': return resynced(stay, said.resynced)
    case 'pong':
      stay.stats.pingMs = monotonicMs() - said.pong.sent
      stay.stats.tickMs = said.pong.tickMs
  }
}

function begin(stay: Stay, welcome: WelcomeMessage): void {
  if (stay.welcomed !== undefined) return
  const replication = createReplication(stay.tables, welcome.flushHz, stay.verify, {
    nowMs: monotonicMs,
    event: (name, data) => { stay.events.push({ name, data }) },
    flushed: () => callBack(stay, replication),
    missed: (events) => { stay.stats.missedEvents += events },
    resync: () => askResync(stay, replication),
    complete: () => stay.onComplete(),
    differs: (columns) => {
      stay.stats.hashMismatches++
      console.warn(`kasagi: state differs from the room's in ${columns.map(({ table, field }) => `${table}.${field}`).join(', ')}`)
      loseSync(replication)
    },
  })
  const inputs = createInputs(stay.tables.inputs, welcome.lastInput, (bytes) => stay.transport?.send(bytes))
  stay.welcomed = { welcome, replication, inputs }
  expectSnapshot(replication, welcome.epoch, welcome.seq)
}

function askResync(stay: Stay, { position }: Replication): void {
  stay.stats.resyncs++
  setStatus(stay, 'resuming')
  stay.transport?.send(writeResync(position.epoch, position.seq))
}

/** The answer to a Resync; or the server's own, to a client that has been too slow. */
function resynced(stay: Stay, { kind, epoch, seq }: ResyncedMessage): void {
  if (stay.welcomed === undefined) return
  if (kind === 0) return expectSections(stay.welcomed.replication)
  setStatus(stay, 'resuming')
  expectSnapshot(stay.welcomed.replication, epoch, seq)
}

/** The stay is over; every promise that waits hears why. */
function end(stay: Stay, error: KasagiError): void {
  if (stay.status === 'closed') return
  clearInterval(stay.timer)
  if (stay.welcomed !== undefined) refuseAsked(stay.welcomed.inputs, error)
  setStatus(stay, 'closed', error.code)
  stay.transport?.close()
  stay.onEnd(error)
}

function createRoom(stay: Stay, { welcome, replication, inputs }: Welcomed): ClientRoom<Schema> {
  const tables: Record<string, unknown> = {}
  for (const replica of replication.replicas.slice(1)) {
    const callbacks = createCallbacks()
    stay.callbacks.set(replica.table.name, callbacks)
    tables[replica.table.name] = createClientTable(replica, callbacks, contextOf(replication, replica))
  }
  const checkOpen = (): void => { if (stay.status === 'closed') throw stay.notice ?? new KasagiError('connection-lost') }
  return {
    id: welcome.roomId, sessionId: welcome.sessionId, stats: stay.stats, position: replication.position,
    get status() { return stay.status },
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
      stay.onStatus.add((status) => { if (status === 'closed') resolve() })
      stay.transport?.send(writeLeave())
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
