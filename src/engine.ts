/**
 * Composition: starts workers and sockets, connects them, and stops them. Main thread. Everything that the parts tell each other goes
 * through the handler objects made here; no part imports another's inside.
 */
import type { Config } from './config.js'
import { wallMs } from './base/clock.js'
import { KasagiError } from './base/errors.js'
import { inputsBurstSeconds } from './base/limits.js'
import { freeBytes, openBlocks, readMark } from './memory/arena.js'
import { handlers, toWorker, type CatalogEntry, type WorkerMessage } from './memory/crossing.js'
import { createTraffic } from './server/broadcast.js'
import type { Client, RoomEntry } from './server/client.js'
import type { Logger } from './server/logging.js'
import { createLineLimit } from './server/logging.js'
import { createMetrics, type Metrics } from './server/metrics.js'
import { askAgain, deliverRecord, deliverSnapshot, dismiss, resumeClient, type Outbox } from './server/outbox.js'
import { createPool, type Pool } from './server/pool.js'
import { createRooms, detachClient, forgetRoom, leaveRoom, openElsewhere, type Rooms } from './server/rooms.js'
import { findRoom, nack, openConnection, receive, refuse, sendJoin, type Sessions } from './server/session.js'
import type { HttpAnswer, HttpRequest, SocketHandlers, SocketOptions, SocketServer } from './server/sockets.js'
import { originRule } from './server/origins.js'
import { createHttp } from './server/http.js'
import { listenSockets } from './server/listen.js'
import { createWorkerLink, drainLink, tellSurely, type LinkHandlers, type WorkerLink } from './server/worker-link.js'

export interface EngineOptions {
  readonly config: Config
  /** Paths of ES modules that export `rooms`. */
  readonly roomBundles: readonly string[]
  /** Answers what is not the engine's own. */
  http?(request: HttpRequest): HttpAnswer | undefined
  readonly log: Logger
}

export interface Engine {
  readonly port: number
  readonly socketKind: string
  readonly workers: number
  readonly roomTypes: readonly string[]
  ready(): boolean
  /** Says goodbye to every client, ends the workers, closes the port. */
  stop(): Promise<void>
}

interface Parts {
  readonly options: EngineOptions
  readonly metrics: Metrics
  readonly links: readonly WorkerLink[]
  readonly rooms: Rooms
  readonly outbox: Outbox
  readonly sessions: Sessions
  readonly types: Map<string, CatalogEntry>
}

/** Starts an engine; rejects with a KasagiError that is one line: a busy port, a broken room module. */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const { config } = options
  const parts = createParts(options)
  const catalogs = new Catalogs(parts)
  const linkHandlers = createLinkHandlers(parts)
  const pool = createPool({
    arenas: parts.links.map(({ arena }) => arena), roomBundles: options.roomBundles, fault: config.fault,
    onMessage: (worker, message) => onWorkerMessage(parts, worker, message, linkHandlers, catalogs),
    onBroken: (text) => catalogs.broken(text),
    onDeath: (worker, reason) => {
      parts.metrics.workerDeaths.inc({ reason })
      options.log.error({ worker, reason }, `worker ${worker} died (${reason})${markedCode(parts, worker)}; its successor takes over`)
      askAgain(parts.links[worker], parts.rooms.byKey.values())
    },
    onGivenUp: (worker) => giveUp(parts, worker),
  })
  let server: SocketServer | undefined
  try {
    await catalogs.complete
    server = await listen(parts, options, catalogs)
  } catch (error) {
    await stopWorkers(parts, pool)
    throw error
  }
  return engineOf(parts, pool, server, catalogs)
}

function engineOf(parts: Parts, pool: Pool, server: SocketServer, catalogs: Catalogs): Engine {
  let stopping: Promise<void> | undefined
  const stop = async (): Promise<void> => {
    server.stopListening()
    for (const room of [...parts.rooms.byKey.values()]) for (const client of [...room.clients.values()]) dismiss(parts.outbox, client, 'going-away')
    await stopWorkers(parts, pool)
    server.close()
  }
  return {
    port: server.port, socketKind: server.kind, workers: parts.links.length, roomTypes: [...parts.types.keys()],
    ready: () => catalogs.done && stopping === undefined,
    stop: () => stopping ??= stop(),
  }
}

