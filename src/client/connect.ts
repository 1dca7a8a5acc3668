/** `connect(url).join(schema)`: one WebSocket, one stay in one room. Browser and Node. */
import { codeOfClose, KasagiError } from '../base/errors.js'
import { heldInputsMax } from '../base/limits.js'
import { monotonicMs } from '../base/clock.js'
import type { Schema, Values } from '../schema/fields.js'
import { fieldsOf, fullTablesOf, publicTablesOf, schemaHash } from '../schema/tables-of.js'
import { writeInput, writeJoin, writeLeave, writePing, writeResync } from '../wire/client-messages.js'
import { packToBytes } from '../wire/fields.js'
import { readServerMessage, type OwnMessage, type ServerMessage, type WelcomeMessage } from '../wire/server-messages.js'
import { BadSection } from './apply.js'
import { createReplication, expectFrame, expectSections, expectSnapshot, loseSync, receiveSection, type Replication } from './replication.js'
import type { Replica } from './table.js'
import { createCallbacks, createClientTable, createGlobals, refersTo, type ClientTables, type Off, type TableCallbacks, type TableContext } from './tables.js'
import { openWebSocket, type OpenTransport, type Transport } from './web-socket.js'

export interface Where<S extends Schema> {
  /** Joins `type:name`; without it, any open room of this type. */
  name?: string
  open?: 'if-absent' | 'never' | 'always'
  /** Used if the room is opened by this join. */
  options?: Partial<Values<S['options']>>
  join?: Partial<Values<S['join']>>
}

export interface ConnectOptions {
  /** Compares the room's state hashes; for development. A difference is counted, told on the console, and mended by a resync. */
  verify?: boolean
  /** How long a join may take, in ms. Default 10,000. */
  joinMs?: number
}

export type Status = 'live' | 'resuming' | 'closed'

export interface Stats { pingMs: number; tickMs: number; bytesIn: number; frames: number; sections: number; resyncs: number; hashMismatches: number; missedEvents: number }

export interface ClientRoom<S extends Schema> {
  readonly id: string
  readonly sessionId: string
  readonly status: Status
  readonly position: { readonly epoch: number; readonly seq: number }
  readonly tick: number
  readonly stats: Readonly<Stats>
  readonly globals: Readonly<Values<S['globals']>>
  readonly tables: ClientTables<S['tables']>
  /** Fire and forget; returns the input's number. Throws KasagiError `bad-input` if the data do not fit the schema. */
  send<I extends keyof S['inputs'] & string>(input: I, data: Values<NonNullable<S['inputs']>[I]>): number
  /** Resolves when the input was applied; rejects with a KasagiError whose `code` says why not. */
  ask<I extends keyof S['inputs'] & string>(input: I, data: Values<NonNullable<S['inputs']>[I]>): Promise<void>
  on<E extends keyof S['events'] & string>(event: E, callback: (data: Values<NonNullable<S['events']>[E]>) => void): Off
  /** After each frame, when all of it is applied. */
  onFlush(callback: () => void): Off
  onStatus(callback: (status: Status, code?: string) => void): Off
  leave(): Promise<void>
}

export interface Connection {
  join<S extends Schema>(schema: S, where?: Where<S>): Promise<ClientRoom<S>>
}

/** Names a server; nothing is opened before `join`. */
export const connect = (url: string, options: ConnectOptions = {}): Connection => connectWith(openWebSocket, url, options)

/** The same over any transport: what tests use. */
export const connectWith = (open: OpenTransport, url: string, options: ConnectOptions = {}): Connection => ({
  join: (schema, where = {}) => joinRoom(open, url, options, schema, where as Where<Schema>) as Promise<ClientRoom<typeof schema>>,
})

const pingEveryMs = 2000
const joinMsDefault = 10_000
const opens = { 'if-absent': 0, never: 1, always: 2 } as const

/** A stay, from the first byte to the last. */
interface Stay {
  readonly schema: Schema
  readonly options: ConnectOptions
  readonly stats: Stats
  readonly callbacks: Map<string, TableCallbacks>
  readonly events: Map<string, Set<(data: never) => void>>
  readonly onFlush: Set<() => void>
  readonly onStatus: Set<(status: Status, code?: string) => void>
  /** Inputs that are not durable yet, oldest first. */
  held: { number: number; bytes: Uint8Array; seq: number | undefined }[]
  readonly asked: Map<number, { resolve(): void; reject(error: Error): void }>
  transport: Transport | undefined
  replication: Replication | undefined
  welcome: WelcomeMessage | undefined
  nextInput: number
  status: Status
  endCode: string | undefined
  timer: ReturnType<typeof setInterval> | undefined
  onComplete(): void
  onEnd(error: KasagiError): void
}

