/**
 * Clients that lack something: who joins, comes back, or fell behind asks the room's worker from its position, and is handed what that writes, no faster than
 * its socket takes it. Main thread.
 */
import { assert } from '../base/assert.js'
import { errorText } from '../base/error-texts.js'
import { isOn, leadsOver } from '../base/lineage.js'
import { moveLane, openLane } from '../backplane/forwarding.js'
import { monotonicMs } from '../base/clock.js'
import { snapshotKind, toWorker, wideWords } from '../memory/crossing.js'
import { atSnapshotBusy } from '../memory/room-layout.js'
import { storeWord } from '../memory/views.js'
import { readSectionPosition, roomStream, sessionStream } from '../wire/section.js'
import { writeNotice, writeOwn, writeResynced, writeWelcome } from '../wire/server-messages.js'
import { seat } from './broadcast.js'
import type { Client, RoomEntry } from './client.js'
import { tellSurely, wakeWorker, type SnapshotPost, type SnapshotTarget, type WorkerLink } from './worker-link.js'
import { send, sendOwn, type Outbox } from './own-words.js'

/** A client that is live again hears what became of its inputs meanwhile. */
function payOwed(outbox: Outbox, client: Client): void {
  const nacks = client.owedNacks
  if (client.owedThrough <= client.appliedThrough && nacks.length === 0) return
  client.appliedThrough = Math.max(client.appliedThrough, client.owedThrough)
  client.owedNacks = []
  sendOwn(outbox, client, nacks, 0)
}

/** Takes a snapshot, or missed sections, out of the room's area, and begins to hand it to those it is for. */
export function deliverSnapshot(outbox: Outbox, room: RoomEntry, post: SnapshotPost): void {
  const { arena } = room.link
  const shared: Uint8Array[] = []
  const own = new Map<number, Uint8Array[]>()
  const ordered: Uint8Array[] = []
  for (let at = post.address, end = at + post.bytes; at < end;) {
    const bytes = arena.u32[at >>> 2], stream = arena.u32[(at >>> 2) + 1]
    // Whoever wrote over an area that was posted has left lengths that lead anywhere, back to where they stand among them.
    assert(bytes > 0 && bytes <= end - at - 8, 'outbox: a snapshot is what was posted')
    const copy = arena.u8.slice(at + 8, at + 8 + bytes)
    ordered.push(copy)
    if (stream === roomStream) shared.push(copy)
    else own.set(stream, [...own.get(stream) ?? [], copy])
    at += 8 + (bytes + 7 & ~7)
  }
  storeWord(arena, room.base + atSnapshotBusy, 0)
  wakeWorker(room.link)
  const isMissed = post.kind === snapshotKind.sections
  for (const target of post.targets) {
    const client = room.clients.get(target.connection)
    if (client === undefined || client.state === 'gone' || client.state === 'live' || client.state === 'catching') continue
    begin(outbox, room, client, target, post, isMissed ? ordered : [...shared, ...own.get(sessionStream(target.slot)) ?? []])
  }
}

/** A Welcome to those who join or come back; what follows it is told to whoever has been here before. */
function begin(outbox: Outbox, room: RoomEntry, client: Client, target: SnapshotTarget, post: SnapshotPost, chunks: Uint8Array[]): void {
  const isJoin = client.state === 'joining', isKnown = !isJoin || client.request?.resume !== undefined
  const position = { epoch: post.epoch, seq: post.seq }
  client.asked = false
  seat(room, target.slot, client)
  client.owedThrough = target.lastInput
  if (isJoin) {
    client.appliedThrough = target.lastInput
    openLane(room.forwarding, client.connection, target.lastInput, client.request?.resume?.lastSent ?? 0, monotonicMs())
  } else moveLane(room.forwarding, client.connection, target.lastInput, monotonicMs())
  if (isJoin) outbox.onWelcome(client)
  if (isKnown) outbox.onResync(post.kind === snapshotKind.sections ? 'sections' : 'snapshot')
  // Whoever has just come back reads it from the Welcome.
  const rewound = !isJoin && client.at.epoch !== 0 && !leadsOver({ ...room, epoch: post.epoch }, client.at) && !isOn(room.ownership.lineage, client.at)
  client.at = position
  client.chunks = post.kind === snapshotKind.sections ? asFrames(client, chunks) : chunks
  client.state = 'catching'
  if (isJoin) client.issued = client.generation = target.generation + 1
  client.socket.cork(() => {
    if (isJoin) send(outbox, client, welcome(outbox, room, client, target, post))
    if (isJoin && room.isDetached) send(outbox, client, writeNotice('detached', errorText('detached')))
    if (isKnown) send(outbox, client, writeResynced({ kind: post.kind, rewound, ...position }))
    handOut(outbox, client)
  })
}

