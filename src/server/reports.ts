/**
 * What operators are told. Main thread. A fact is a log line, a number, or both: they stand here together, so that level, fields and limits are seen in
 * one place; docs/operations.md says what to do about each. Fields name the worker, room, session, user, address and code; no line holds a token
 * or a secret, and no metric a label that a stranger could choose.
 */
import { errorTexts } from '../base/error-texts.js'
import { errorList, type ErrorCode } from '../base/errors.js'
import { createLineLimit } from '../base/line-limit.js'
import type { ReportLevel } from '../memory/crossing.js'
import type { Client, RoomEntry } from './client.js'
import type { Logger } from './logging.js'
import type { Metrics } from './metrics.js'
import type { Death } from './pool.js'

/** Whose code a dead thread was running, and on whose behalf; journal entry 0: nobody's, it was a tick or a timer. */
export interface Marked { readonly room: RoomEntry | undefined; readonly handler: string; readonly journalEntry: number; readonly client: Client | undefined }

export type Reports = ReturnType<typeof createReports>

/** Refusals that honest clients meet every day; all others may be an attack, a wrong setting or a broken client. */
const ordinary: ReadonlySet<string> = new Set(['auth-expired', 'join-late', 'room-absent', 'room-full', 'room-locked', 'join-refused', 'session-gone', 'token-used', 'too-many-rooms'])

/** What an operator may do about a refusal. */
const hints: Partial<Record<ErrorCode, string>> = {
  'rate-limited': 'see --inputs-per-second',
  'journal-full': 'its room is slower than its inputs come',
  'too-large': 'see --message-bytes',
  'too-many-connections': 'see --connections and, behind a proxy, --connections-per-address',
  'too-many-rooms': 'see --rooms-per-address',
  'schema-mismatch': 'its page is older or newer than the server\'s rooms',
}

/** Seconds that storing a room may take before it is worth a line. */
const storeSecondsMax = 1

const isResume = ({ request }: Client): boolean => request?.resume !== undefined