function createStay(schema: Schema, options: ConnectOptions): Stay {
  return {
    schema, options, stats: { pingMs: 0, tickMs: 0, bytesIn: 0, frames: 0, sections: 0, resyncs: 0, hashMismatches: 0, missedEvents: 0 },
    callbacks: new Map(), events: new Map(), onFlush: new Set(), onStatus: new Set(), held: [], asked: new Map(),
    transport: undefined, replication: undefined, welcome: undefined, nextInput: 1, status: 'resuming', endCode: undefined, timer: undefined,
    onComplete: () => {}, onEnd: () => {},
  }
}

async function joinRoom(open: OpenTransport, url: string, options: ConnectOptions, schema: Schema, where: Where<Schema>): Promise<unknown> {
  const tables = publicTablesOf(fullTablesOf(schema, []))
  const stay = createStay(schema, options)
  const join = writeJoin({
    schema: schema.name, schemaHash: schemaHash(tables), name: where.name, open: opens[where.open ?? 'if-absent'],
    join: packToBytes(tables.join, where.join ?? {}), options: where.options === undefined ? new Uint8Array(0) : packToBytes(fieldsOf(schema.options), where.options),
  })
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => end(stay, 'timeout'), options.joinMs ?? joinMsDefault)
    stay.onEnd = (error) => { clearTimeout(late); reject(error) }
    stay.onComplete = () => {
      clearTimeout(late)
      stay.onComplete = () => setStatus(stay, 'live')
      stay.onEnd = () => {}
      stay.status = 'live'
      stay.timer = setInterval(() => stay.transport?.send(writePing(monotonicMs())), pingEveryMs)
      stay.transport?.send(writePing(monotonicMs()))
      resolve(createRoom(stay))
    }
    open(url, {
      open: () => stay.transport?.send(join),
      message: (message) => receive(stay, message),
      closed: (code) => end(stay, stay.endCode ?? codeOfClose(code) ?? 'connection-lost'),
    }).then((transport) => { stay.transport = transport }, () => end(stay, 'connection-lost'))
  })
}

function receive(stay: Stay, message: ArrayBuffer): void {
  stay.stats.bytesIn += message.byteLength
  const bytes = new Uint8Array(message)
  const said = readServerMessage(bytes)
  if (said !== undefined) return hear(stay, said)
  const { replication } = stay
  if (replication === undefined) return
  try {
    receiveSection(replication, message)
  } catch (error) {
    if (!(error instanceof BadSection)) throw error
    console.warn(`kasagi: ${error.message}; the state is fetched anew`)
    loseSync(replication)
  }
  stay.stats.frames = replication.frames
  stay.stats.sections = replication.sections
}

function hear(stay: Stay, said: ServerMessage): void {
  switch (said.kind) {
    case 'welcome': return begin(stay, said.welcome)
    case 'own': return own(stay, said.own)
    case 'notice': stay.endCode = said.code; return
    case 'resynced': return resynced(stay, said.resynced)
    case 'pong':
      stay.stats.pingMs = monotonicMs() - said.pong.sent
      stay.stats.tickMs = said.pong.tickMs
  }
}

function begin(stay: Stay, welcome: WelcomeMessage): void {
  const tables = publicTablesOf(fullTablesOf(stay.schema, []))
  stay.welcome = welcome
  stay.nextInput = welcome.lastInput + 1
  stay.replication = createReplication(tables, welcome.flushHz, stay.options.verify ?? false, {
    nowMs: monotonicMs,
    flushed: () => callRows(stay),
    event: (name, data) => { for (const callback of stay.events.get(name) ?? []) call(() => callback(data as never)) },
    missed: (events) => { stay.stats.missedEvents += events },
    resync: () => askResync(stay),
    complete: () => stay.onComplete(),
    differs: (columns) => {
      stay.stats.hashMismatches++
      console.warn(`kasagi: state differs from the room's in ${columns.map(({ table, field }) => `${table}.${field}`).join(', ')}`)
      loseSync(stay.replication!)
    },
  })
  expectSnapshot(stay.replication, welcome.epoch, welcome.seq)
}

function askResync(stay: Stay): void {
  const { epoch, seq } = stay.replication!.position
  stay.stats.resyncs++
  setStatus(stay, 'resuming')
  stay.transport?.send(writeResync(epoch, seq))
}

function resynced(stay: Stay, { kind, epoch, seq }: { kind: number; epoch: number; seq: number }): void {
  if (stay.replication === undefined) return
  if (kind === 0) expectSections(stay.replication)
  else expectSnapshot(stay.replication, epoch, seq)
}

function own(stay: Stay, message: OwnMessage): void {
  if (stay.replication !== undefined) expectFrame(stay.replication, message.sections)
  for (const { number, code, text } of message.nacks ?? []) settle(stay, number, new KasagiError(code, text))
  for (const [number] of stay.asked) if (number <= message.lastInput) settle(stay, number, undefined)
  for (const input of stay.held) if (input.number <= message.lastInput) input.seq ??= message.seq
  stay.held = stay.held.filter(({ seq }) => seq === undefined || seq > message.durableSeq)
  if (message.wanted !== 0) for (const { number, bytes } of stay.held) if (number >= message.wanted) stay.transport?.send(bytes)
}

