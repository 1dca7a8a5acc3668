/**
 * The embedded store: the backplane of one process, in an LMDB file of its data folder (store-file.ts draws it). Main thread; writes are batched and
 * synced by the library's own thread. Leases do not end, since nobody else can be there: the folder is held by one process.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { wallMs } from '../base/clock.js'
import { KasagiError } from '../base/errors.js'
import { isNewer } from '../base/lineage.js'
import { logPageRecords } from '../base/limits.js'
import {
  epochOf, isBehind, isEpoch, isNext, StaleError, type Backplane, type BackplaneEvents, type DirectoryEntry, type Follower, type LoggedRecord, type Position,
  type StoredSnapshot,
} from './backplane.js'
import { takeDataFolder } from './data-folder.js'
import { appendRecord, continueLog, createEmbeddedLog, cutLog, lastLogged, readRecords, removeLog, type EmbeddedLog } from './embedded-log.js'
import { createRoomOrder, ended, runAlone, runBeside, type RoomOrder } from './room-order.js'
import { epochKey, openStoreFile, snapshotKey, written, type StoreFile } from './store-file.js'
import { readStored, writeStored, type StoredValue } from './stored-value.js'
import { createUnanswered, runCounted, type Unanswered } from './unanswered.js'

/** `killed`: the process that held the folder before, if it ended without letting go of it. */
export interface EmbeddedStore { readonly backplane: Backplane; readonly secret: string; readonly killed: number | undefined }

/** What is known of a room's owners. */
interface Epoch { readonly epoch: number; readonly version: number }

type Rooms = StoreFile['rooms']

interface Store extends StoreFile {
  readonly log: EmbeddedLog
  readonly order: RoomOrder
  readonly followers: Map<string, Set<Follower>>
  readonly directory: Map<string, Map<string, DirectoryEntry>>
  readonly unanswered: Unanswered
  events: BackplaneEvents | undefined
}

/** Opens the store in `folder`; `none`: in a folder of its own that ends with the process. Throws KasagiError `data-folder` or `data-bad`, one line. */
export function openEmbeddedStore(folder: string): EmbeddedStore {
  const isKept = folder !== 'none'
  const data = takeDataFolder(isKept ? folder : mkdtempSync(join(tmpdir(), 'kasagi-data-')))
  try {
    const store = createStore(openStoreFile(join(data.path, 'rooms')))
    const close = async (): Promise<void> => {
      await ended(store.order)
      await store.rooms.close()
      data.release()
      if (!isKept) rmSync(data.path, { recursive: true, force: true })
    }
    return { secret: data.secret, killed: data.killed, backplane: backplaneOver(store, isKept ? folder : '', close) }
  } catch (error) {
    data.release()
    throw error
  }
}

const createStore = (file: StoreFile): Store => ({
  ...file, log: createEmbeddedLog(file), order: createRoomOrder(), followers: new Map(), directory: new Map(), unanswered: createUnanswered(), events: undefined,
})

function backplaneOver(store: Store, place: string, close: () => Promise<void>): Backplane {
  const { order } = store
  return {
    place, close, instance: 0, leaseMs: Infinity,
    listen: (events) => { store.events = events },
    claim: (roomId, { seen, version }) => runAlone(order, roomId, async () => {
      const stored = storedPosition(store, roomId), previous = readEpoch(store.rooms, roomId).epoch
      // Copies that could outlive the room are nowhere.
      return { kind: 'granted', epoch: await grant(store, roomId, seen, version, 0), previous, stored, ended: 0 }
    }),
    renew: (roomId, at) => runAlone(order, roomId, () => renew(store, roomId, at)),
    release: (roomId, epoch) => runAlone(order, roomId, async () => {
      checkOwner(store.rooms, roomId, epoch)
      store.log.ends.delete(roomId)
    }),
    handOver: (roomId, { epoch, to, version }) => runAlone(order, roomId, async () => {
      checkOwner(store.rooms, roomId, epoch)
      return grant(store, roomId, epoch, version, to)
    }),
    load: (roomId) => runAlone(order, roomId, async () => readValue(store.rooms, roomId)?.snapshot),
    store: (roomId, epoch, snapshot) => runAlone(order, roomId, () => storeSnapshot(store, roomId, epoch, snapshot)),
    remove: (roomId, epoch) => runAlone(order, roomId, async () => {
      checkOwner(store.rooms, roomId, epoch)
      await written(store, store.rooms.batch(() => {
        void store.rooms.remove(snapshotKey(roomId))
        removeLog(store.log, roomId)
      }))
    }),
    publish: (roomId, { isLogged, ...record }) => publish(store, roomId, record, isLogged),
    readLog: (roomId, after) => readLog(store, roomId, after),
    follow: (roomId, follower) => follow(store, roomId, follower),
    send: (instance, bytes) => {
      if (instance !== 0) return false
      const sent = bytes.slice()
      queueMicrotask(() => store.events?.message(sent))
      return true
    },
    enlist: async (type, roomId, entry) => {
      const rooms = store.directory.get(type) ?? new Map<string, DirectoryEntry>()
      store.directory.set(type, rooms)
      if (entry === undefined) rooms.delete(roomId)
      else rooms.set(roomId, { ...entry, roomId, instance: 0 })
    },
    list: async (type) => [...store.directory.get(type)?.values() ?? []],
  }
}

