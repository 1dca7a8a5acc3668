/**
 * The embedded store's file: checked, then opened. The only door to `lmdb`. Main thread.
 *
 *   rooms  room:{id}:snapshot   a stored value      room:{id}:epoch   JSON: the last epoch granted, the highest room version seen
 *   ops    [id, epoch, seq]     a stored value
 *
 * LMDB maps its file and believes it: reading one that was cut short ends the process with SIGBUS. So both meta pages are read first, as
 * mdb.c of lmdb 3.5 draws them: a page header of 24 bytes, magic 0xBEEFC0DE, version, address, map size, two tree roots of 48 bytes whose first
 * word of the first is the page size, the last page, the transaction.
 */
import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, fstatSync, openSync, readSync, statfsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { pathToFileURL } from 'node:url'
import { open, type Database, type RootDatabase } from 'lmdb'
import { KasagiError } from '../base/errors.js'

export type LogKey = [roomId: string, epoch: number, seq: number]

export interface StoreFile {
  readonly path: string
  readonly rooms: RootDatabase<Buffer, string>
  readonly ops: Database<Buffer, LogKey>
}

export const snapshotKey = (roomId: string): string => `room:{${roomId}}:snapshot`
export const epochKey = (roomId: string): string => `room:{${roomId}}:epoch`

/** Throws KasagiError `data-folder` or `data-bad`, one line. */
export function openStoreFile(file: string): StoreFile {
  checkFile(file)
  try {
    // A write's promise resolves when it is on the disk.
    const rooms = open<Buffer, string>({ path: file, encoding: 'binary', noSubdir: true, overlappingSync: false, eventTurnBatching: false })
    return { path: file, rooms, ops: rooms.openDB<Buffer, LogKey>({ name: 'ops', encoding: 'binary' }) }
  } catch (error) {
    throw new KasagiError('data-folder', `cannot open ${file} (${reasonOf(error)})`)
  }
}

/** Waits for a write. Rejects with KasagiError `store-failed`. */
export async function written({ path }: Pick<StoreFile, 'path'>, put: Promise<boolean>): Promise<void> {
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
    const folder = dirname(path), { bavail, bsize } = statfsSync(folder), bytes = bavail * bsize
    return bytes < spaceLowBytes ? ` (the disk of ${folder} has ${Math.floor(bytes / megabyte)} MB left)` : ''
  } catch {
    return ''
  }
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).split('\n')[0]

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
