/**
 * An owner's records on their way out: to the channel and, for rooms with an op log, into the log by the same script. Pure.
 *
 * With ops-sync nothing goes to anybody before the log has it, and the room stops flushing when `unloggedMax` records wait. The log has no holes:
 * its script takes a record only behind the one before it, or behind a stored snapshot. Where it cannot go on, a snapshot is stored and it begins there.
 */
import { againMs } from './claiming.js'
import type { Of, Turn } from './protocol.js'

/** Records that may wait for the log before the room stands still. */
export const unloggedMax = 4

/** The room has made a record. */
export function hearFlushed<B>(turn: Turn<B>, { seq }: Of<B, 'flushed'>): void {
  const { room, effects } = turn
  const { epoch, settings: { durability } } = room
  room.position = { epoch, seq }
  if (durability === 'ops-sync' || durability === 'ops') sendRecords(turn)
  else {
    room.loggedSeq = room.sentSeq = seq
    if (room.isReachable) effects.push({ kind: 'publish', epoch, seq })
  }
  if (durability !== 'ops-sync') effects.push({ kind: 'deliver', seq })
}

/** Sends on what was not sent, in order. */
function sendRecords<B>(turn: Turn<B>): void {
  const { room, nowMs, effects } = turn
  if (room.isStoring || (room.retryLogAtMs !== Infinity && nowMs < room.retryLogAtMs)) return
  if (!room.isReachable) { room.retryLogAtMs = nowMs + againMs(room.settings.leaseMs); return }
  room.retryLogAtMs = Infinity
  // What this epoch continues was never logged here: the log begins behind a snapshot.
  if (room.loggedSeq < room.lineage.at(-1)!.forkSeq) return store(turn)
  while (room.sentSeq < room.position!.seq) effects.push({ kind: 'publish', epoch: room.epoch, seq: ++room.sentSeq })
}

export function hearLogged<B>(turn: Turn<B>, { epoch, seq }: Of<B, 'logged'>): void {
  if (epoch === turn.room.epoch) reach(turn, seq)
}

function reach<B>({ room, effects }: Turn<B>, seq: number): void {
  if (seq <= room.loggedSeq) return
  room.loggedSeq = seq
  room.sentSeq = Math.max(room.sentSeq, seq)
  if (room.settings.durability === 'ops-sync') effects.push({ kind: 'deliver', seq })
  effects.push({ kind: 'durable', seq })
}

/** What was sent behind the last logged one is sent again; a record that is there already is not taken twice. */
export function hearLogFailed<B>({ room, nowMs }: Turn<B>, { epoch }: Of<B, 'logFailed'>): void {
  if (epoch !== room.epoch) return
  room.sentSeq = Math.min(room.sentSeq, room.loggedSeq)
  room.retryLogAtMs = nowMs + againMs(room.settings.leaseMs)
}

export function hearLogGap<B>(turn: Turn<B>, { epoch }: Of<B, 'logGap'>): void {
  if (epoch === turn.room.epoch && !turn.room.isStoring) store(turn)
}

function store<B>({ room, effects }: Turn<B>): void {
  room.isStoring = true
  effects.push({ kind: 'store', epoch: room.epoch })
}

/** A snapshot at `seq` is stored: the log goes on behind it. */
export function hearStored<B>(turn: Turn<B>, { epoch, seq }: Of<B, 'stored'>): void {
  const { room } = turn
  if (epoch !== room.epoch || (room.role !== 'owning' && room.role !== 'handing')) return
  if (room.isStoring) room.sentSeq = seq
  room.isStoring = false
  reach(turn, seq)
  sendRecords(turn)
}

export function hearStoreFailed<B>({ room, nowMs }: Turn<B>): void {
  if (!room.isStoring) return
  room.isStoring = false
  room.retryLogAtMs = nowMs + againMs(room.settings.leaseMs)
  room.sentSeq = Math.min(room.sentSeq, room.loggedSeq)
}

/** Time passes: what could not be sent is tried again. */
export function tickLog<B>(turn: Turn<B>): void {
  if (turn.nowMs >= turn.room.retryLogAtMs) sendRecords(turn)
}
