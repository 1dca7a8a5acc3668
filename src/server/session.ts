/**
 * What clients say. Main thread. Every byte is hostile until the verifier has passed it: a message that is no frame, comes in the wrong
 * order, too often or too large gets its code from base/errors.ts, a counter, and at most one log line per connection and second; it has no
 * effect on anybody else. Fields are not decoded here: the room's worker knows its schema.
 */
import { randomUUID } from 'node:crypto'
import { isAskedFor, takeInput } from '../backplane/forwarding.js'
import { hasOwner, isOvertaken } from '../backplane/ownership.js'
import { monotonicMs } from '../base/clock.js'
import type { ErrorCode, KasagiError } from '../base/errors.js'
import { isRoomName } from '../base/room-name.js'
import { toWorker, wideWords, type CatalogEntry } from '../memory/crossing.js'
import { atTickUs } from '../memory/room-layout.js'
import { readClientMessage, type ClientMessage } from '../wire/client-messages.js'
import { unpackMatch } from '../wire/fields.js'
import { protocolVersion } from '../wire/protocol.js'
import { writePong } from '../wire/server-messages.js'
import { enter, exit } from './admission.js'
import type { Identity } from './auth.js'
import { createClient, type Client, type InputBody, type JoinRequest, type RoomEntry } from './client.js'
import { findListed } from './directory.js'
import { isPerhapsElsewhere, roomFor } from './find-room.js'
import { forwardInput, sendPending } from './forward.js'
import { stepOut } from './broadcast.js'
import { askResync } from './catch-up.js'
import { dismiss } from './outbox.js'
import { sendOwn } from './own-words.js'
import { nack, refuse, type Sessions } from './refuse.js'
import { detachClient, leaveRoom } from './rooms.js'
import type { Socket } from './sockets.js'
import { tellOwnerSurely } from './tell-owner.js'

type Of<K extends ClientMessage['kind']> = Extract<ClientMessage, { kind: K }>

export function openConnection(sessions: Sessions, socket: Socket): void {
  const client = createClient(socket, sessions.rooms.peers.instance, sessions.limits.inputsBurst, monotonicMs())
  socket.data = client
  const code = enter(sessions.admission, client)
  if (code !== undefined) refuse(sessions, client, code)
}

/** The socket is closed, by whomever; its session may come back. */
export function closeConnection({ admission, lost }: Sessions, client: Client): void {
  if (client.state !== 'gone') lost(client)
  exit(admission, client)
  leaveRoom(client, 1)
  client.state = 'gone'
}

export function receive(sessions: Sessions, client: Client, bytes: Uint8Array): void {
  sessions.outbox.traffic.messagesIn++
  if (client.state === 'gone') return
  if (bytes.length > sessions.limits.messageBytes) return refuse(sessions, client, 'too-large')
  if (!spend(sessions, client)) return
  const message = readClientMessage(bytes)
  if (message === undefined) return refuse(sessions, client, 'bad-message')
  if ((message.kind === 'join') !== (client.state === 'new') && message.kind !== 'ping') return refuse(sessions, client, 'wrong-order')
  switch (message.kind) {
    case 'join': return join(sessions, client, message)
    case 'input': return input(sessions, client, message)
    case 'resync': return resync(sessions, client, message)
    case 'leave': return dismiss(sessions.outbox, client, 'left')
    case 'ping': return pong(client, message.sent)
    case 'skip': return skip(client, message.to)
    case 'ready': return ready(client, message.generation)
  }
}

function pong({ socket, room }: Client, sent: number): void {
  const tickMs = room === undefined || room.base === 0 ? 0 : room.link.arena.u32[(room.base + atTickUs) >>> 2] / 1000
  socket.send(writePong({ sent, serverMs: monotonicMs(), tickMs }))
}

/** How many times a client may be below an empty budget before it is sent away. */
const floodFactor = 4

/** Takes one message from the client's budget; below nothing inputs are refused, far below the client is sent away. */
function spend(sessions: Sessions, client: Client): boolean {
  const { inputsPerSecond, inputsBurst } = sessions.limits
  const now = monotonicMs()
  client.budget = Math.min(inputsBurst, client.budget + (now - client.budgetMs) / 1000 * inputsPerSecond) - 1
  client.budgetMs = now
  if (client.budget > -inputsBurst * floodFactor) return true
  refuse(sessions, client, 'flood')
  return false
}

function join(sessions: Sessions, client: Client, message: Of<'join'>): void {
  const type = sessions.types.get(message.schema)
  if (message.protocol !== protocolVersion) return refuse(sessions, client, 'protocol-version')
  if (type === undefined) return refuse(sessions, client, 'unknown-type')
  if (message.schemaHash !== 0 && message.schemaHash !== type.hash) return refuse(sessions, client, 'schema-mismatch')
  if (message.name !== undefined && !isRoomName(type.name, message.name)) return refuse(sessions, client, 'bad-room-name')
  const match = unpackMatch(type.listing, message.match)
  if (match === undefined) return refuse(sessions, client, 'bad-join', 'match')
  const asked = resumeOf(sessions, type, message)
  if (asked === 'bad-token') return refuse(sessions, client, asked)
  client.wantsTables = message.schemaHash === 0
  // Everything is copied: the message is gone when an identity has been checked.
  const wanted = { type, name: message.name, match, matchBytes: message.match.slice(), open: message.open, options: message.options.slice(), join: message.join.slice(), resume: asked }
  client.state = 'joining'
  client.joiningMs = monotonicMs()
  if (sessions.admission.auth === undefined) return admit(sessions, client, wanted, undefined)
  sessions.admission.auth.identify(message.userToken).then((identity) => {
    if (client.state !== 'gone') admit(sessions, client, wanted, identity)
  }, (error: KasagiError) => { if (client.state !== 'gone') refuse(sessions, client, error.code as ErrorCode, error.message) })
}

