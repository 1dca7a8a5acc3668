/**
 * Composition: starts workers and sockets, connects them, and stops them. Main thread. Everything that the parts tell each other goes
 * through the handler objects made here; no part imports another's inside.
 */
import { openEmbeddedStore, type EmbeddedStore } from './backplane/embedded.js'
import { wallMs } from './base/clock.js'
import type { Config } from './config.js'
import { errorList, KasagiError } from './base/errors.js'
import { inputsBurstSeconds } from './base/limits.js'
import { freeBytes, openBlocks, readMark } from './memory/arena.js'
import { handlers, toWorker, type CatalogEntry, type WorkerMessage } from './memory/crossing.js'
import { atSnapshotBusy } from './memory/room-layout.js'
import { storeWord } from './memory/views.js'
import { createTraffic } from './server/broadcast.js'
import type { Client, RoomEntry } from './server/client.js'
import type { Logger } from './server/logging.js'
import { createLineLimit } from './server/logging.js'
import { createMetrics, type Metrics } from './server/metrics.js'
import { askAgain, deliverRecord, deliverSnapshot, dismiss, resumeClient, type Outbox } from './server/outbox.js'
import { createPool, type Pool } from './server/pool.js'
import { askOpen, createRooms, forgetRoom, isRoomName, listRooms, openElsewhere, openRoomEntry, storeSnapshot, type RoomEvents, type Rooms } from './server/rooms.js'
import { createAdmission, overdue } from './server/admission.js'
import { createAuth, type Auth } from './server/auth.js'
import { closeConnection, findAgain, nack, openConnection, receive, refuse, sendJoin, type Sessions } from './server/session.js'
import type { HttpAnswer, HttpRequest, SocketHandlers, SocketOptions, SocketServer } from './server/sockets.js'
import { originRule } from './server/origins.js'
import { unpackFields, unpackMatch } from './wire/fields.js'
import { createHttp } from './server/http.js'
import { listenSockets } from './server/listen.js'
import { createTokens } from './server/tokens.js'
import { createWorkerLink, drainLink, tellSurely, wakeWorker, type LinkHandlers, type WorkerLink } from './server/worker-link.js'

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
  /** The folder that rooms are kept in; empty: they end with the process. */
  readonly place: string
  ready(): boolean
  /** Says goodbye to every client, stores every room, ends the workers, closes the port. */
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
  // Before the store is opened: a mistake in its settings has nothing to close.
  const auth = authOf(options)
  const parts = createParts(options, openEmbeddedStore(config.data), auth)
  const catalogs = new Catalogs(parts)
  const linkHandlers = createLinkHandlers(parts)
  const pool = createPool({
    arenas: parts.links.map(({ arena }) => arena), roomBundles: options.roomBundles, fault: config.fault, stallMs: config.stallMs,
    onMessage: (worker, message) => onWorkerMessage(parts, worker, message, linkHandlers, catalogs),
    onBroken: (text) => catalogs.broken(text),
    onDeath: (worker, { kind, text }) => {
      parts.metrics.workerDeaths.inc({ reason: kind })
      options.log.error({ worker, kind }, `worker ${worker} died (${kind}: ${text})${markedCode(parts, worker)}; its successor takes over`)
      askAgain(parts.links[worker], parts.rooms.byKey.values())
    },
    onGivenUp: (worker) => giveUp(parts, worker),
  })
  parts.rooms.post = (link, message) => pool.post(link.worker, message)
  let server: SocketServer | undefined
  try {
    await catalogs.complete
    checkDurability(parts.types)
    server = await listen(parts, options, catalogs)
  } catch (error) {
    await stopWorkers(parts, pool)
    throw error
  }
  openStaying(parts)
  return engineOf(parts, pool, server, catalogs)
}

