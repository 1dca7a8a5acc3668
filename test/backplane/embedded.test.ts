/** The embedded store: every backplane's guarantees, and what its folder may have gone through. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openEmbeddedStore } from '../../src/backplane/embedded.js'
import { readStored } from '../../src/backplane/stored-value.js'
import { hashBytes } from '../../src/base/hash.js'
import { open, type Database, type Key } from 'lmdb'
import type { Backplane } from '../../src/backplane/backplane.js'
import { backplaneSuite, codeOf, granted, logged, snapshotAt } from '../suites/backplane.js'
import { until } from '../support/engine.js'

describe('embedded', () => {
  backplaneSuite('embedded', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'kasagi-store-'))
    let { backplane } = openEmbeddedStore(folder)
    const reopen = async (): Promise<Backplane> => { await backplane.close(); backplane = openEmbeddedStore(folder).backplane; return backplane }
    const damageIn = async <K extends Key>(rooms: Database<Buffer, K>, key: K, at: number): Promise<void> => {
      const bytes = rooms.get(key)!
      bytes[at] ^= 255
      await rooms.put(key, bytes)
    }
    return {
      backplane, reopen,
      damage: async (roomId, logged) => {
        await backplane.close()
        const store = open<Buffer, string>({ path: join(folder, 'rooms'), encoding: 'binary', noSubdir: true })
        if (logged === undefined) await damageIn(store, `room:{${roomId}}:snapshot`, 100)
        else await damageIn(store.openDB<Buffer, Key[]>({ name: 'ops', encoding: 'binary' }), [roomId, logged.epoch, logged.seq], 40)
        await store.close()
        backplane = openEmbeddedStore(folder).backplane
        return backplane
      },
      end: async () => { await backplane.close(); rmSync(folder, { recursive: true, force: true }) },
    }
  })
})

describe('stored values', () => {
  it('stored value: one of format 1 is read; its owner stored it, and nothing is known of those before', () => {
    const epoch = 2 ** 51, bytes = new Uint8Array(59), view = new DataView(bytes.buffer)
    const write = (): Uint8Array => {
      for (const [at, value] of [0x5653414b, 1, 0, bytes.length - 16].entries()) view.setUint32(at * 4, value, true)
      view.setUint32(8, hashBytes(bytes.subarray(16)), true)
      return bytes
    }
    for (const [at, value] of [epoch, 7, 14, 1e12, 3].entries()) view.setFloat64(16 + at * 8, value, true)
    bytes.set([1, 2, 3], 56)
    expect(readStored(write())).toEqual({
      by: epoch, snapshot: { epoch, seq: 7, tick: 14, ts: 1e12, version: 3, data: Uint8Array.of(1, 2, 3), lineage: [{ epoch, parentEpoch: 0, forkSeq: 0 }] },
    })
    view.setFloat64(16, 0, true)
    expect(readStored(write())).toBeUndefined()
  })
})

describe('the data folder', () => {
  let folder: string
  beforeEach(() => { folder = join(mkdtempSync(join(tmpdir(), 'kasagi-folder-')), 'data') })
  afterEach(() => rmSync(join(folder, '..'), { recursive: true, force: true }))
  const fill = async (): Promise<void> => {
    const { backplane } = openEmbeddedStore(folder)
    for (let n = 0; n < 20; n++) {
      const epoch = await granted(backplane, `a:${n}`)
      await backplane.store(`a:${n}`, epoch, snapshotAt(epoch, n, 50_000))
    }
    await backplane.close()
  }
  const problem = (): string => {
    try { openEmbeddedStore(folder) } catch (error) { return (error as Error).message }
    return ''
  }

  it('data folder: is made with a secret that only its owner can read, and that stays', async () => {
    const first = openEmbeddedStore(folder)
    expect(first.secret).toMatch(/^[0-9a-f]{64}$/)
    expect(statSync(join(folder, 'secret')).mode & 0o777).toBe(0o600)
    await first.backplane.close()
    const second = openEmbeddedStore(folder)
    expect(second.secret).toBe(first.secret)
    await second.backplane.close()
  })

  it('data folder: is no part of a repository', async () => {
    await openEmbeddedStore(join(folder, 'new')).backplane.close()
    expect(readFileSync(join(folder, 'new/.gitignore'), 'utf8')).toBe('*\n')
  })

  it('data folder: a second process is told who holds it, in one line; after a kill it is free', async () => {
    mkdirSync(folder)
    const holder = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000); console.log("up")'])
    await once(holder.stdout, 'data')
    const started = readFileSync(`/proc/${holder.pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ')[19]
    writeFileSync(join(folder, 'lock'), JSON.stringify({ pid: holder.pid, started }))
    expect(problem()).toBe(`data-folder: ${folder} is in use by process ${holder.pid}; stop it, or name another folder with --data`)
    holder.kill('SIGKILL')
    await once(holder, 'exit')
    await openEmbeddedStore(folder).backplane.close()
    expect(existsSync(join(folder, 'lock'))).toBe(false)
  })

  it('data folder: one that a process of another container holds is not taken, as long as that touches its lock', async () => {
    mkdirSync(folder)
    const lock = join(folder, 'lock'), holder = JSON.stringify({ pid: process.pid, started: '1', space: 'pid:[1]' }), past = new Date(Date.now() - 60_000)
    writeFileSync(lock, holder)
    expect(problem()).toBe(`data-folder: ${folder} is in use by process ${process.pid} of another container; stop it, or name another folder with --data`)
    utimesSync(lock, past, past)
    const { backplane, killed } = openEmbeddedStore(folder)
    expect(killed).toBe(process.pid)
    utimesSync(lock, past, past)
    await until(() => statSync(lock).mtimeMs > past.getTime() + 50_000, 'the new holder touches it')
    await backplane.close()
    expect([existsSync(lock), openEmbeddedStore(folder).killed]).toEqual([false, undefined])
  })

  it('data folder: a start that fails behind the lock lets go of it', async () => {
    mkdirSync(folder)
    writeFileSync(join(folder, 'secret'), 'nonsense')
    expect(problem()).toMatch(/^data-folder: .* is no secret of ours/)
    expect(existsSync(join(folder, 'lock'))).toBe(false)
  })

  it('data folder: a file that was cut short anywhere, or is none of ours, is told in one line and stays as it is', async () => {
    await fill()
    const file = join(folder, 'rooms'), { size } = statSync(file), whole = readFileSync(file)
    for (const bytes of [100, 4096, 8192, size - 4096, Math.floor(size / 2)]) {
      writeFileSync(file, new Uint8Array(whole))
      truncateSync(file, bytes)
      expect(problem(), `${bytes} of ${size} bytes`).toMatch(/^data-bad: .* (is cut short|is cut short or damaged|is no store of rooms); nothing was changed/)
      expect(statSync(file).size).toBe(bytes)
    }
    writeFileSync(file, 'hello '.repeat(2000))
    expect(problem()).toMatch(/^data-bad: .* is no store of rooms; nothing was changed: .*/)
    expect(readFileSync(file, 'utf8')).toBe('hello '.repeat(2000))
    writeFileSync(file, new Uint8Array(whole))
    expect(problem()).toBe('')
  })

  it('data folder: one that cannot be written is told in one line', () => {
    mkdirSync(join(folder, '..'), { recursive: true })
    writeFileSync(folder, 'a file, where a folder should be')
    expect(problem()).toMatch(/^data-folder: cannot write to .*; name another with --data, or --data none to keep nothing$/)
  })

  const canMount = process.getuid?.() === 0 && (() => {
    const at = mkdtempSync(join(tmpdir(), 'kasagi-mount-'))
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', at], { stdio: 'ignore' })
      execFileSync('umount', [at], { stdio: 'ignore' })
      return true
    } catch { return false } finally { rmSync(at, { recursive: true, force: true }) }
  })()

  it.runIf(canMount)('data folder: on a full disk a store fails with its cause, and what was stored before stays', async () => {
    mkdirSync(folder, { recursive: true })
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder])
    try {
      const { backplane } = openEmbeddedStore(folder)
      const epoch = await granted(backplane, 'a:1')
      await backplane.store('a:1', epoch, snapshotAt(epoch, 1, 100_000))
      await expect(backplane.store('a:1', epoch, snapshotAt(epoch, 2, 3_000_000))).rejects.toMatchObject({ code: 'store-failed', message: expect.stringMatching(/the disk of .* has 0 MB left/) as string })
      expect((await backplane.load('a:1'))?.seq).toBe(1)
      // What is not in the log leaves no hole behind it.
      const large = [2, 3, 4].map((seq) => codeOf(backplane.publish('a:1', { ...logged(epoch, seq), record: new Uint8Array(3_000_000) })))
      expect(await Promise.all(large)).toEqual(['store-failed', 'store-failed', 'store-failed'])
      for (const seq of [5, 4, 3]) expect(await codeOf(backplane.publish('a:1', logged(epoch, seq)))).toBe('log-gap')
      await backplane.close()
      execFileSync('mount', ['-o', 'remount,ro', folder])
      expect(problem()).toMatch(/^data-folder: cannot write to .*EROFS/)
    } finally {
      execFileSync('umount', ['-l', folder])
    }
  })
})
