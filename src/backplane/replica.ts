/**
 * How a copy of a room moves on: by the next record, or to a whole other state; and how it asks for what it lacks. Pure.
 *
 * Invariant: `position` moves only by records that continue it, or with a whole state; what is given up by that is counted, to the record.
 */
import { countBeyond, extend, isOn, isSame, type Lineage, type Position } from '../base/lineage.js'
import type { HeardRecord, Turn } from './protocol.js'

/** Applies a record, if it is the next one. */
export function take<B>({ room, effects }: Turn<B>, { head, body }: HeardRecord<B>): 'applied' | 'repeat' | 'gap' {
  const { position } = room
  if (position === undefined) return 'gap'
  if (room.settings.continues(position, head)) {
    room.position = { epoch: head.epoch, seq: head.seq }
    room.lineage = extend(room.lineage, head)
    effects.push({ kind: 'apply', head, body })
    return 'applied'
  }
  return head.seq <= position.seq && isOn(room.lineage, head) ? 'repeat' : 'gap'
}

/** Goes over to another copy's position. Records that are not on its line are counted, and void. */
export function giveUpBeyond<B>({ room, effects }: Turn<B>, position: Position, lineage: Lineage): void {
  const had = room.position === undefined ? room.broken : { position: room.position, lineage: room.lineage }, before = had?.position
  if (before !== undefined && !isSame(before, position) && (before.seq > position.seq || !isOn(lineage, before))) {
    effects.push({ kind: 'discard', count: countBeyond(had!.lineage, before, lineage, position), from: before })
  }
  room.broken = undefined
  room.position = position
  room.lineage = lineage
}

const answerMs = (leaseMs: number): number => leaseMs / 4

export function ask<B>({ room, nowMs, effects }: Turn<B>, to: number, isFetch = false, tries = 1): void {
  if (to === 0 || to === room.settings.instance) return
  const { position, seen } = room
  room.question = { number: ++room.requests, of: to, untilMs: nowMs + answerMs(room.settings.leaseMs), tries }
  effects.push({ kind: 'ask', to, request: room.question.number, position, seen, isFetch })
}