/** The rooms that `--open` names: open from the start, whoever comes. */
function openStaying({ rooms, types, options: { config, log } }: Parts): void {
  for (const id of config.open) {
    const at = id.indexOf(':'), type = types.get(id.slice(0, at))
    if (type === undefined) log.error({ room: id }, `--open ${id}: no room of this type is served here`)
    else if (!isRoomName(type.name, id.slice(at + 1))) log.error({ room: id }, `--open ${id}: ${errorList['bad-room-name'].text}`)
    else openRoomEntry(rooms, id, type, { options: new Uint8Array(0), match: new Uint8Array(0), stays: true, address: '', onlyStored: false })
  }
}

const sweepEveryMs = 1000

function engineOf(parts: Parts, pool: Pool, server: SocketServer, catalogs: Catalogs): Engine {
  let stopping: Promise<void> | undefined
  const sweep = setInterval(() => { for (const [client, code] of overdue(parts.sessions.admission)) refuse(parts.sessions, client, code) }, sweepEveryMs)
  if (parts.sessions.admission.auth === undefined) parts.options.log.warn({}, 'everybody is a guest: see --auth-secret and --auth-keys')
  const stop = async (): Promise<void> => {
    clearInterval(sweep)
    server.stopListening()
    for (const room of [...parts.rooms.byKey.values()]) for (const client of [...room.clients.values()]) dismiss(parts.outbox, client, 'going-away')
    await stopWorkers(parts, pool)
    server.close()
  }
  return {
    port: server.port, socketKind: server.kind, workers: parts.links.length, roomTypes: [...parts.types.keys()], place: parts.rooms.backplane.place,
    ready: () => catalogs.done && stopping === undefined,
    stop: () => stopping ??= stop(),
  }
}

/** Workers store their rooms before they end; what they said last is heard, and all of it is on the disk when this resolves. */
async function stopWorkers(parts: Parts, pool: Pool): Promise<void> {
  for (const link of parts.links) tellSurely(link, toWorker.stop, [0])
  await pool.closed()
  const handlers = createLinkHandlers(parts)
  for (const link of parts.links) drainLink(link, handlers)
  await parts.rooms.backplane.close()
}

function checkDurability(types: ReadonlyMap<string, CatalogEntry>): void {
  for (const { name, durability } of types.values()) {
    if (durability.startsWith('ops')) throw new KasagiError('no-log', `room ${name}: durability '${durability}' needs a log of records, which the embedded store does not keep; use 'snapshot'`)
  }
}

function authOf({ config, log }: EngineOptions): Auth | undefined {
  const lines = createLineLimit()
  return createAuth({
    secret: config.authSecret, keysFile: config.authKeys, revokedFile: config.authRevoked,
    onBadFile: (text) => { if (lines.take(0) !== undefined) log.error({}, `${text}; what was read before stays`) },
  })
}

function createParts(options: EngineOptions, { backplane, secret }: EmbeddedStore, auth: Auth | undefined): Parts {
  const { config } = options
  const metrics = createMetrics()
  const links = Array.from({ length: config.workers }, (_, worker) => createWorkerLink(worker, config.arenaBytes))
  const types = new Map<string, CatalogEntry>()
  const rooms = createRooms(links, backplane)
  const lines = createLineLimit()
  const tokens = createTokens(config.secret === undefined ? [secret] : config.secret.split(','))
  const outbox: Outbox = {
    tokens, backlogBytes: config.backlogBytes, traffic: createTraffic(),
    onResync: (kind) => metrics.resyncs.inc({ kind }),
  }
  const sessions: Sessions = {
    rooms, outbox, types, tokens, admission: createAdmission(config, auth),
    limits: { messageBytes: config.messageBytes, inputsPerSecond: config.inputsPerSecond, inputsBurst: config.inputsPerSecond * inputsBurstSeconds, roomsPerAddress: config.roomsPerAddress },
    refused: (client, code, detail) => {
      metrics.framesBad.inc({ code })
      const left = lines.take(client.connection)
      if (left !== undefined) options.log.warn({ code, address: client.socket.address, detail, leftOut: left }, `refused a client's message: ${code}`)
    },
    forget: (client) => lines.forget(client.connection),
    countFrame: () => metrics.framesIn.inc(),
    countInput: (result) => metrics.inputs.inc({ result }),
  }
  Object.assign(rooms, roomEvents(options, metrics, sessions))
  return { options, metrics, links, rooms, outbox, sessions, types }
}

