/**
 * The embedded store: the backplane of one process, in an LMDB file of its data folder. The only door to `lmdb`. Main thread; writes are batched
 * and synced by the library's own thread.
 *
 *   keys   room:{id}:snapshot   a stored value      room:{id}:epoch   JSON: the last epoch granted, the highest room version seen
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, openSync, readSync, closeSync, rmSync, fstatSync, statfsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { open, type RootDatabase } from 'lmdb'
import { wallMs } from '../base/clock.js'
import { KasagiError } from '../base/errors.js'
import { epochOf, isEpoch, type Backplane, type Claim, type StoredSnapshot } from './backplane.js'
import { takeDataFolder } from './data-folder.js'
import { readStored, writeStored } from './stored-value.js'

/** `killed`: the process that held the folder before, if it ended without letting go of it. */
export interface EmbeddedStore { readonly backplane: Backplane; readonly secret: string; readonly killed: number | undefined }

const snapshotKey = (roomId: string): string => `room:{${roomId}}:snapshot`
const epochKey = (roomId: string): string => `room:{${roomId}}:epoch`

/** What is known of a room's owners. */
interface Epoch { readonly epoch: number; readonly version: number }

interface Store {
  /** The folder. */
  readonly path: string
  readonly database: RootDatabase<Buffer, string>
  /** The end of the last call about each room: the next one waits for it. */
  readonly last: Map<string, Promise<unknown>>
}

/** Opens the store in `folder`; `none`: in a folder of its own that ends with the process. Throws KasagiError `data-folder` or `data-bad`, one line. */
export function openEmbeddedStore(folder: string): EmbeddedStore {
  const isKept = folder !== 'none'
  const data = takeDataFolder(isKept ? folder : mkdtempSync(join(tmpdir(), 'kasagi-data-')))
  const file = join(data.path, 'rooms')
  try {
    checkFile(file)
    const store: Store = { path: data.path, database: openDatabase(file), last: new Map() }
    const close = async (): Promise<void> => {
      await Promise.all(store.last.values())
      await store.database.close()
      data.release()
      if (!isKept) rmSync(data.path, { recursive: true, force: true })
    }
    return { secret: data.secret, killed: data.killed, backplane: backplaneOver(store, isKept ? folder : '', close) }
  } catch (error) {
    data.release()
    throw error
  }
}

function openDatabase(file: string): RootDatabase<Buffer, string> {
  try {
    // A write's promise resolves when it is on the disk.
    return open<Buffer, string>({ path: file, encoding: 'binary', noSubdir: true, overlappingSync: false, eventTurnBatching: false })
  } catch (error) {
    throw new KasagiError('data-folder', `cannot open ${file} (${reasonOf(error)})`)
  }
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).split('\n')[0]

function backplaneOver(store: Store, place: string, close: () => Promise<void>): Backplane {
  return {
    place, close,
    claim: (roomId, seen, version) => inOrder(store, roomId, () => claim(store, roomId, seen, version)),
    store: (roomId, snapshot) => inOrder(store, roomId, async () => {
      checkOwner(store, roomId, snapshot.epoch)
      await written(store, store.database.put(snapshotKey(roomId), Buffer.from(writeStored(snapshot))))
    }),
    remove: (roomId, epoch) => inOrder(store, roomId, async () => {
      checkOwner(store, roomId, epoch)
      await written(store, store.database.remove(snapshotKey(roomId)))
    }),
  }
}

/** Runs `call` behind the earlier calls about its room. */
function inOrder<T>({ last }: Store, roomId: string, call: () => Promise<T>): Promise<T> {
  const result = (last.get(roomId) ?? Promise.resolve()).then(call)
  const end = result.then(() => {}, () => {}).then(() => { if (last.get(roomId) === end) last.delete(roomId) })
  last.set(roomId, end)
  return result
}

async function claim(store: Store, roomId: string, seen: number, version: number): Promise<Claim> {
  const known = readEpoch(store, roomId), snapshot = readSnapshot(store, roomId)
  if (known.version > version) throw new KasagiError('version-older', `${roomId} was run by version ${known.version}, this is ${version}`)
  const epoch = epochOf(Math.max(known.epoch, snapshot?.epoch ?? 0), seen, wallMs(), 0)
  await written(store, store.database.put(epochKey(roomId), Buffer.from(JSON.stringify({ epoch, version } satisfies Epoch))))
  return { epoch, snapshot }
}