function settle(stay: Stay, number: number, error: KasagiError | undefined): void {
  const asked = stay.asked.get(number)
  stay.asked.delete(number)
  if (error === undefined) asked?.resolve()
  else asked?.reject(error)
}

/** The stay is over; every promise that waits hears why. */
function end(stay: Stay, code: string): void {
  if (stay.status === 'closed') return
  clearInterval(stay.timer)
  const error = new KasagiError(code)
  for (const [number] of stay.asked) settle(stay, number, error)
  setStatus(stay, 'closed', code)
  stay.transport?.close()
  stay.onEnd(error)
}

function setStatus(stay: Stay, status: Status, code?: string): void {
  if (stay.status === status) return
  stay.status = status
  for (const callback of stay.onStatus) call(() => callback(status, code))
}

/** User code must not break the applying of frames. */
function call(run: () => void): void {
  try { run() } catch (error) { console.error(error) }
}

/** Row callbacks of the frame just applied, then `onFlush`. */
function callRows(stay: Stay): void {
  for (const replica of stay.replication!.replicas) {
    const callbacks = stay.callbacks.get(replica.table.name)
    if (callbacks !== undefined) callTable(replica, callbacks)
    replica.spawned.clear()
    replica.despawned.clear()
    replica.changed.clear()
  }
  for (const callback of stay.onFlush) call(callback)
}

function callTable(replica: Replica, callbacks: TableCallbacks): void {
  for (const callback of callbacks.despawned) for (const row of replica.despawned) call(() => callback(row))
  for (const callback of callbacks.spawned) for (const row of replica.spawned) call(() => callback(row))
  for (const callback of callbacks.changed) for (const [row, fields] of replica.changed) call(() => callback(row, fields))
}

function createRoom(stay: Stay): ClientRoom<Schema> {
  const replication = stay.replication!, welcome = stay.welcome!
  const context = (table: Replica | undefined): TableContext => ({
    nowMs: monotonicMs, intervalMs: () => stay.replication!.intervalMs,
    replica: (name) => replication.replicas.find((replica) => replica.table.name === name),
    mine: () => {
      const { ownRow, tables } = stay.replication!
      if (ownRow === undefined || table === undefined || table.table.name !== tables.player) return undefined
      return refersTo(table, ownRow.generation * 0x1_0000_0000 + ownRow.row) ? ownRow.row : undefined
    },
  })
  const tables: Record<string, unknown> = {}
  for (const replica of replication.replicas.slice(1)) {
    const callbacks = createCallbacks()
    stay.callbacks.set(replica.table.name, callbacks)
    tables[replica.table.name] = createClientTable(replica, callbacks, context(replica))
  }
  const subscribe = <F>(to: Set<F>, callback: F): Off => { to.add(callback); return () => { to.delete(callback) } }
  return {
    id: welcome.roomId, sessionId: welcome.sessionId, stats: stay.stats, position: replication.position,
    get status() { return stay.status },
    get tick() { return stay.replication!.tick },
    globals: createGlobals(replication.replicas[0], context(undefined)),
    tables: tables as never,
    send: (input, data) => sendInput(stay, input, data),
    ask: (input, data) => new Promise<void>((resolve, reject) => {
      const number = sendInput(stay, input, data)
      stay.asked.set(number, { resolve, reject })
    }),
    on: (event, callback) => {
      const callbacks = stay.events.get(event) ?? new Set()
      stay.events.set(event, callbacks)
      return subscribe(callbacks, callback as (data: never) => void)
    },
    onFlush: (callback) => subscribe(stay.onFlush, callback),
    onStatus: (callback) => subscribe(stay.onStatus, callback),
    leave: () => new Promise<void>((resolve) => {
      if (stay.status === 'closed') return resolve()
      stay.onStatus.add((status) => { if (status === 'closed') resolve() })
      stay.transport?.send(writeLeave())
    }),
  } as ClientRoom<Schema>
}

function sendInput(stay: Stay, name: string, data: Record<string, unknown>): number {
  if (stay.status === 'closed') throw new KasagiError(stay.endCode ?? 'connection-lost')
  const { inputs } = stay.replication!.tables
  const input = inputs.findIndex((entry) => entry.name === name)
  if (input < 0) throw new KasagiError('unknown-input', `${name}; inputs: ${inputs.map((entry) => entry.name).join(', ')}`)
  const number = stay.nextInput++
  const bytes = writeInput(number, input, packToBytes(inputs[input].fields, data))
  stay.held.push({ number, bytes, seq: undefined })
  if (stay.held.length > heldInputsMax) stay.held.shift()
  stay.transport?.send(bytes)
  return number
}
