/** What every backplane guarantees (src/backplane/backplane.ts), as facts about one that is made anew for each of them. */
import { afterEach, beforeEach, expect, it } from 'vitest'
import { StaleError, type Backplane, type LoggedRecord, type Position, type StoredSnapshot, type Take } from '../../src/backplane/backplane.js'
import { lineageForksMax, type Fork } from '../../src/base/lineage.js'

export interface BackplaneUnderTest {
  readonly backplane: Backplane
  /** Another one over the same data, as after a restart. */
  reopen(): Promise<Backplane>
  /** Changes a byte of what is stored of a room: of its snapshot, or of a record of its log. Gives back a backplane over it. */
  damage(roomId: string, logged?: Position): Promise<Backplane>
  end(): Promise<void>
}

export const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'done', (error: { code: string }) => error.code)

/** What a refused write was told of who has the room. */
export async function staleOf(promise: Promise<unknown>): Promise<{ by: number; owner: number }> {
  const error: unknown = await promise.then(() => 'done', (reason: unknown) => reason)
  if (!(error instanceof StaleError) || error.code !== 'stale') throw new Error(`not refused as stale: ${String(error)}`)
  return { by: error.by, owner: error.owner }
}

/** The epoch of a claim that nobody stands against. */
export async function granted(backplane: Backplane, roomId: string, seen = 0, version = 1, take: Take = 'orphaned'): Promise<number> {
  const claim = await backplane.claim(roomId, { seen, version, take })
  if (claim.kind !== 'granted') throw new Error(`${roomId} is not granted: ${JSON.stringify(claim)}`)
  return claim.epoch
}

export const snapshotAt = (epoch: number, seq: number, bytes = 100): StoredSnapshot =>
  ({ data: new Uint8Array(bytes).fill(seq), epoch, seq, lineage: epoch === 0 ? [] : [{ epoch, parentEpoch: 0, forkSeq: 0 }], tick: seq * 2, ts: 1e12 + seq, version: 1 })

/** Bytes of every value, zero and line ends among them. */
export const recordAt = (epoch: number, seq: number, bytes = 300): LoggedRecord =>
  ({ epoch, seq, record: Uint8Array.from({ length: bytes }, (_, at) => at * 7 + seq) })

export const logged = (epoch: number, seq: number): LoggedRecord & { isLogged: boolean } => ({ ...recordAt(epoch, seq), isLogged: true })
export const unlogged = (epoch: number, seq: number): LoggedRecord & { isLogged: boolean } => ({ ...recordAt(epoch, seq), isLogged: false })

export async function logOf(backplane: Backplane, roomId: string, after: Position = { epoch: 0, seq: 0 }): Promise<LoggedRecord[]> {
  const records: LoggedRecord[] = []
  for await (const record of backplane.readLog(roomId, after)) records.push({ ...record, record: Uint8Array.from(record.record) })
  return records
}

const seqsOf = async (backplane: Backplane, roomId: string, after?: Position): Promise<number[]> => (await logOf(backplane, roomId, after)).map(({ seq }) => seq)