function readEpoch({ database }: Store, roomId: string): Epoch {
  const bytes = database.get(epochKey(roomId))
  if (bytes === undefined) return { epoch: 0, version: 0 }
  try {
    const { epoch, version } = JSON.parse(bytes.toString()) as Partial<Epoch>
    if (isEpoch(epoch) && Number.isSafeInteger(version)) return { epoch: epoch!, version: version! }
  } catch { /* told below */ }
  throw new KasagiError('data-bad', `what is stored as the epoch of ${roomId} is damaged; nothing was changed`)
}

function readSnapshot({ database }: Store, roomId: string): StoredSnapshot | undefined {
  const bytes = database.get(snapshotKey(roomId))
  if (bytes === undefined) return undefined
  const snapshot = readStored(bytes as unknown as Uint8Array)
  if (snapshot === undefined) throw new KasagiError('data-bad', `what is stored of ${roomId} is damaged; nothing was changed`)
  return snapshot
}

function checkOwner(store: Store, roomId: string, epoch: number): void {
  const known = readEpoch(store, roomId)
  if (known.epoch !== epoch) throw new KasagiError('stale', `${roomId} belongs to epoch ${known.epoch}, not ${epoch}`)
}

async function written({ path }: Store, put: Promise<boolean>): Promise<void> {
  try {
    await put
  } catch (error) {
    // The library tells the cause by a promise of its own, which ends the process if nobody listens.
    const { commitError } = error as { commitError?: Promise<unknown> }
    const cause = commitError === undefined ? error : await commitError.catch((inner: unknown) => inner)
    throw new KasagiError('store-failed', `${reasonOf(cause)}${spaceLeft(path)}`)
  }
}

const megabyte = 1024 ** 2
const spaceLowBytes = 64 * megabyte

/** The library says no more of a full disk than that writing failed. */
function spaceLeft(path: string): string {
  try {
    const { bavail, bsize } = statfsSync(path), bytes = bavail * bsize
    return bytes < spaceLowBytes ? ` (the disk of ${path} has ${Math.floor(bytes / megabyte)} MB left)` : ''
  } catch {
    return ''
  }
}

/*
 * LMDB maps its file and believes it: reading one that was cut short ends the process with SIGBUS. So both meta pages are read first, as
 * mdb.c of lmdb 3.5 draws them: a page header of 24 bytes, magic 0xBEEFC0DE, version, address, map size, two tree roots of 48 bytes whose first
 * word of the first is the page size, the last page, the transaction.
 */
const lmdbMagic = 0xbeefc0de
const atMagic = 24, atPageSize = 48, atLastPage = 144, atTransaction = 152, metaBytes = 160

function checkFile(file: string): void {
  if (!existsSync(file)) return
  const bad = (what: string): never => { throw new KasagiError('data-bad', `${file} ${what}; nothing was changed: move it away to begin anew, or bring its copy back`) }
  const handle = openSync(file, 'r')
  try {
    const { size } = fstatSync(handle)
    if (size === 0) return
    const first = readMeta(handle, 0) ?? bad('is no store of rooms')
    const second = readMeta(handle, first.pageBytes) ?? bad('is cut short or damaged')
    const newest = second.transaction > first.transaction ? second : first
    // It may be shorter if its last pages are free: then only reading all of it tells, and another process has to try.
    if (size < (newest.lastPage + 1) * first.pageBytes && !canBeRead(file)) bad('is cut short')
  } finally {
    closeSync(handle)
  }
}

function canBeRead(file: string): boolean {
  const library = pathToFileURL(createRequire(import.meta.url).resolve('lmdb')).href
  const script = `const { open } = (await import(${JSON.stringify(library)})).default ?? {}; const store = open({ path: ${JSON.stringify(file)}, encoding: 'binary', noSubdir: true, readOnly: true }); for (const { value } of store.getRange()) value.at(-1)`
  return spawnSync(process.execPath, ['--input-type=module', '-e', script], { stdio: 'ignore' }).status === 0
}

function readMeta(handle: number, at: number): { readonly pageBytes: number; readonly lastPage: number; readonly transaction: number } | undefined {
  const bytes = new Uint8Array(metaBytes), view = new DataView(bytes.buffer)
  if (readSync(handle, bytes, 0, metaBytes, at) < metaBytes || view.getUint32(atMagic, true) !== lmdbMagic) return undefined
  return {
    pageBytes: view.getUint32(atPageSize, true),
    lastPage: Number(view.getBigUint64(atLastPage, true)), transaction: Number(view.getBigUint64(atTransaction, true)),
  }
}