async function stopWorkers({ links }: Parts, pool: Pool): Promise<void> {
  for (const link of links) tellSurely(link, toWorker.stop, [0])
  await pool.closed()
}

function createParts(options: EngineOptions): Parts {
  const { config } = options
  const metrics = createMetrics()
  const links = Array.from({ length: config.workers }, (_, worker) => createWorkerLink(worker, config.arenaBytes))
  const rooms = createRooms(links, createEpochs())
  const types = new Map<string, CatalogEntry>()
  const lines = createLineLimit()
  const outbox: Outbox = {
    backlogBytes: config.backlogBytes, traffic: createTraffic(),
    onResync: (kind) => metrics.resyncs.inc({ kind }),
  }
  const sessions: Sessions = {
    rooms, outbox, types,
    limits: { messageBytes: config.messageBytes, inputsPerSecond: config.inputsPerSecond, inputsBurst: config.inputsPerSecond * inputsBurstSeconds },
    refused: (client, code, detail) => {
      metrics.framesBad.inc({ code })
      const left = lines.take(client.connection)
      if (left !== undefined) options.log.warn({ code, address: client.socket.address, detail, leftOut: left }, `refused a client's message: ${code}`)
    },
    countFrame: () => metrics.framesIn.inc(),
    countInput: (result) => metrics.inputs.inc({ result }),
  }
  return { options, metrics, links, rooms, outbox, sessions, types }
}

/** Epochs only grow: milliseconds above claimant bits (DECISIONS 18); without Redis the claimant is 0. */
function createEpochs(): () => number {
  let last = 0
  return () => (last = Math.max(last + 1, wallMs())) * 1024
}

/** What workers say of their room modules when they start: all must be told before anybody may join. */
class Catalogs {
  readonly complete: Promise<void>
  done = false
  private readonly told = new Set<number>()
  private resolve!: () => void
  private reject!: (error: Error) => void
  constructor(private readonly parts: Parts) {
    this.complete = new Promise((resolve, reject) => { this.resolve = resolve; this.reject = reject })
  }

  take(worker: number, types: readonly CatalogEntry[]): void {
    for (const type of types) if (!this.parts.types.has(type.name)) this.parts.types.set(type.name, type)
    this.told.add(worker)
    this.done ||= this.told.size === this.parts.links.length
    if (this.done) this.resolve()
  }

  broken(text: string): void { this.reject(new KasagiError('bad-room-module', text)) }
}

function onWorkerMessage(parts: Parts, worker: number, message: WorkerMessage, handlers: LinkHandlers, catalogs: Catalogs): void {
  const { metrics, options } = parts
  switch (message.kind) {
    case 'bell': return drainLink(parts.links[worker], handlers)
    case 'catalog': return catalogs.take(worker, message.types)
    case 'log': return options.log[message.level](message.fields, message.text)
    case 'count': return metrics[message.metric].inc(message.labels, message.by)
  }
}