export function createReports(log: Logger, metrics: Metrics) {
  const leftOut = (): void => metrics.linesLeftOut.inc()
  const often = createLineLimit(1000, leftOut), seldom = createLineLimit(10_000, leftOut), hourly = createLineLimit(3_600_000)
  const counted = (left: number): object => left === 0 ? {} : { leftOut: left }
  const who = (client: Client): object => ({
    address: client.socket.address,
    ...(client.room === undefined ? {} : { room: client.room.id }), ...(client.sessionId === '' ? {} : { session: client.sessionId }),
    ...(client.identity === undefined ? {} : { user: client.identity.id }),
  })
  return {
    guests: () => log.warn({}, 'everybody is a guest: see --auth-secret and --auth-keys'),
    killedBefore: (process: number, place: string) =>
      log.warn({ process }, `process ${process} did not let go of ${place}: it was killed, and its rooms are as they were last stored`),
    authFileBad: (text: string) => {
      if (hourly.take(text) !== undefined) log.error({}, `${text}; what was read before stays`)
    },
    stopping: (rooms: number, clients: number) => log.info({ rooms, clients }, `stopping: rooms are stored (${rooms}), clients are told to come back (${clients})`),
    stopped: (ms: number) => log.info({ ms: Math.round(ms) }, `stopped after ${Math.round(ms)} ms`),
    stoodStill: (ms: number) => log.warn({ ms: Math.round(ms) }, `the main thread stood still for ${Math.round(ms)} ms: it or the machine was busy, or the process was paused`),
    descriptorsScarce: (connections: number, max: number) => {
      if (hourly.take('descriptors') === undefined) return
      log.error({ connections, max }, `${connections} connections are open, and this process may have ${max} files: beyond, new ones hang. `
        + 'Raise the limit (ulimit -n, LimitNOFILE), or lower --connections')
    },
    unknownOpen: (room: string) => log.error({ room }, `--open ${room}: no room of this type is served here`),
    badOpen: (room: string) => log.error({ room }, `--open ${room}: ${errorTexts['bad-room-name']}`),

    workerDied: (worker: number, { kind, text, isEarly }: Death, marked: Marked | undefined) => {
      metrics.workerDeaths.inc({ reason: kind })
      const { room, handler, journalEntry = 0, client } = marked ?? {}, entry = journalEntry === 0 ? {} : { journalEntry }
      const inside = `in ${handler} of ${room?.id ?? 'a room'}${journalEntry === 0 ? '' : `, journal entry ${journalEntry}`}`
      const where = isEarly ? 'before it ran any room' : marked === undefined ? 'outside every handler' : inside
      const fields = { worker, reason: kind, ...(client === undefined ? {} : who(client)), room: room?.id, handler, ...entry }
      log.error(fields, `worker ${worker} died (${kind}: ${text}) ${where}; its successor takes over`)
    },
    workerGivenUp: (worker: number, left: number, isStopping: boolean) => {
      const next = left === 0 ? 'and no worker is left: mend the code that the lines before name, and start again' : 'new ones go to other workers'
      log.error({ worker, workersLeft: left }, isStopping
        ? `worker ${worker} died again and again while it stopped: what its rooms changed since they were last stored is lost`
        : `worker ${worker} died too often; its rooms are closed, ${next}`)
    },
    ringFull: (worker: number, times: number) => {
      const left = seldom.take(`ring ${worker}`)
      if (left !== undefined) log.warn({ worker, times }, `worker ${worker} does not read: ${times} messages found its input ring full; a handler takes long, or it is about to be ended as stalled`)
    },
    /** What a worker says of itself or its rooms, bounded there. */
    said: (level: ReportLevel, fields: object, text: string) => log[level](fields, text),

    roomOpened: ({ id, type, link, begin }: RoomEntry) => {
      const how = begin?.follows === true ? 'followed' : begin?.stored === undefined ? 'new' : 'restored'
      metrics.roomsOpened.inc({ type: type.name, how })
      const text = how === 'new' ? 'is open' : how === 'restored' ? `is back, as it was stored at seq ${begin!.forkSeq}` : `is followed, from seq ${begin!.seq}`
      log.debug({ room: id, worker: link.worker, how }, `${id} ${text}`)
    },
    roomClosed: ({ id, type, link }: RoomEntry, why: 'empty' | 'closed' | 'poisoned' | 'worker-lost' | 'unneeded') => {
      metrics.roomsClosed.inc({ type: type.name, why })
      log.debug({ room: id, worker: link.worker, why }, `${id} is closed (${why})`)
    },
    roomNotOpened: ({ id, type }: RoomEntry, code: ErrorCode, cause: string) => {
      metrics.roomsClosed.inc({ type: type.name, why: 'not-opened' })
      const left = often.take(`open ${type.name} ${code}`)
      if (left !== undefined) log.error({ room: id, code, ...counted(left) }, `${id} does not open: ${cause}`)
    },
    redisReachable: (isReachable: boolean, place: string) => {
      metrics.redisReachable.set(isReachable ? 1 : 0)
      if (isReachable) log.info({}, `${place} is back: rooms are with each other again`)
      else log.error({}, `${place} does not answer: rooms that run here play on alone, or stand still, as their whenDetached says`)
    },
    detached: ({ id, type, ownership: { role } }: RoomEntry, isDetached: boolean) => {
      const isOwner = role === 'owning' || role === 'handing'
      if (isDetached) metrics.roomsDetached.inc({ type: type.name })
      const left = often.take(`detached ${isDetached}`)
      if (left === undefined) return
      if (!isDetached) log.info({ room: id, ...counted(left) }, `${id} is attached again`)
      else log.warn({ room: id, ...counted(left) }, isOwner ? `${id} plays on alone: its lease could not be renewed in time` : `${id} is not heard any more: its owner is looked for`)
    },
    /** `why`: a word of workers/following.ts. */
    replicaBroke: ({ id, type }: RoomEntry, why: string) => {
      const [reason, column] = why.split(' ')
      metrics.replicasBroken.inc({ type: type.name, reason })
      const left = reason === 'gap' ? undefined : often.take(`replica ${reason}`)
      const what = reason === 'differs' ? `differs from its owner's in ${column}; please report it` : 'cannot take a record of its owner'
      if (left !== undefined) log.error({ room: id, reason, column, ...counted(left) }, `${id}: what this instance has of it ${what}. It is fetched anew`)
    },
    discarded: ({ id, type }: RoomEntry, records: number) => {
      metrics.discarded.inc({ type: type.name }, records)
      const left = often.take('discarded')
      if (left !== undefined) log.warn({ room: id, records, ...counted(left) }, `${id} went on elsewhere from an earlier point: ${records} records that were made or seen here are undone`)
    },
    tookOver: ({ id, type }: RoomEntry, epoch: number, seq: number) => {
      metrics.takeovers.inc({ type: type.name })
      log.info({ room: id, epoch, seq }, `${id} is run here from now on, from seq ${seq}`)
    },
    /** What another instance, or somebody else in Redis, has said is none of ours. */
    peerRefused: (room: string) => {
      metrics.peersRefused.inc()
      const left = seldom.take('peer')
      if (left !== undefined) log.warn({ room, ...counted(left) }, 'refused a message that came through Redis: it is none of an instance, or of another version')
    },
    drained: (left: number, ms: number) => {
      if (left > 0) log.error({ rooms: left, ms: Math.round(ms) }, `${left} rooms were not given away in ${Math.round(ms)} ms: another instance takes them when their leases end`)
      else log.info({ ms: Math.round(ms) }, `all rooms were given away in ${Math.round(ms)} ms`)
    },
    instanceLost: () => log.error({}, 'this instance was away for so long that another one has its number: it ends'),
    stored: ({ id }: RoomEntry, bytes: number, seconds: number) => {
      metrics.stores.inc()
      metrics.storedBytes.inc(bytes)
      metrics.storeSeconds.observe(seconds)
      const left = seconds > storeSecondsMax ? seldom.take('slow store') : undefined
      if (left !== undefined) log.warn({ room: id, seconds, bytes, ...counted(left) }, `storing ${id} took ${seconds.toFixed(1)} s: the disk is slow`)
    },
    storeFailed: ({ id }: RoomEntry, cause: string, isStopping: boolean) => {
      metrics.storeFailures.inc()
      const left = seldom.take(`store ${cause} ${isStopping}`)
      if (left !== undefined) log.error({ room: id, ...counted(left) }, `${id} could not be stored: ${cause}; ${isStopping ? 'what it changed since is lost' : 'it goes on, and is tried again'}`)
    },

    originRefused: (origin: string) => {
      metrics.originRefused.inc()
      const left = seldom.take(`origin ${origin}`)
      if (left !== undefined) log.warn({ origin, code: 'origin-refused', ...counted(left) }, `a page of ${origin} may not connect: see --origin, and whether a proxy passes on Host`)
    },
    /** A message that is refused; whether the connection ends with it is told apart. */
    refused: (client: Client, code: ErrorCode, detail: string) => {
      metrics.messagesRefused.inc({ code })
      // The room has its own line.
      if (code === 'room-failed' || code === 'no-space') return
      const left = often.take(`${code} ${client.socket.address}`)
      if (left === undefined) return
      const said = detail === code ? '' : detail.replace(`${code}: `, ''), why = [said, hints[code] ?? ''].filter((part) => part !== '').join('; ')
      log[ordinary.has(code) ? 'info' : 'warn']({ code, ...who(client), ...counted(left) }, `refused a client: ${code}${why === '' ? '' : ` (${why})`}`)
    },
    welcomed: (client: Client) => {
      metrics[isResume(client) ? 'resumes' : 'joins'].inc({ result: 'ok' })
      log.debug(who(client), `a client ${isResume(client) ? 'came back to' : 'joined'} ${client.room?.id}`)
    },
    /** The server ends the connection with a code, which may be an author's own; `lost`: it ended by itself. */
    ended: (client: Client, code: string) => {
      const isOurs = code in errorList || code === 'lost'
      metrics.connectionsEnded.inc({ code: isOurs ? code : 'author' })
      if (client.state === 'joining') metrics[isResume(client) ? 'resumes' : 'joins'].inc({ result: isOurs ? code : 'author' })
      log.debug({ code, ...who(client) }, `a client's connection ended: ${code}`)
    },
    slow: (client: Client, bytes: number) => {
      metrics.clientsSlow.inc()
      const left = seldom.take(`slow ${client.socket.address}`)
      if (left === undefined) return
      log.info({ ...who(client), bytes, ...counted(left) }, `a client of ${client.room?.id} is slow: ${bytes} bytes wait for it; it gets the newest state when it has read them`)
    },
  }
}