/** Missed sections as the frames that they were part of: whoever got but a part of one would never ask for the rest. What an Own says of inputs, the client knows. */
function asFrames({ appliedThrough: lastInput, durableTold: durableSeq }: Client, sections: readonly Uint8Array[]): Uint8Array[] {
  const bySeq = new Map<number, { readonly epoch: number; readonly sections: Uint8Array[] }>()
  for (const section of sections) {
    const { epoch, seq } = readSectionPosition(section)
    if (!bySeq.has(seq)) bySeq.set(seq, { epoch, sections: [] })
    bySeq.get(seq)!.sections.push(section)
  }
  return [...bySeq].flatMap(([seq, { epoch, sections }]) => sections.length === 1 ? sections : [writeOwn({ epoch, seq, durableSeq, lastInput, wanted: 0, sections: sections.length }), ...sections])
}

const welcome = (outbox: Outbox, room: RoomEntry, client: Client, target: SnapshotTarget, post: SnapshotPost): Uint8Array => writeWelcome({
  epoch: post.epoch, seq: post.seq, parentEpoch: room.parentEpoch, forkSeq: room.forkSeq, tick: post.tick,
  tickHz: room.type.tickHz, flushHz: room.type.flushHz, roomId: room.id, sessionId: client.sessionId, slot: client.slot, lastInput: target.lastInput,
  schemaHash: room.type.hash, schema: client.wantsTables ? JSON.stringify(room.type.tables) : '', generation: client.issued,
  token: outbox.tokens.issue({ roomId: room.id, sessionId: client.sessionId, userId: client.userId, generation: client.issued }),
})

/** Sends chunks while the socket takes them; behind the last one the client is live, or asks for what came meanwhile. */
export function handOut(outbox: Outbox, client: Client): void {
  while (client.chunks.length > 0 && client.socket.buffered() <= outbox.backlogBytes) send(outbox, client, client.chunks.shift()!)
  if (client.chunks.length > 0 || client.state !== 'catching' || client.room === undefined) return
  if (client.at.seq !== client.room.at.seq) {
    client.state = 'behind'
    return askResync(client)
  }
  client.state = 'live'
  payOwed(outbox, client)
}

/** The client's position goes to the room's worker, which answers with what is missing, or a snapshot. */
export function askResync(client: Client): void {
  const { room } = client
  if (room === undefined || client.asked || room.base === 0) return
  client.asked = true
  tellSurely(room.link, toWorker.resync, [room.key, client.slot, ...wideWords(client.connection), ...wideWords(client.at.epoch), ...wideWords(client.at.seq)])
}

/** The socket has taken what was queued. */
export function resumeClient(outbox: Outbox, client: Client): void {
  if (client.state === 'catching') handOut(outbox, client)
  else if (client.state === 'behind' && !client.asked && client.socket.buffered() === 0) askResync(client)
}

/** A worker has a successor: what its predecessor was asked and had not answered is asked again. */
export function askAgain(link: WorkerLink, rooms: Iterable<RoomEntry>): void {
  for (const room of rooms) {
    if (room.link !== link) continue
    storeWord(link.arena, room.base + atSnapshotBusy, 0)
    for (const client of room.bySlot.values()) {
      if (!client.asked) continue
      client.asked = false
      askResync(client)
    }
  }
}