async function grant({ path, rooms }: StoreFile, roomId: string, seen: number, version: number, instance: number): Promise<number> {
  const known = readEpoch(rooms, roomId)
  if (known.version > version) throw new KasagiError('version-older', `${roomId} was run by version ${known.version}, this is ${version}`)
  const epoch = epochOf(known.epoch, seen, wallMs(), instance)
  if (!Number.isSafeInteger(epoch)) throw new KasagiError('data-bad', `${roomId} has no epoch left above ${known.epoch} and ${seen}`)
  await writeEpoch({ path, rooms }, roomId, { epoch, version })
  return epoch
}

async function renew({ path, rooms }: StoreFile, roomId: string, { epoch, version }: Epoch): Promise<'renewed' | 'restored'> {
  const known = readEpoch(rooms, roomId)
  if (known.epoch === epoch) return 'renewed'
  if (known.epoch > epoch) checkOwner(rooms, roomId, epoch)
  await writeEpoch({ path, rooms }, roomId, { epoch, version: Math.max(version, known.version) })
  return 'restored'
}

async function storeSnapshot({ path, rooms, log }: Store, roomId: string, epoch: number, snapshot: StoredSnapshot): Promise<void> {
  checkOwner(rooms, roomId, epoch)
  const { seq } = snapshot, old = readValue(rooms, roomId), value = Buffer.from(writeStored({ by: epoch, snapshot }))
  if (old !== undefined && isBehind({ epoch, seq }, { epoch: old.by, seq: old.snapshot.seq })) {
    throw new StaleError(`${roomId} is stored at seq ${old.snapshot.seq} by epoch ${old.by} already, not at ${seq} by ${epoch}`, old.by, 0)
  }
  await written({ path }, rooms.batch(() => {
    void rooms.put(snapshotKey(roomId), value)
    cutLog(log, roomId, { epoch, seq: seq + 1 })
  }))
  continueLog(log, roomId, { epoch, seq })
}

/** Where snapshot and log lead to. */
function storedPosition({ rooms, log }: Store, roomId: string): Position | undefined {
  const snapshot = readValue(rooms, roomId)?.snapshot, last = lastLogged(log, roomId)
  if (last !== undefined && isNewer(last, snapshot)) return last
  return snapshot && { epoch: snapshot.epoch, seq: snapshot.seq }
}

function readEpoch(rooms: Rooms, roomId: string): Epoch {
  const bytes = rooms.get(epochKey(roomId))
  if (bytes === undefined) return { epoch: 0, version: 0 }
  try {
    const { epoch, version } = JSON.parse(bytes.toString()) as Partial<Epoch>
    if (isEpoch(epoch) && Number.isSafeInteger(version)) return { epoch: epoch!, version: version! }
  } catch { /* told below */ }
  throw new KasagiError('data-bad', `what is stored as the epoch of ${roomId} is damaged; nothing was changed`)
}

const writeEpoch = ({ path, rooms }: Pick<StoreFile, 'path' | 'rooms'>, roomId: string, epoch: Epoch): Promise<void> => written({ path }, rooms.put(epochKey(roomId), Buffer.from(JSON.stringify(epoch))))

function readValue(rooms: Rooms, roomId: string): StoredValue | undefined {
  const bytes = rooms.get(snapshotKey(roomId))
  if (bytes === undefined) return undefined
  const value = readStored(bytes as unknown as Uint8Array)
  if (value === undefined) throw new KasagiError('data-bad', `what is stored of ${roomId} is damaged; nothing was changed`)
  return value
}

function checkOwner(rooms: Rooms, roomId: string, epoch: number): void {
  const known = readEpoch(rooms, roomId)
  if (known.epoch !== epoch) throw new StaleError(`${roomId} belongs to epoch ${known.epoch}, not ${epoch}`, known.epoch, 0)
}

function publish(store: Store, roomId: string, { epoch, seq, record }: LoggedRecord, isLogged: boolean): Promise<void> {
  return runCounted(store.unanswered, record.length, () => {
    const bytes = record.slice()
    return runBeside(store.order, roomId, async () => {
      checkOwner(store.rooms, roomId, epoch)
      const inLog = isLogged ? appendRecord(store.log, roomId, { epoch, seq, record: bytes }) : undefined
      for (const follower of store.followers.get(roomId) ?? []) follower.message(bytes)
      await inLog
    })
  })
}

async function* readLog({ order, log }: Store, roomId: string, after: Position): AsyncGenerator<LoggedRecord> {
  for (let last: Position | undefined; ;) {
    const page = await runAlone(order, roomId, async () => readRecords(log, roomId, last ?? after))
    for (const record of page) {
      if (!isNext(last, record)) throw new KasagiError('data-bad', `the log of ${roomId} lacks what comes before ${record.epoch}-${record.seq}; nothing was changed`)
      yield record
      last = record
    }
    if (page.length < logPageRecords) return
  }
}

function follow({ followers }: Store, roomId: string, follower: Follower): () => void {
  const all = followers.get(roomId) ?? new Set()
  followers.set(roomId, all.add(follower))
  queueMicrotask(() => { if (all.has(follower)) follower.gap() })
  return () => {
    all.delete(follower)
    if (all.size === 0) followers.delete(roomId)
  }
}
