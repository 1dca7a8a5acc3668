/**
 * How rooms come to a worker and leave it: what the main thread tells it of them, what an earlier thread has left, and what no thread can run. Worker thread.
 */
import { freeBlock, openBlocks } from '../src/memory/arena.js'
import { openFlags, openWords, send, toMain, wideWords } from '../src/memory/crossing.js'
import { atFollows } from '../src/memory/room-layout.js'
import { isAreaFree } from './area.js'
import { committedSeq } from './history.js'
import type { InboxHandlers } from './inbox.js'
import { followRecord } from './following.js'
import { attachRoom, openRoom, stepDown, takeOver, takeOverForeign } from './open-room.js'
import { isDeadlyToOpen, isDoomed } from './poison.js'
import type { Actor } from './room-actor.js'
import type { Worker } from './worker.js'

export function inboxHandlers(worker: Worker, stop: () => void): InboxHandlers {
  return {
    stop, fault: worker.flusher.fault, instance: worker.flusher.encoder.recordHead.instance,
    roomOf: (key) => worker.actors.get(key)?.room,
    open: (at, bytes) => open(worker, at, bytes),
    record: (room, at, bytes) => {
      const followed = followRecord(worker.flusher, room, at, bytes)
      if (followed === 'no-space') return false
      if (followed !== 'applied' && followed !== 'repeat') worker.teller.tell(toMain.behind, [room.key, ...wideWords(room.epoch), ...wideWords(committedSeq(room.arena, room.layout))], encode(followed))
      return true
    },
    own: (room, epoch) => !room.isFollowing || own(worker, worker.actors.get(room.key)!, epoch),
    follow: (room) => { if (!room.isFollowing) stepDown(worker.actors.get(room.key)!) },
    release: (key) => {
      // A followed room ends with this word; and a thread that died between its own and this answer has left a room that its successor took over.
      const block = worker.closed.get(key) ?? worker.actors.get(key)?.room.block
      if (block !== undefined) freeBlock(worker.arena, block)
      worker.closed.delete(key)
      worker.actors.delete(key)
    },
    refuse: (roomKey, connection, code) => worker.context.refuse(roomKey, connection, code),
    nack: (roomKey, slot, connection, number, code) => worker.teller.tell(toMain.nack, [roomKey, slot, ...wideWords(connection), number], encode(code)),
  }
}

/** A followed room is this instance's own; false if that has to wait until its area is free. */
function own(worker: Worker, actor: Actor, epoch: number): boolean {
  const { room } = actor, type = worker.types[room.type.number]
  if (room.type === type) {
    if (!takeOver(worker.context, actor, epoch)) room.closing ??= 'room-failed'
    return true
  }
  if (!isAreaFree(room)) return false
  const opened = takeOverForeign(worker.context, actor, epoch, type)
  if (typeof opened === 'string') worker.teller.tell(toMain.failed, [room.key], encode(opened))
  else {
    worker.actors.set(room.key, opened)
    tellOpen(worker, opened)
  }
  return true
}

const encoder = new TextEncoder()

const encode = (text: string): Uint8Array => encoder.encode(text)

function open(worker: Worker, at: number, bytes: number): void {
  const { arena, teller, types } = worker
  const word = at >>> 2
  const key = arena.u32[word], type = types[arena.u32[word + 1]], idBytes = arena.u32[word + 11]
  const known = worker.actors.get(key)
  if (known === undefined) {
    const idAt = at + openWords * 4
    const id = Buffer.from(arena.u8.slice(idAt, idAt + idBytes)).toString()
    const wide = (index: number): number => arena.u32[word + index] + arena.u32[word + index + 1] * 0x1_0000_0000
    const flags = arena.u32[word + 10], optionsAt = idAt + idBytes, matchAt = optionsAt + arena.u32[word + 12]
    const stored = worker.takeStored(key)
    // The thread before took what was stored with it: it has to be posted again.
    const opened = isDeadlyToOpen(arena, key) ? 'room-failed' : (flags & openFlags.stored) !== 0 && stored === undefined ? 'open-again'
      : openRoom(worker.context, {
        key, type, id, epoch: wide(2), parentEpoch: wide(4), forkSeq: wide(6), seq: wide(8), stays: (flags & openFlags.stays) !== 0, follows: (flags & openFlags.follows) !== 0,
        options: arena.u8.slice(optionsAt, matchAt), match: arena.u8.slice(matchAt, at + bytes), stored,
      })
    if (typeof opened === 'string') {
      for (const block of openBlocks(arena)) if (block.roomKey === key) freeBlock(arena, block)
      teller.tell(toMain.failed, [key], encode(opened))
      return
    }
    worker.actors.set(key, opened)
  }
  tellOpen(worker, worker.actors.get(key)!)
}

const tellOpen = ({ teller }: Worker, { room }: Actor): void => teller.tell(toMain.opened, [room.key, room.layout.base])

/** Takes over what an earlier thread left. A block whose room never committed is given back: its open request still stands in the ring. */
export function recoverRooms(worker: Worker): void {
  for (const block of openBlocks(worker.arena)) {
    if (isDoomed(worker.arena, block)) { worker.doomed.set(block.roomKey, block); continue }
    const actor = attachRoom(worker.context, block, worker.types)
    if (actor === undefined) {
      // Whoever follows it here asks its owner anew; of a room that was not open yet nobody is to hear.
      if (worker.arena.u32[(block.address + atFollows) >>> 2] === 1) worker.teller.tell(toMain.behind, [block.roomKey, 0, 0, 0, 0], encode('gap'))
      freeBlock(worker.arena, block)
      continue
    }
    worker.actors.set(block.roomKey, actor)
    // The thread before may have owed it.
    tellOpen(worker, actor)
  }
}

/** Rooms that end their threads are closed with all their sessions; what is stored of them stays. */
export function closeDoomed({ doomed, closed, output }: Worker): void {
  for (const [key, block] of doomed) {
    if (!send(output, toMain.closed, [key, 1], encode('room-poisoned'))) return
    doomed.delete(key)
    closed.set(key, block)
  }
}
