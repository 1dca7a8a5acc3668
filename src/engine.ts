/**
 * Composition: starts workers and sockets, connects them, and stops them. Main thread. Everything that the parts tell each other goes
 * through the handler objects made here; no part imports another's inside.
 */
import type { Backplane } from './backplane/backplane.js'
import { openEmbeddedStore } from './backplane/embedded.js'
import { openRedisBackplane } from './backplane/redis.js'
import { monotonicMs } from './base/clock.js'
import { KasagiError } from './base/errors.js'
import { inputsBurstSeconds } from './base/limits.js'
import { isRoomName } from './base/room-name.js'
import type { Config } from './config.js'
import { toWorker, type CatalogEntry, type WorkerMessage } from './memory/crossing.js'
import { createAdmission, overdue } from './server/admission.js'
import { createAuth, type Auth } from './server/auth.js'
import { Catalogs } from './server/catalogs.js'
import type { Client } from './server/client.js'
import { giveUp, markedCode } from './server/deaths.js'
import { areScarce, readDescriptors } from './server/descriptors.js'
import { startBeats } from './server/beats.js'
import { listOthers } from './server/directory.js'
import { drainRooms } from './server/drain.js'
import { createLinkHandlers, type Hearers } from './server/from-workers.js'
import { createHooks, followRoom, roomNotOpened } from './server/hooks.js'
import { refreshGauges } from './server/gauges.js'
import { createHttp } from './server/http.js'
import { listenSockets } from './server/listen.js'
import type { Logger } from './server/logging.js'
import { createMetrics, takeTally } from './server/metrics.js'
import { originRule } from './server/origins.js'
import { askAgain, resumeClient } from './server/catch-up.js'
import { dismiss } from './server/outbox.js'
import { createTraffic, type Outbox } from './server/own-words.js'
import { createPool, type Pool } from './server/pool.js'
import { listenToPeers } from './server/peers.js'
import { createReports, type Reports } from './server/reports.js'
import { createRooms, listRooms, openRoomEntry } from './server/rooms.js'
import { refuse, type Sessions } from './server/refuse.js'
import { closeConnection, openConnection, receive } from './server/session.js'
import type { HttpAnswer, HttpRequest, SocketHandlers, SocketOptions, SocketServer } from './server/sockets.js'
import { createTokens } from './server/tokens.js'
import { version } from './server/version.js'
import { createWorkerLink, drainLink, tellSurely, type LinkHandlers } from './server/worker-link.js'
import { unpackMatch } from './wire/fields.js'
import { writeRecordMap } from './wire/record-map.js'

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
  /** Gives rooms away where others are, says goodbye to every client, stores every room, ends the workers, closes the port. */
  stop(): Promise<void>
  /** Rejects, with a line, when this process cannot go on: then it is to be stopped. Never resolves. */
  readonly failed: Promise<never>
}

interface Parts extends Hearers {
  readonly options: EngineOptions
  readonly types: Map<string, CatalogEntry>
  /** When the stop began. */
  stoppingSinceMs: number | undefined
}

/** Starts an engine; rejects with a KasagiError that is one line: a busy port, a broken room module. */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const { config } = options
  const metrics = createMetrics(), reports = createReports(options.log, metrics)
  // Before the store is opened: a mistake in its settings has nothing to close.
  const auth = authOf(config, reports)
  const { backplane, secret } = await openBackplane(config, reports)
  const parts = createParts({ options, metrics, reports }, backplane, secret, auth)
  const catalogs = new Catalogs(parts.types, parts.links.length)
  const linkHandlers = createLinkHandlers(parts)
  const pool = createPool({
    arenas: parts.links.map(({ arena }) => arena), roomBundles: options.roomBundles, instance: backplane.instance, fault: config.fault, verifies: config.verify, stallMs: config.stallMs,
    onMessage: (worker, message) => onWorkerMessage(parts, worker, message, linkHandlers, catalogs),
    onBroken: (text) => catalogs.broken(text),
    onDeath: (worker, death) => {
      reports.workerDied(worker, death, death.isEarly ? undefined : markedCode(parts, worker))
      // What the dead thread has said without ringing is heard first: askAgain gives its successor the areas in which that lies.
      drainLink(parts.links[worker], linkHandlers)
      askAgain(parts.links[worker], parts.rooms.byKey.values())
      // The thread that was told may have taken it along.
      if (parts.stoppingSinceMs !== undefined) tellSurely(parts.links[worker], toWorker.stop, [0])
    },
    onGivenUp: (worker) => {
      giveUp(parts, parts.types.keys(), worker, parts.stoppingSinceMs !== undefined)
      if (!catalogs.done) catalogs.broken('a worker thread ends before it has loaded its rooms; the log says how')
    },
  })
  parts.rooms.post = (link, message) => pool.post(link.worker, message)
  let server: SocketServer | undefined
  try {
    await catalogs.complete
    checkDurability(parts.types, backplane)
    server = await listen(parts, options, catalogs)
    parts.outbox.publish = server.publish
  } catch (error) {
    await stopWorkers(parts, pool)
    throw error
  }
  const failed = listenToPeers(parts)
  openStaying(parts)
  return engineOf(parts, pool, server, catalogs, failed)
}