/** What becomes of rooms, told to metrics, log and clients. */
function roomEvents({ log }: EngineOptions, metrics: Metrics, sessions: Sessions): RoomEvents {
  const lines = createLineLimit()
  return {
    onNotOpened: (room, code, cause) => {
      log.error({ room: room.id, code }, `${room.id} does not open: ${cause}`)
      forgetRoom(sessions.rooms, room, false)
      for (const client of [...room.clients.values()]) refuse(sessions, client, code, room.id)
    },
    onStored: (_, bytes) => { metrics.stores.inc(); metrics.storedBytes.inc(bytes) },
    onStoreFailed: (room, cause) => {
      metrics.storeFailures.inc()
      if (lines.take(0) !== undefined) log.error({ room: room.id }, `${room.id} could not be stored: ${cause}; it goes on, and is tried again`)
    },
  }
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
      room.stored = undefined
      for (const client of room.pending.splice(0)) sendJoin(sessions, client)
      tellSurely(room.link, toWorker.begin, [key])
    }),
    failed: (_, key, code) => withRoom(key, (room) => {
      if (code === 'open-again' ? askOpen(rooms, room) : code === 'no-space' && openElsewhere(rooms, room)) return
      const isFull = code === 'no-space' || code === 'open-again'
      rooms.onNotOpened(room, isFull ? 'no-space' : 'room-failed', isFull ? 'no worker has space for it' : 'its code failed; the line before says where')
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
      findAgain(sessions, client, room, code)
    }),
    nack: (_, key, __, connection, number, code) => withRoom(key, (room) => {
      const client = room.clients.get(connection)
      if (client !== undefined) nack(sessions, client, number, code as 'bad-input')
    }),
    listing: (_, key, isLocked, packed) => withRoom(key, (room) => {
      room.isLocked = isLocked
      room.listing = unpackFields(room.type.listing, new DataView(packed.buffer), 0, packed.length) ?? room.listing
    }),
    store: (link, { roomKey, epoch, seq, tick, address, bytes }) => withRoom(roomKey, (room) => {
      const data = link.arena.u8.slice(address, address + bytes)
      storeWord(link.arena, room.base + atSnapshotBusy, 0)
      wakeWorker(link)
      storeSnapshot(rooms, room, { data, epoch, seq, tick, ts: wallMs() })
    }),
    closed: (_, key, isKept, code) => withRoom(key, (room) => {
      if (!isKept && room.type.durability !== 'none') rooms.backplane.remove(room.id, room.epoch).catch((error: Error) => rooms.onStoreFailed(room, error.message))
      for (const client of [...room.clients.values()]) {
        if (client.state === 'joining') findAgain(sessions, client, room, code)
        else dismiss(outbox, client, code)
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
      metrics.connections.dec()
      closeConnection(sessions, socket.data as Client)
    },
  }
  const originAllowed = originRule(config.origins)
  const http = createHttp({
    ready: () => catalogs.done, metrics: () => { refreshMetrics(parts); return metrics.text() }, other: (request) => options.http?.(request), originAllowed,
    rooms: (type, match, token) => listFor(parts, type, match, token),
  })
  const { host, port, messageBytes: messageBytesMax, tlsCert, tlsKey } = config
  const tls = tlsCert === undefined || tlsKey === undefined ? undefined : { certFile: tlsCert, keyFile: tlsKey }
  const asked: SocketOptions = { host, port, messageBytesMax, tls, originAllowed, onOriginRefused: () => metrics.originRefused.inc(), http }
  return listenSockets(asked, handlers, config.sockets, options.log)
}

async function listFor({ sessions, rooms, types }: Parts, name: string, match: Uint8Array, token: string | undefined): Promise<string | undefined> {
  await sessions.admission.auth?.identify(token)
  const type = types.get(name), wanted = type === undefined ? undefined : unpackMatch(type.listing, match)
  return type === undefined || wanted === undefined ? undefined : JSON.stringify(listRooms(rooms, type, wanted))
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
