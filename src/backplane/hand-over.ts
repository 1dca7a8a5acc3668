/**
 * An owner lets go: to a chosen edge, or to nobody. Pure.
 *
 * Stop applying and flush; let the edge confirm that it stands where the room stopped; move the lease in one script. Before that script is sent
 * the owner may go back to running; afterwards never, whatever becomes of the answer.
 */
import { becomeEdge } from './follow.js'
import { upTo } from '../base/lineage.js'
import type { Of, Peer, Turn } from './protocol.js'
import { claimAnew } from './takeover.js'

/** The process is to end: an owner hands over or releases; nobody who drains claims. */
export function drain<B>(turn: Turn<B>): void {
  const { room, effects } = turn
  room.isDraining = true
  if (room.role === 'owning') return handOverToAny(turn)
  if (room.role !== 'gathering') return
  effects.push({ kind: 'release', epoch: room.epoch, stored: undefined })
  becomeEdge(turn, 0)
}

function handOverToAny<B>(turn: Turn<B>): void {
  const { room, nowMs } = turn
  const fits = ([, peer]: [number, Peer]): boolean =>
    peer.hasReplica && !peer.isDraining && peer.version >= room.settings.version && nowMs - peer.heardMs < room.settings.leaseMs
  const [best] = [...room.peers].filter(fits).sort(([, a], [, b]) => b.version - a.version || b.heardMs - a.heardMs)
  if (best === undefined || room.isDetached) return letGo(turn)
  beginHandOver(turn, best[0])
}

export function beginHandOver<B>({ room, nowMs, effects }: Turn<B>, to: number): void {
  if (room.role !== 'owning' || room.isDetached || !room.peers.has(to)) return
  room.role = 'handing'
  room.handing = { to, request: ++room.requests, stage: 'halting', untilMs: nowMs + room.settings.leaseMs }
  effects.push({ kind: 'halt' })
}

/** Time passes: what is flushed must be in the log before anybody is asked to confirm it. */
export function tickHanding<B>(turn: Turn<B>): void {
  const { room, nowMs, effects } = turn
  const handing = room.handing!, position = room.position!
  if (handing.stage === 'moving') return
  if (nowMs >= handing.untilMs || room.isDetached) return abort(turn)
  if (handing.stage !== 'halted' || (room.settings.durability === 'ops-sync' && room.loggedSeq < position.seq)) return
  handing.stage = 'confirming'
  effects.push({ kind: 'propose', to: handing.to, request: handing.request, position })
}

export function hearConfirmed<B>({ room, effects }: Turn<B>, { request }: Of<B, 'confirmed'>): void {
  const { handing } = room
  if (handing?.request !== request || handing.stage !== 'confirming') return
  handing.stage = 'moving'
  effects.push({ kind: 'handOver', to: handing.to, epoch: room.epoch, position: room.position! })
}

export function hearRefused<B>(turn: Turn<B>, { request }: Of<B, 'refused'>): void {
  if (turn.room.handing?.request === request && turn.room.handing.stage === 'confirming') abort(turn)
}

/** Nobody takes it: whoever drains stores and releases, whoever only moves a room goes on. */
function abort<B>(turn: Turn<B>): void {
  const { room, effects } = turn
  if (room.isDraining) return letGo(turn)
  room.role = 'owning'
  room.handing = undefined
  effects.push({ kind: 'goOn' })
  room.isPaused = false
}

export function letGo<B>(turn: Turn<B>): void {
  const { room, nowMs, effects } = turn, position = room.position!
  effects.push({ kind: 'release', epoch: room.epoch, stored: { position, lineage: upTo(room.lineage, position) } })
  becomeEdge(turn, 0)
  room.claimAtMs = nowMs + room.settings.leaseMs
}

/** The lease has moved. */
export function hearHandedOver<B>(turn: Turn<B>, epoch: number): void {
  const { room } = turn
  if (room.handing?.stage !== 'moving') return
  becomeEdge(turn, room.handing.to)
  room.seen = Math.max(room.seen, epoch)
}

/** Nobody knows whether it has. A claim makes sure that it does not move any more: the script refuses an epoch that is not the last. */
export function hearHandOverFailed<B>(turn: Turn<B>): void {
  if (turn.room.handing?.stage === 'moving') claimAnew(turn, turn.room.epoch)
}