/** Where rooms are kept, and what signs resume tokens. */
async function openBackplane({ data, redis: url, leaseMs, opsReplicas, secret }: Config, reports: Reports): Promise<{ backplane: Backplane; secret: string }> {
  if (url !== undefined) return { backplane: await openRedisBackplane({ url, leaseMs, opsReplicas }), secret: secret! }
  const store = openEmbeddedStore(data)
  if (store.killed !== undefined) reports.killedBefore(store.killed, store.backplane.place)
  return { backplane: store.backplane, secret: secret ?? store.secret }
}

/** The rooms that `--open` names: open from the start, whoever comes. */
function openStaying({ rooms, types, reports, options: { config } }: Parts): void {
  for (const id of config.open) {
    const at = id.indexOf(':'), type = types.get(id.slice(0, at))
    if (type === undefined) reports.unknownOpen(id)
    else if (!isRoomName(type.name, id.slice(at + 1))) reports.badOpen(id)
    else openRoomEntry(rooms, id, type, { options: new Uint8Array(0), match: new Uint8Array(0), stays: true, address: '', onlyStored: false, isMatched: false })
  }
}

const sweepEveryMs = 1000

function engineOf(parts: Parts, pool: Pool, server: SocketServer, catalogs: Catalogs, failed: Promise<never>): Engine {
  const { metrics, reports, rooms, outbox, sessions: { admission } } = parts
  let stopping: Promise<void> | undefined
  const sweep = setInterval(createSweep(parts), sweepEveryMs), endBeats = startBeats(parts)
  // Whoever does not listen has the line all the same.
  failed.catch(() => {})
  metrics.buildInfo.set({ version, node: process.versions.node, sockets: server.kind }, 1)
  if (admission.auth === undefined) reports.guests()
  const stop = async (): Promise<void> => {
    const began = parts.stoppingSinceMs = monotonicMs()
    reports.stopping(rooms.byKey.size, admission.clients.size)
    clearInterval(sweep)
    if (rooms.peers.instance !== 0) reports.drained(await drainRooms(parts, parts.options.config.drainMs), monotonicMs() - began)
    endBeats()
    server.stopListening()
    for (const room of [...rooms.byKey.values()]) for (const client of [...room.clients.values()]) dismiss(outbox, client, 'going-away')
    await stopWorkers(parts, pool)
    server.close()
    reports.stopped(monotonicMs() - began)
  }
  return {
    port: server.port, socketKind: server.kind, workers: parts.links.length, roomTypes: [...parts.types.keys()], place: rooms.driver.backplane.place, failed,
    ready: () => notReady(parts, catalogs) === undefined,
    stop: () => stopping ??= stop(),
  }
}

/** Why nothing can be joined; undefined: it can. */
function notReady({ stoppingSinceMs, links }: Parts, catalogs: Catalogs): string | undefined {
  if (stoppingSinceMs !== undefined) return 'it is stopping'
  if (!catalogs.done) return 'it is starting'
  return links.some(({ usable }) => usable) ? undefined : 'no worker is left'
}

/** A sweep that comes so late was held up. */
const stillMsMax = 1000

/** What is looked at every second: who may not stay, rings that were full, files that run out, and whether this thread stood still. */
function createSweep({ links, reports, sessions }: Parts): () => void {
  const told = links.map(() => 0), descriptors = readDescriptors()
  let lastMs = monotonicMs()
  return () => {
    const now = monotonicMs(), stillMs = now - lastMs - sweepEveryMs
    lastMs = now
    if (stillMs > stillMsMax) reports.stoodStill(stillMs)
    for (const { worker, ringFull } of links) {
      if (ringFull > told[worker]) reports.ringFull(worker, ringFull - told[worker])
      told[worker] = ringFull
    }
    const connections = sessions.admission.clients.size
    if (descriptors !== undefined && areScarce(descriptors, connections)) reports.descriptorsScarce(connections, descriptors.max)
    for (const [client, code] of overdue(sessions.admission)) refuse(sessions, client, code)
  }
}