/** Who it is stands; a guest is known by the session alone. */
function admit(sessions: Sessions, client: Client, wanted: Omit<JoinRequest, 'user'>, identity: Identity | undefined): void {
  const { resume } = wanted
  if (resume !== undefined && identity !== undefined && resume.claims.userId !== identity.id) return refuse(sessions, client, 'bad-token', 'it is another user\'s')
  client.identity = identity
  client.sessionId = resume?.claims.sessionId ?? randomUUID().slice(0, 23)
  client.userId = identity?.id ?? client.sessionId
  client.at = { epoch: resume?.epoch ?? 0, seq: resume?.seq ?? 0 }
  client.request = { ...wanted, user: identity?.json ?? JSON.stringify({ id: client.userId }) }
  findRoom(sessions, client, client.request)
}

function resumeOf({ tokens }: Sessions, type: CatalogEntry, { resume }: Of<'join'>): JoinRequest['resume'] | 'bad-token' {
  if (resume === undefined) return undefined
  const claims = tokens.read(resume.token)
  if (claims === undefined || !claims.roomId.startsWith(`${type.name}:`) || resume.firstHeld < 1) return 'bad-token'
  return { claims, epoch: resume.epoch, seq: resume.seq, firstHeld: resume.firstHeld, lastSent: resume.lastSent }
}

/** How often a join goes on its way before it is told that the room closes: one that its author closes at every join would otherwise open for ever. */
const routesMax = 5

/** The room has closed while the join was on its way: it is routed anew. */
export function findAgain(sessions: Sessions, client: Client, room: RoomEntry, code: string): void {
  if (client.routes >= routesMax) return dismiss(sessions.outbox, client, code)
  detachClient(client)
  // Nobody else is sent there either.
  if (sessions.rooms.byId.get(room.id) === room) sessions.rooms.byId.delete(room.id)
  findRoom(sessions, client, client.request!)
}

/** The room was full when the join came to it; another one may have a seat. False: it names this one, or was sent about enough. */
export function findAnother(sessions: Sessions, client: Client, room: RoomEntry): boolean {
  const request = client.request!
  if (request.name !== undefined || request.resume !== undefined || request.open === 2 || client.routes >= routesMax) return false
  client.full = [...client.full, room.id]
  detachClient(client)
  findRoom(sessions, client, request)
  return true
}

/** Routes a join to the room it names or matches. What this instance does not have another one may run: then the directory is asked first. */
function findRoom(sessions: Sessions, client: Client, request: JoinRequest): void {
  client.state = 'joining'
  client.routes++
  if (!isPerhapsElsewhere(sessions.rooms, request, client.full)) return enterRoom(sessions, client, request, undefined)
  void findListed(sessions.rooms.driver, request, client.full).then((listed) => { if (client.state === 'joining') enterRoom(sessions, client, request, listed) })
}

/** `listed`: a room that another instance runs. */
function enterRoom(sessions: Sessions, client: Client, request: JoinRequest, listed: string | undefined): void {
  const room = roomFor(sessions.rooms, sessions.limits.roomsPerAddress, request, client, listed)
  if (typeof room === 'string') return refuse(sessions, client, room)
  client.room = room
  room.clients.set(client.connection, client)
  room.idleSinceMs = Infinity
  const { resume } = request
  if (resume !== undefined && isOvertaken(room.ownership, { epoch: resume.epoch, seq: resume.seq }, monotonicMs())) return refuse(sessions, client, 'going-away')
  room.pending.add(client)
  sendPending(sessions, room)
}

/** Its newest token has arrived: older ones are void from here on. Said once; what else a client says of generations has no meaning. */
function ready(client: Client, generation: number): void {
  if (client.room === undefined || client.issued === 0 || generation !== client.issued) return
  client.issued = 0
  tellOwnerSurely(client.room, toWorker.ready, [...wideWords(client.connection), generation])
}

function input(sessions: Sessions, client: Client, { number, input: index, data }: Of<'input'>): void {
  const { room } = client
  if (client.state === 'joining' || room === undefined) return refuse(sessions, client, 'wrong-order')
  if (isAskedFor(room.forwarding, client.connection, number)) client.budget++
  const isRefused = client.budget < 0, body: InputBody = { index, data }
  const verdict = takeInput(room.forwarding, client.connection, number, number, body, { hasOwner: hasOwner(room.ownership), isRefused }, monotonicMs())
  switch (verdict.kind) {
    case 'repeat': return sessions.countInput('repeated')
    case 'want':
      sessions.countInput('hole')
      if (client.holeAt === verdict.number) return
      client.holeAt = verdict.number
      return sendOwn(sessions.outbox, client, [], verdict.number)
    case 'refuse': return nack(sessions, client, number, isRefused ? 'rate-limited' : 'journal-full')
    case 'forget': return
    case 'held': body.data = data.slice(); sessions.outbox.traffic.inputsAccepted++; return
    case 'forward': return forwardInput(sessions, client, verdict.input, true)
  }
}

/** The client no longer holds the inputs below `to`: they will not come. */
function skip({ room, connection }: Client, to: number): void {
  const lane = room?.forwarding.lanes.get(connection)
  if (lane !== undefined) lane.next = Math.max(lane.next, to)
}

function resync(sessions: Sessions, client: Client, message: Of<'resync'>): void {
  if (client.state !== 'live') return
  // Nobody's position: it wants a snapshot, whatever it has.
  if (message.epoch === 0 && message.seq === 0) sessions.countMismatch()
  stepOut(client.room!, client)
  client.at = { epoch: message.epoch, seq: message.seq }
  client.state = 'behind'
  askResync(client)
}
