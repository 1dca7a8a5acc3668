/**
 * The main thread of an instance that runs rooms, without workers and clients: ownership, driver, outbox and the backplane are the engine's own; the worker's
 * half is a record that lies ready in an arena, and is published again and again.
 */
import type { Backplane } from '../../src/backplane/backplane.js'
import type { CatalogEntry } from '../../src/memory/crossing.js'
import type { RoomEntry } from '../../src/server/client.js'
import { createLinkHandlers, type Hearers } from '../../src/server/from-workers.js'
import { createHooks, followRoom } from '../../src/server/hooks.js'
import { createMetrics } from '../../src/server/metrics.js'
import { createTraffic, type Outbox } from '../../src/server/own-words.js'
import { createReports } from '../../src/server/reports.js'
import { createRooms, openRoomEntry } from '../../src/server/rooms.js'
import type { Sessions } from '../../src/server/refuse.js'
import { createWorkerLink } from '../../src/server/worker-link.js'
import { headAt } from '../../src/wire/envelope.js'
import { recordShape } from '../../src/wire/record.js'
import { until } from '../../test/support/until.js'

const arenaBytes = 64 * 1024 ** 2
/** Far behind the rings: nobody gives out blocks here. A room's block is its header alone. */
const atRecord = 32 * 1024 ** 2, atRooms = 40 * 1024 ** 2, headerBytes = 4096

export interface MainThread {
  readonly rooms: readonly RoomEntry[]
  /** The room's worker has published its next record. */
  flush(room: RoomEntry): void
}

/** `count` rooms that this process owns. */
export async function createMainThread(backplane: Backplane, type: CatalogEntry, count: number, record: Uint8Array): Promise<MainThread> {
  const link = createWorkerLink(0, arenaBytes), { arena } = link, rooms = createRooms([link], backplane), metrics = createMetrics()
  const silent = (): void => {}
  const outbox = { traffic: createTraffic(), backlogBytes: Infinity } as Outbox
  const hearers: Hearers = { rooms, outbox, sessions: {} as Sessions, metrics, reports: createReports({ debug: silent, info: silent, warn: silent, error: silent }, metrics), links: [link] }
  let base = atRooms
  Object.assign(rooms.driver.hooks, createHooks(hearers, () => false), {
    open: (room: RoomEntry) => { Object.assign(room, { isPlaced: true, state: 'open', base, begin: undefined }); base += headerBytes },
    // Nobody waits for a room here.
    ownerChanged: silent,
  })
  rooms.follow = followRoom(hearers)
  const entries = Array.from({ length: count }, (_, n) =>
    openRoomEntry(rooms, `${type.name}:${count}-${n}`, type, { options: new Uint8Array(0), match: new Uint8Array(0), stays: true, address: '', onlyStored: false, isMatched: false })!)
  await until(() => {
    for (const entry of entries) rooms.driver.happen(entry, { kind: 'time' })
    return entries.every(({ ownership }) => ownership.role === 'owning')
  }, `all of ${count} rooms are run`, 30_000)
  arena.u8.set(record, atRecord)
  const head = headAt(recordShape, atRecord) >>> 2, { record: hear } = createLinkHandlers(hearers)
  arena.u32[head + 13] = backplane.instance
  return {
    rooms: entries,
    flush: (room) => {
      const { epoch } = room.ownership, { parentEpoch, forkSeq } = room, words = [epoch, room.heardSeq + 1, 0, parentEpoch, forkSeq]
      for (const [index, word] of words.entries()) {
        arena.u32[head + index * 2] = word >>> 0
        arena.u32[head + index * 2 + 1] = Math.floor(word / 0x1_0000_0000)
      }
      hear(link, room.key, atRecord, record.length)
    },
  }
}