/** Workers store their rooms before they end; what they said last is heard, and all of it is on the disk when this resolves. */
async function stopWorkers(parts: Parts, pool: Pool): Promise<void> {
  parts.stoppingSinceMs ??= monotonicMs()
  for (const link of parts.links) tellSurely(link, toWorker.stop, [0])
  await pool.closed()
  const handlers = createLinkHandlers(parts)
  for (const link of parts.links) drainLink(link, handlers)
  await parts.rooms.driver.backplane.close()
}

function checkDurability(types: ReadonlyMap<string, CatalogEntry>, { place }: Backplane): void {
  for (const { name, durability } of types.values()) {
    if (durability.startsWith('ops') && place === '') throw new KasagiError('no-log', `room ${name}: durability '${durability}' needs a log that is kept: a data folder, or Redis; use 'snapshot', or leave out --data none`)
  }
}

const authOf = ({ authSecret, authKeys, authRevoked }: Config, reports: Reports): Auth | undefined =>
  createAuth({ secret: authSecret, keysFile: authKeys, revokedFile: authRevoked, onBadFile: reports.authFileBad })

function createParts(given: Pick<Parts, 'options' | 'metrics' | 'reports'>, backplane: Backplane, secret: string, auth: Auth | undefined): Parts {
  const { options: { config }, metrics, reports } = given
  const links = Array.from({ length: config.workers }, (_, worker) => createWorkerLink(worker, config.arenaBytes))
  const types = new Map<string, CatalogEntry>()
  const rooms = createRooms(links, backplane)
  const tokens = createTokens(secret.split(','))
  const outbox: Outbox = {
    tokens, backlogBytes: config.backlogBytes, traffic: createTraffic(), publish: () => {},
    onResync: (kind) => metrics.resyncs.inc({ kind }), onWelcome: reports.welcomed, onDismiss: reports.ended,
    onSlow: (client) => reports.slow(client, client.socket.buffered()),
  }
  const sessions: Sessions = {
    rooms, outbox, types, tokens, admission: createAdmission(config, auth),
    limits: { messageBytes: config.messageBytes, inputsPerSecond: config.inputsPerSecond, inputsBurst: config.inputsPerSecond * inputsBurstSeconds, roomsPerAddress: config.roomsPerAddress },
    refused: (client, code, detail = '') => reports.refused(client, code, detail),
    countInput: (result) => metrics.inputs.inc({ result }),
    countMismatch: () => metrics.mismatches.inc(),
    lost: (client) => reports.ended(client, 'lost'),
  }
  const parts: Parts = { ...given, links, rooms, outbox, sessions, types, stoppingSinceMs: undefined }
  rooms.follow = followRoom(parts)
  if (config.deltaFormat === 'msgpack') rooms.form = (record, { tables: fields }) => writeRecordMap(record, fields)
  rooms.onNotOpened = (room, code, cause) => roomNotOpened(parts, room, code, cause)
  Object.assign(rooms.driver.hooks, createHooks(parts, () => parts.stoppingSinceMs !== undefined))
  return parts
}

function onWorkerMessage(parts: Parts, worker: number, message: WorkerMessage, handlers: LinkHandlers, catalogs: Catalogs): void {
  const { metrics, reports } = parts
  switch (message.kind) {
    case 'bell': return drainLink(parts.links[worker], handlers)
    case 'catalog': return catalogs.take(worker, message.types)
    case 'log': return reports.said(message.level, message.fields, message.text)
    case 'tally': return takeTally(metrics, worker, message.tally)
  }
}

function listen(parts: Parts, options: EngineOptions, catalogs: Catalogs): Promise<SocketServer> {
  const { config } = options
  const { sessions, metrics, reports } = parts
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
    notReady: () => notReady(parts, catalogs), other: (request) => options.http?.(request), originAllowed,
    metrics: () => {
      refreshGauges(metrics, { ...parts, traffic: parts.outbox.traffic, admission: sessions.admission })
      return metrics.text()
    },
    rooms: (type, match, token) => listFor(parts, type, match, token),
  })
  const { host, port, messageBytes: messageBytesMax, tlsCert, tlsKey } = config
  const tls = tlsCert === undefined || tlsKey === undefined ? undefined : { certFile: tlsCert, keyFile: tlsKey }
  const asked: SocketOptions = { host, port, messageBytesMax, tls, originAllowed, onOriginRefused: reports.originRefused, http }
  return listenSockets(asked, handlers, config.sockets, options.log)
}

async function listFor({ sessions, rooms, types }: Parts, name: string, match: Uint8Array, token: string | undefined): Promise<string | undefined> {
  await sessions.admission.auth?.identify(token)
  const type = types.get(name), wanted = type === undefined ? undefined : unpackMatch(type.listing, match)
  if (type === undefined || wanted === undefined) return undefined
  return JSON.stringify([...listRooms(rooms, type, wanted), ...await listOthers(rooms.driver, type, wanted)])
}