function createLinkHandlers(parts: Parts): LinkHandlers {
  const { rooms, outbox, sessions, metrics } = parts
  const withRoom = (key: number, run: (room: RoomEntry) => void): void => {
    const room = rooms.byKey.get(key)
    if (room !== undefined) run(room)
  }
  return {
    opened: (_, key, address) => withRoom(key, (room) => {
      room.base = address
      room.state = 'open'
      for (const client of room.pending.splice(0)) sendJoin(sessions, client)
    }),
    failed: (_, key, code) => withRoom(key, (room) => {
      if (code === 'no-space' && openElsewhere(rooms, room)) return
      forgetRoom(rooms, room, false)
      for (const client of [...room.clients.values()]) refuse(sessions, client, code === 'no-space' ? 'no-space' : 'room-failed', room.id)
    }),
    record: (link, key, address) => withRoom(key, (room) => {
      // A room's first record comes just before the answer to `open` that tells its block.
      if (room.base === 0) room.base = openBlocks(link.arena).find((block) => block.roomKey === key)!.address
      metrics.records.inc()
      deliverRecord(outbox, room, address)
    }),
    snapshot: (_, post) => withRoom(post.roomKey, (room) => deliverSnapshot(outbox, room, post)),
    refused: (_, key, connection, code) => withRoom(key, (room) => {
      const client = room.clients.get(connection)
      if (client === undefined) return
      if (code !== 'room-closed') return dismiss(outbox, client, code)
      detachClient(client)
      if (rooms.byId.get(room.id) === room) rooms.byId.delete(room.id)
      findRoom(sessions, client, client.request!)
    }),
    nack: (_, key, __, connection, number, code) => withRoom(key, (room) => {
      const client = room.clients.get(connection)
      if (client !== undefined) nack(sessions, client, number, code as 'bad-input')
    }),
    closed: (_, key, code) => withRoom(key, (room) => {
      for (const client of [...room.clients.values()]) {
        if (client.state !== 'joining') { dismiss(outbox, client, code); continue }
        detachClient(client)
        if (rooms.byId.get(room.id) === room) rooms.byId.delete(room.id)
        findRoom(sessions, client, client.request!)
      }
      forgetRoom(rooms, room, true)
    }),
  }
}

/** Whose code the dead thread was running, if any. */
function markedCode({ links, rooms }: Parts, worker: number): string {
  const { handler, roomKey, journalNumber } = readMark(links[worker].arena)
  if (handler === 0) return ''
  return ` in ${handlers[handler]} of ${rooms.byKey.get(roomKey)?.id ?? 'a room'}${journalNumber === 0 ? '' : `, journal entry ${journalNumber}`}`
}

/** A worker that died too often: its rooms are closed, the engine stays up. */
function giveUp(parts: Parts, worker: number): void {
  const link = parts.links[worker]
  link.usable = false
  parts.options.log.error({ worker }, `worker ${worker} died too often; its rooms are closed, new ones go to other workers`)
  for (const room of [...parts.rooms.byKey.values()]) {
    if (room.link !== link) continue
    for (const client of [...room.clients.values()]) dismiss(parts.outbox, client, 'worker-lost')
    forgetRoom(parts.rooms, room, false)
  }
}

function listen(parts: Parts, options: EngineOptions, catalogs: Catalogs): Promise<SocketServer> {
  const { config } = options
  const { sessions, metrics } = parts
  const handlers: SocketHandlers = {
    open: (socket) => { metrics.connections.inc(); openConnection(sessions, socket) },
    message: (socket, bytes) => receive(sessions, socket.data as Client, bytes),
    text: (socket) => refuse(sessions, socket.data as Client, 'text-message'),
    drain: (socket) => resumeClient(parts.outbox, socket.data as Client),
    closed: (socket) => {
      const client = socket.data as Client
      metrics.connections.dec()
      leaveRoom(client, 1)
      client.state = 'gone'
    },
  }
  const http = createHttp({
    ready: () => catalogs.done, metrics: () => { refreshMetrics(parts); return metrics.text() }, other: (request) => options.http?.(request),
  })
  const { host, port, messageBytes: messageBytesMax, tlsCert, tlsKey } = config
  const tls = tlsCert === undefined || tlsKey === undefined ? undefined : { certFile: tlsCert, keyFile: tlsKey }
  const asked: SocketOptions = { host, port, messageBytesMax, tls, originAllowed: originRule(config.origins), onOriginRefused: () => metrics.originRefused.inc(), http }
  return listenSockets(asked, handlers, config.sockets, options.log)
}

/** Gauges are read when asked for, so that nothing counts them in the hot path. */
function refreshMetrics({ metrics, links, rooms, outbox }: Parts): void {
  metrics.rooms.set(rooms.byKey.size)
  metrics.bytesOut.set(outbox.traffic.bytes)
  metrics.deliveries.set(outbox.traffic.deliveries)
  for (const link of links) {
    const { free, largest } = freeBytes(link.arena)
    metrics.arenaFree.set({ worker: link.worker }, free)
    metrics.arenaLargestFree.set({ worker: link.worker }, largest)
  }
}
