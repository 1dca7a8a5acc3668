/**
 * The data folder: one process at a time, and nothing in it that is not ours. Main thread, at start and stop only.
 *
 *   lock         JSON: the process that holds the folder, and when it started; touched every second
 *   secret       the key that signs resume tokens, unless KASAGI_SECRET gives one
 *   rooms        the store (embedded.ts)
 *   .gitignore   all of it: players' data and a secret belong in no repository
 */
import { randomBytes } from 'node:crypto'
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, readFileSync, readlinkSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { wallMs } from '../base/clock.js'
import { KasagiError } from '../base/errors.js'

export interface DataFolder {
  readonly path: string
  /** Signs resume tokens across restarts. */
  readonly secret: string
  /** The process that held the folder before, and ended without letting go of it. */
  readonly killed: number | undefined
  /** Lets go of the folder. */
  release(): void
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).split('\n')[0]

/** Takes the folder, and makes it if it is absent. Throws KasagiError `data-folder`, one line. */
export function takeDataFolder(path: string): DataFolder {
  const lock = join(path, 'lock')
  try {
    // Node loops for ever where a parent is there and yet takes no folder, as /proc: it is asked for missing parents only.
    if (!existsSync(path)) {
      // Rooms are kept with all their secrets.
      mkdirSync(path, { recursive: !existsSync(dirname(resolve(path))), mode: 0o700 })
      writeFileSync(join(path, '.gitignore'), '*\n')
    }
    const killed = takeLock(path, lock)
    const touching = setInterval(touch, touchEveryMs, lock).unref()
    const release = (): void => { clearInterval(touching); rmSync(lock, { force: true }) }
    try {
      return { path, killed, secret: secretOf(path), release }
    } catch (error) {
      release()
      throw error
    }
  } catch (error) {
    if (error instanceof KasagiError) throw error
    throw new KasagiError('data-folder', `cannot write to ${path} (${reasonOf(error)}); name another with --data, or --data none to keep nothing`)
  }
}

/** `space`: where its number means this process; another container has processes of the same numbers. */
interface Holder { readonly pid: number; readonly started: string; readonly space: string }

/** Gives the process that did not let go of it. */
function takeLock(path: string, lock: string): number | undefined {
  const holder = existsSync(lock) ? readHolder(lock) : undefined
  if (existsSync(lock)) {
    if (holder !== undefined && isAlive(holder, lock)) {
      throw new KasagiError('data-folder', `${path} is in use by process ${holder.pid}${holder.space === ownSpace() ? '' : ' of another container'}; stop it, or name another folder with --data`)
    }
    // Its process was killed.
    rmSync(lock)
  }
  const file = openSync(lock, 'wx')
  writeFileSync(file, JSON.stringify({ pid: process.pid, started: startOf(process.pid), space: ownSpace() } satisfies Holder))
  closeSync(file)
  return holder?.pid
}

function readHolder(lock: string): Holder | undefined {
  try {
    const { pid, started, space = ownSpace() } = JSON.parse(readFileSync(lock, 'utf8')) as Partial<Holder>
    return Number.isInteger(pid) && typeof started === 'string' ? { pid: pid!, started, space } : undefined
  } catch {
    return undefined
  }
}

/** A holder touches its lock every second: who cannot see the process looks at that. */
const touchEveryMs = 1000, touchAgeMsMax = 5000

const isAlive = ({ pid, started, space }: Holder, lock: string): boolean =>
  space === ownSpace() ? startOf(pid) === started : wallMs() - statSync(lock).mtimeMs < touchAgeMsMax

function touch(lock: string): void {
  try {
    const now = new Date(wallMs())
    utimesSync(lock, now, now)
  } catch { /* the disk is gone: the store tells of it */ }
}

/** The namespace that process numbers belong to; empty where there is none. */
const ownSpace = (): string => existsSync('/proc/self/ns/pid') ? readlinkSync('/proc/self/ns/pid') : ''

/** When a process began, in a text that no later process of the same number has; empty if it is gone. */
function startOf(pid: number): string {
  try {
    // Field 22 of proc(5)'s stat; the second field is in parentheses and may hold spaces.
    if (existsSync('/proc/self/stat')) return readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ')[19]
    process.kill(pid, 0)
    return 'alive'
  } catch {
    return ''
  }
}

const secretPattern = /^[0-9a-f]{64}$/

function secretOf(path: string): string {
  const file = join(path, 'secret')
  if (!existsSync(file)) writeFileSync(file, randomBytes(32).toString('hex'), { mode: 0o600 })
  chmodSync(file, 0o600)
  const secret = readFileSync(file, 'utf8').trim()
  if (!secretPattern.test(secret)) throw new KasagiError('data-folder', `${file} is no secret of ours; move it away to get a new one`)
  return secret
}