export function backplaneSuite(name: string, make: () => Promise<BackplaneUnderTest>): void {
  let under: BackplaneUnderTest, backplane: Backplane
  beforeEach(async () => { under = await make(); backplane = under.backplane })
  afterEach(() => under.end())

  it(`${name}: each claim grants a higher epoch, above the clock and above what the claimant has seen`, async () => {
    let last = 0
    for (const seen of [0, 0, 2 ** 51, 0]) {
      const epoch = await granted(backplane, 'a:1', seen)
      expect(epoch).toBeGreaterThan(last)
      expect(epoch).toBeGreaterThan(seen)
      expect(epoch).toBeGreaterThanOrEqual(last === 0 ? Date.now() * 1024 - 1024 * 60_000 : 0)
      expect(epoch % 1024).toBe(backplane.instance % 1024)
      expect(Number.isSafeInteger(epoch)).toBe(true)
      last = epoch
    }
    expect(await codeOf(backplane.claim('a:1', { seen: Number.MAX_SAFE_INTEGER, version: 1, take: 'orphaned' }))).toBe('data-bad')
    expect(await codeOf(backplane.release('a:1', last))).toBe('done')
  })

  it(`${name}: epochs go on growing after a restart, and after what was stored is removed`, async () => {
    const epoch = await granted(backplane, 'a:1', 2 ** 51)
    await backplane.remove('a:1', epoch)
    await backplane.release('a:1', epoch)
    expect(await granted(await under.reopen(), 'a:1')).toBeGreaterThan(epoch)
  })

  it(`${name}: what was stored last comes back byte for byte, also after a restart`, async () => {
    const epoch = await granted(backplane, 'a:1')
    expect(await backplane.load('a:1')).toBeUndefined()
    for (const seq of [1, 2, 3]) await backplane.store('a:1', epoch, snapshotAt(epoch, seq, 300_000))
    await backplane.store('a:1', epoch, snapshotAt(epoch, 4))
    const stored = await (await under.reopen()).load('a:1')
    expect({ ...stored, data: [...stored!.data] }).toEqual({ ...snapshotAt(epoch, 4), data: [...snapshotAt(epoch, 4).data] })
  })

  it(`${name}: rooms do not mix`, async () => {
    const names = ['a:1', 'a:12', 'a:1}:ops', 'a:1}:snapshot', 'a:ü {}'], epochs = new Map<string, number>()
    for (const [at, id] of names.entries()) {
      epochs.set(id, await granted(backplane, id))
      await backplane.store(id, epochs.get(id)!, snapshotAt(epochs.get(id)!, at))
      await backplane.publish(id, logged(epochs.get(id)!, at + 1))
    }
    await backplane.remove('a:12', epochs.get('a:12')!)
    for (const [at, id] of names.entries()) {
      expect((await backplane.load(id))?.seq, id).toBe(id === 'a:12' ? undefined : at)
      expect(await seqsOf(backplane, id), id).toEqual(id === 'a:12' ? [] : [at + 1])
    }
  })

  it(`${name}: who does not hold the last epoch can write nothing, and nobody sees what it tried`, async () => {
    const old = await granted(backplane, 'a:1'), now = await granted(backplane, 'a:1')
    await backplane.store('a:1', now, snapshotAt(now, 7))
    const heard = await follow(backplane, 'a:1')
    for (const epoch of [old, now + 1, 0]) {
      expect(await codeOf(backplane.store('a:1', epoch, snapshotAt(epoch, 9)))).toBe('stale')
      expect(await codeOf(backplane.remove('a:1', epoch))).toBe('stale')
      expect(await codeOf(backplane.release('a:1', epoch))).toBe('stale')
      expect(await codeOf(backplane.publish('a:1', logged(epoch, 8)))).toBe('stale')
      expect(await codeOf(backplane.publish('a:1', unlogged(epoch, 8)))).toBe('stale')
      expect(await codeOf(backplane.handOver('a:1', { epoch, seq: 8, to: 3, version: 1 }))).toBe('stale')
    }
    for (const call of [backplane.renew('a:1', { epoch: old, seq: 8, version: 1 }), backplane.store('a:1', old, snapshotAt(old, 9)), backplane.publish('a:1', logged(old, 8))])
      expect(await staleOf(call)).toEqual({ by: now, owner: backplane.instance })
    await backplane.publish('a:1', logged(now, 8))
    await heard.count(1)
    expect((await backplane.load('a:1'))?.seq).toBe(7)
    expect(await logOf(backplane, 'a:1')).toEqual([recordAt(now, 8)])
    expect(heard.messages).toEqual([recordAt(now, 8).record])
    heard.stop()
  })

  it(`${name}: calls about a room take effect in order, though nobody waits`, async () => {
    const epoch = await granted(backplane, 'a:1')
    const calls = [1, 2, 3].flatMap((seq) => [backplane.publish('a:1', logged(epoch, seq)), backplane.store('a:1', epoch, snapshotAt(epoch, seq - 1))])
    const seqs = seqsOf(backplane, 'a:1'), loaded = backplane.load('a:1')
    const claimed = backplane.claim('a:1', { seen: 0, version: 1, take: 'orphaned' })
    const late = [codeOf(backplane.store('a:1', epoch, snapshotAt(epoch, 4))), codeOf(backplane.publish('a:1', logged(epoch, 4)))]
    await Promise.all(calls)
    expect((await loaded)?.seq).toBe(2)
    expect(await seqs).toEqual([3])
    expect((await claimed).kind).toBe('granted')
    expect(await Promise.all(late)).toEqual(['stale', 'stale'])
    const next = await granted(backplane, 'a:2')
    const published = Array.from({ length: 100 }, (_, at) => backplane.publish('a:2', logged(next, at + 1)))
    expect((await seqsOf(backplane, 'a:2')).length).toBe(100)
    await Promise.all(published)
  })

  it(`${name}: damaged data are refused as data-bad, and stay as they are`, async () => {
    const epoch = await granted(backplane, 'a:1')
    await backplane.store('a:1', epoch, snapshotAt(epoch, 5))
    let damaged = await under.damage('a:1')
    for (let n = 0; n < 2; n++) expect(await codeOf(damaged.load('a:1'))).toBe('data-bad')
    damaged = await under.damage('a:1')
    expect((await damaged.load('a:1'))?.seq).toBe(5)
  })

  it(`${name}: a lower version than the room has known may not claim it, nor be handed it`, async () => {
    const epoch = await granted(backplane, 'a:1', 0, 3)
    expect(await codeOf(backplane.claim('a:1', { seen: 0, version: 2, take: 'orphaned' }))).toBe('version-older')
    expect(await codeOf(backplane.handOver('a:1', { epoch, seq: 0, to: 5, version: 2 }))).toBe('version-older')
    await backplane.store('a:1', epoch, snapshotAt(epoch, 1))
    await granted(backplane, 'a:1', 0, 3)
  })

  it(`${name}: a snapshot is refused if its owner has stored a later one, the same again is not; what a later owner stores replaces it`, async () => {
    const epoch = await granted(backplane, 'a:1')
    await backplane.store('a:1', epoch, snapshotAt(epoch, 5))
    expect(await staleOf(backplane.store('a:1', epoch, snapshotAt(epoch, 4)))).toEqual({ by: epoch, owner: backplane.instance })
    await backplane.store('a:1', epoch, snapshotAt(epoch, 5))
    const next = await granted(backplane, 'a:1')
    await backplane.store('a:1', next, snapshotAt(epoch, 3))
    expect(await staleOf(backplane.store('a:1', next, snapshotAt(next, 2)))).toEqual({ by: next, owner: backplane.instance })
    await backplane.store('a:1', next, snapshotAt(next, 4))
    await backplane.store('a:1', await granted(backplane, 'a:1'), snapshotAt(next, 2))
    expect(await backplane.load('a:1')).toMatchObject({ epoch: next, seq: 2 })
  })

  it(`${name}: a snapshot may stand at the position of an earlier owner, or before any; it comes back with the forks that lead there`, async () => {
    const first = await granted(backplane, 'a:1'), second = await granted(backplane, 'a:1')
    await backplane.store('a:1', second, snapshotAt(0, 0))
    expect(await backplane.load('a:1')).toMatchObject({ epoch: 0, seq: 0, lineage: [] })
    await backplane.store('a:1', second, snapshotAt(first, 5))
    const lineage = [{ epoch: first, parentEpoch: 0, forkSeq: 0 }, { epoch: second, parentEpoch: first, forkSeq: 5 }]
    expect(await backplane.load('a:1')).toMatchObject({ epoch: first, seq: 5, lineage: lineage.slice(0, 1) })
    await backplane.store('a:1', second, { ...snapshotAt(second, 6), lineage })
    const { data, ...rest } = (await (await under.reopen()).load('a:1'))!
    expect({ ...rest, data: Uint8Array.from(data) }).toEqual({ ...snapshotAt(second, 6), lineage })
  })

  it(`${name}: of more forks than are kept, the newest come back; forks that do not lead to the snapshot are not stored`, async () => {
    const epoch = await granted(backplane, 'a:1'), count = lineageForksMax + 5
    const lineage = Array.from({ length: count }, (_, at): Fork => ({ epoch: epoch - count + 1 + at, parentEpoch: at === 0 ? 0 : epoch - count + at, forkSeq: at * 2 }))
    await backplane.store('a:1', epoch, { ...snapshotAt(epoch, 9999), lineage })
    expect((await backplane.load('a:1'))?.lineage).toEqual(lineage.slice(-lineageForksMax))
    const [fork] = lineage.slice(-1)
    for (const wrong of [[], [{ ...fork, epoch: epoch - 1 }], [fork, fork], [{ ...fork, forkSeq: -1 }], [{ ...fork, parentEpoch: epoch }]])
      await expect((async () => backplane.store('a:1', epoch, { ...snapshotAt(epoch, 10_000), lineage: wrong }))()).rejects.toThrow('the forks that lead to it')
    expect((await backplane.load('a:1'))?.seq).toBe(9999)
  })

  it(`${name}: who is granted a room is told which epoch was granted before, and how far snapshot and log lead`, async () => {
    const claim = async (): Promise<{ epoch: number; previous: number; stored: Position | undefined }> => {
      const { kind, ...answer } = await backplane.claim('a:1', { seen: 0, version: 1, take: 'free' })
      return { kind, ...answer } as unknown as { epoch: number; previous: number; stored: Position | undefined }
    }
    const first = await claim()
    expect(first).toMatchObject({ kind: 'granted', previous: 0, stored: undefined })
    await backplane.publish('a:1', logged(first.epoch, 1))
    const second = await claim()
    expect(second).toMatchObject({ previous: first.epoch, stored: { epoch: first.epoch, seq: 1 } })
    await backplane.store('a:1', second.epoch, snapshotAt(first.epoch, 1))
    const third = await claim()
    expect(third).toMatchObject({ previous: second.epoch, stored: { epoch: first.epoch, seq: 1 } })
    await backplane.store('a:1', third.epoch, snapshotAt(third.epoch, 2))
    for (const seq of [3, 4]) await backplane.publish('a:1', logged(third.epoch, seq))
    expect((await claim()).stored).toEqual({ epoch: third.epoch, seq: 4 })
    expect((await claim()).stored).toEqual({ epoch: third.epoch, seq: 4 })
    const last = await claim()
    await backplane.store('a:1', last.epoch, snapshotAt(third.epoch, 3))
    expect((await claim()).stored).toEqual({ epoch: third.epoch, seq: 3 })
  })

  it(`${name}: a room that was never owned, or was released, is free`, async () => {
    const epoch = await granted(backplane, 'a:1', 0, 1, 'free')
    await backplane.release('a:1', epoch)
    expect(await granted(backplane, 'a:1', 0, 1, 'free')).toBeGreaterThan(epoch)
  })

  it(`${name}: a stored snapshot takes with it what earlier owners logged beyond it; its own owner's records behind it stay`, async () => {
    const first = await granted(backplane, 'a:1')
    for (let seq = 1; seq <= 9; seq++) await backplane.publish('a:1', logged(first, seq))
    const second = await granted(backplane, 'a:1')
    for (const seq of [6, 7]) await backplane.publish('a:1', logged(second, seq))
    await backplane.store('a:1', second, snapshotAt(first, 5))
    expect(await logOf(backplane, 'a:1')).toEqual([recordAt(second, 6), recordAt(second, 7)])
    const third = await granted(backplane, 'a:1')
    await backplane.store('a:1', third, snapshotAt(second, 6))
    expect(await logOf(backplane, 'a:1')).toEqual([])
    expect(await codeOf(backplane.publish('a:1', logged(third, 8)))).toBe('log-gap')
    await backplane.publish('a:1', logged(third, 7))
  })

  it(`${name}: a lease is renewed by its owner; one that the store has forgotten is put back`, async () => {
    const epoch = await granted(backplane, 'a:1')
    expect(await backplane.renew('a:1', { epoch, seq: 4, version: 1 })).toBe('renewed')
    // As after a store that came back without its last second: its owner knows of a later epoch.
    const later = epoch + 1024
    expect(await backplane.renew('a:1', { epoch: later, seq: 5, version: 2 })).toBe('restored')
    expect(await codeOf(backplane.publish('a:1', unlogged(epoch, 6)))).toBe('stale')
    expect(await codeOf(backplane.claim('a:1', { seen: 0, version: 1, take: 'orphaned' }))).toBe('version-older')
    await backplane.publish('a:1', unlogged(later, 6))
    expect(await backplane.renew('a:9', { epoch: later, seq: 1, version: 1 })).toBe('restored')
    expect(await granted(backplane, 'a:9')).toBeGreaterThan(later)
  })

  it(`${name}: the log gives back every record in order, byte for byte, also after a restart`, async () => {
    const first = await granted(backplane, 'a:1')
    await Promise.all(Array.from({ length: 1200 }, (_, at) => backplane.publish('a:1', logged(first, at + 1))))
    const second = await granted(backplane, 'a:1')
    await backplane.publish('a:1', logged(second, 1100))
    await backplane.publish('a:1', logged(second, 1101))
    const again = await under.reopen(), records = await logOf(again, 'a:1')
    expect(records).toEqual([...Array.from({ length: 1200 }, (_, at) => recordAt(first, at + 1)), recordAt(second, 1100), recordAt(second, 1101)])
    expect(await seqsOf(again, 'a:1', { epoch: first, seq: 1198 })).toEqual([1199, 1200, 1100, 1101])
    expect(await seqsOf(again, 'a:1', { epoch: second, seq: 1100 })).toEqual([1101])
    expect(await seqsOf(again, 'a:1', { epoch: second, seq: 1101 })).toEqual([])
    expect(await seqsOf(again, 'a:2')).toEqual([])
  })

  it(`${name}: the log refuses doubles, older records and such that leave out some, and nobody sees them`, async () => {
    const epoch = await granted(backplane, 'a:1'), heard = await follow(backplane, 'a:1')
    await backplane.publish('a:1', logged(epoch, 5))
    await backplane.publish('a:1', logged(epoch, 6))
    for (const seq of [6, 5, 1]) expect(await codeOf(backplane.publish('a:1', logged(epoch, seq)))).toBe('log-older')
    expect(await codeOf(backplane.publish('a:1', logged(epoch, 8)))).toBe('log-gap')
    await backplane.publish('a:1', unlogged(epoch, 6))
    await backplane.publish('a:1', logged(epoch, 7))
    await heard.count(4)
    expect(heard.messages).toEqual([5, 6, 6, 7].map((seq) => recordAt(epoch, seq).record))
    expect(await seqsOf(backplane, 'a:1')).toEqual([5, 6, 7])
    heard.stop()
  })

  it(`${name}: the log is cut below a stored snapshot, and goes on behind it`, async () => {
    const epoch = await granted(backplane, 'a:1')
    for (let seq = 1; seq <= 6; seq++) await backplane.publish('a:1', logged(epoch, seq))
    await backplane.store('a:1', epoch, snapshotAt(epoch, 4))
    expect(await seqsOf(backplane, 'a:1')).toEqual([5, 6])
    await backplane.publish('a:1', logged(epoch, 7))
    // What could not be logged meanwhile is in the snapshot.
    await backplane.store('a:1', epoch, snapshotAt(epoch, 20))
    expect(await seqsOf(backplane, 'a:1')).toEqual([])
    expect(await codeOf(backplane.publish('a:1', logged(epoch, 20)))).toBe('log-older')
    expect(await codeOf(backplane.publish('a:1', logged(epoch, 22)))).toBe('log-gap')
    await backplane.publish('a:1', logged(epoch, 21))
    const other = await granted(backplane, 'a:2')
    await backplane.store('a:2', other, snapshotAt(0, 0))
    expect(await codeOf(backplane.publish('a:2', logged(other, 2)))).toBe('log-gap')
    await backplane.publish('a:2', logged(other, 1))
    await backplane.remove('a:1', epoch)
    expect(await seqsOf(backplane, 'a:1')).toEqual([])
    expect(await backplane.load('a:1')).toBeUndefined()
  })

  it(`${name}: a damaged record of the log is refused as data-bad; those before it are given`, async () => {
    const epoch = await granted(backplane, 'a:1')
    for (let seq = 1; seq <= 600; seq++) void backplane.publish('a:1', logged(epoch, seq))
    const damaged = await under.damage('a:1', { epoch, seq: 600 }), seqs: number[] = []
    const read = async (): Promise<void> => { for await (const { seq } of damaged.readLog('a:1', { epoch: 0, seq: 0 })) seqs.push(seq) }
    expect(await codeOf(read())).toBe('data-bad')
    expect(seqs.length).toBeGreaterThanOrEqual(512)
  })

  it(`${name}: a log that is cut while it is read is not given as if it were whole`, async () => {
    const epoch = await granted(backplane, 'a:1'), seqs: number[] = []
    for (let seq = 1; seq <= 1100; seq++) void backplane.publish('a:1', logged(epoch, seq))
    const read = async (): Promise<void> => {
      for await (const { seq } of backplane.readLog('a:1', { epoch, seq: 3 })) {
        seqs.push(seq)
        if (seq === 10) await backplane.store('a:1', epoch, snapshotAt(epoch, 1050))
      }
    }
    expect(await codeOf(read())).toBe('data-bad')
    expect(seqs).toEqual(Array.from({ length: seqs.length }, (_, at) => at + 4))
  })

  it(`${name}: who follows a room is told when it is heard, then gets every record in order, until it stops`, async () => {
    const epoch = await granted(backplane, 'a:1'), heard = await follow(backplane, 'a:1'), other = await follow(backplane, 'a:2')
    const sent = Array.from({ length: 200 }, (_, at) => unlogged(epoch, at + 1))
    await Promise.all(sent.map((record) => backplane.publish('a:1', record)))
    await heard.count(200)
    expect(heard.messages).toEqual(sent.map(({ record }) => record))
    expect(heard.gaps()).toBe(1)
    expect(other.messages).toEqual([])
    heard.stop()
    const second = await follow(backplane, 'a:1')
    await backplane.publish('a:1', unlogged(epoch, 201))
    await second.count(1)
    expect(heard.messages.length).toBe(200)
    second.stop()
    other.stop()
  })

  it(`${name}: a record may lie in shared memory, anywhere in it`, async () => {
    const epoch = await granted(backplane, 'a:1'), heard = await follow(backplane, 'a:1'), { record } = recordAt(epoch, 1)
    const view = new Uint8Array(new SharedArrayBuffer(4096), 1001, record.length)
    view.set(record)
    await backplane.publish('a:1', { epoch, seq: 2, record: view, isLogged: true })
    await backplane.store('a:1', epoch, { ...snapshotAt(epoch, 1), data: view })
    await heard.count(1)
    expect(heard.messages).toEqual([record])
    expect(await logOf(backplane, 'a:1')).toEqual([{ epoch, seq: 2, record }])
    expect(Uint8Array.from((await backplane.load('a:1'))!.data)).toEqual(record)
    heard.stop()
  })

  it(`${name}: what is sent to an instance comes to its inbox, in order`, async () => {
    const messages: Uint8Array[] = []
    const all = new Promise<void>((resolve) => {
      backplane.listen({ message: (bytes) => { if (messages.push(Uint8Array.from(bytes)) === 100) resolve() }, reachable: () => {}, lost: () => {} })
    })
    for (let n = 0; n < 100; n++) expect(backplane.send(backplane.instance, recordAt(1, n).record)).toBe(true)
    await all
    expect(messages).toEqual(Array.from({ length: 100 }, (_, n) => recordAt(1, n).record))
  })

  it(`${name}: too much that is not answered is refused at once, as backplane-busy`, async () => {
    const epoch = await granted(backplane, 'a:1'), record = new Uint8Array(8 * 1024 * 1024)
    const codes = Array.from({ length: 12 }, (_, at) => codeOf(backplane.publish('a:1', { epoch, seq: at + 1, record, isLogged: false })))
    expect(await Promise.race([codes[11], new Promise((resolve) => { setImmediate(resolve, 'late') })])).toBe('backplane-busy')
    expect((await Promise.all(codes)).filter((code) => code === 'done').length).toBe(8)
    await backplane.publish('a:1', logged(epoch, 9))
  })

  it(`${name}: the directory of a type has the rooms that were entered and not taken out`, async () => {
    await backplane.enlist('a', 'a:1', { sessions: 2, listing: '{"mode":"ü"}' })
    await backplane.enlist('a', 'a:2', { sessions: 0, listing: '{}' })
    await backplane.enlist('b', 'b:1', { sessions: 0, listing: '{}' })
    await backplane.enlist('a', 'a:1', { sessions: 3, listing: '{"mode":"ü"}' })
    await backplane.enlist('a', 'a:2', undefined)
    expect(await backplane.list('a')).toEqual([{ roomId: 'a:1', instance: backplane.instance, sessions: 3, listing: '{"mode":"ü"}' }])
    expect(await backplane.list('c')).toEqual([])
  })

  it(`${name}: close waits for what was asked for before it`, async () => {
    const epoch = await granted(backplane, 'a:1')
    void backplane.store('a:1', epoch, snapshotAt(epoch, 6, 1_000_000))
    void backplane.publish('a:1', logged(epoch, 7))
    const again = await under.reopen()
    expect((await again.load('a:1'))?.seq).toBe(6)
    expect(await seqsOf(again, 'a:1')).toEqual([7])
  })
}

export interface Heard {
  /** Copies, in order. */
  readonly messages: Uint8Array[]
  gaps(): number
  /** Resolves when so many messages have come. */
  count(messages: number): Promise<void>
  /** Resolves at the next gap. */
  nextGap(): Promise<void>
  stop(): void
}

/** Follows a room; resolves when it is heard. */
export async function follow(backplane: Backplane, roomId: string): Promise<Heard> {
  const messages: Uint8Array[] = []
  let gaps = 0, waiting: { holds: () => boolean; resolve: () => void }[] = []
  const look = (): void => { waiting = waiting.filter(({ holds, resolve }) => !holds() || resolve()) }
  const until = (holds: () => boolean): Promise<void> => new Promise((resolve) => { waiting.push({ holds, resolve }); look() })
  const stop = backplane.follow(roomId, {
    message: (bytes) => { messages.push(Uint8Array.from(bytes)); look() },
    gap: () => { gaps++; look() },
  })
  await until(() => gaps > 0)
  return {
    messages, stop, gaps: () => gaps,
    count: (count) => until(() => messages.length >= count),
    nextGap: () => { const before = gaps; return until(() => gaps > before) },
  }
}
