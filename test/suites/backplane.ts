/** What every backplane guarantees (src/backplane/backplane.ts), as facts about one that is made anew for each of them. */
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Backplane, StoredSnapshot } from '../../src/backplane/backplane.js'

export interface BackplaneUnderTest {
  readonly backplane: Backplane
  /** Another one over the same data, as after a restart. */
  reopen(): Promise<Backplane>
  /** Changes a byte of what is stored of a room. */
  damage(roomId: string): Promise<void>
  end(): Promise<void>
}

export function backplaneSuite(name: string, make: () => Promise<BackplaneUnderTest>): void {
  let under: BackplaneUnderTest
  beforeEach(async () => { under = await make() })
  afterEach(() => under.end())
  const snapshot = (epoch: number, seq: number, bytes = 100): StoredSnapshot =>
    ({ data: new Uint8Array(bytes).fill(seq), epoch, seq, tick: seq * 2, ts: 1e12 + seq, version: 1 })
  const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'done', (error: { code: string }) => error.code)

  it(`${name}: each claim grants a higher epoch, above the clock and above what the claimant has seen`, async () => {
    let last = 0
    for (const seen of [0, 0, 2 ** 51, 0]) {
      const { epoch, snapshot: stored } = await under.backplane.claim('a:1', seen, 1)
      expect(epoch).toBeGreaterThan(last)
      expect(epoch).toBeGreaterThan(seen)
      expect(epoch).toBeGreaterThanOrEqual(last === 0 ? Date.now() * 1024 - 1024 * 60_000 : 0)
      expect(Number.isSafeInteger(epoch)).toBe(true)
      expect(stored).toBeUndefined()
      last = epoch
    }
  })

  it(`${name}: epochs go on growing after a restart, and after what was stored is removed`, async () => {
    const { epoch } = await under.backplane.claim('a:1', 2 ** 51, 1)
    await under.backplane.remove('a:1', epoch)
    expect((await (await under.reopen()).claim('a:1', 0, 1)).epoch).toBeGreaterThan(epoch)
  })

  it(`${name}: what was stored last comes back byte for byte, also after a restart`, async () => {
    const { epoch } = await under.backplane.claim('a:1', 0, 1)
    for (const seq of [1, 2, 3]) await under.backplane.store('a:1', snapshot(epoch, seq, 300_000))
    await under.backplane.store('a:1', snapshot(epoch, 4))
    const { snapshot: stored } = await (await under.reopen()).claim('a:1', 0, 1)
    expect({ ...stored, data: [...stored!.data] }).toEqual({ ...snapshot(epoch, 4), data: [...snapshot(epoch, 4).data] })
  })

  it(`${name}: rooms do not mix`, async () => {
    const first = await under.backplane.claim('a:1', 0, 1), second = await under.backplane.claim('a:12', 0, 1)
    await under.backplane.store('a:1', snapshot(first.epoch, 1))
    await under.backplane.store('a:12', snapshot(second.epoch, 12))
    await under.backplane.remove('a:12', second.epoch)
    expect((await under.backplane.claim('a:1', 0, 1)).snapshot?.seq).toBe(1)
    expect((await under.backplane.claim('a:12', 0, 1)).snapshot).toBeUndefined()
  })

  it(`${name}: who does not hold the last epoch can neither store nor remove`, async () => {
    const old = await under.backplane.claim('a:1', 0, 1), now = await under.backplane.claim('a:1', 0, 1)
    await under.backplane.store('a:1', snapshot(now.epoch, 7))
    for (const epoch of [old.epoch, now.epoch + 1, 0]) {
      expect(await codeOf(under.backplane.store('a:1', snapshot(epoch, 9)))).toBe('stale')
      expect(await codeOf(under.backplane.remove('a:1', epoch))).toBe('stale')
    }
    expect((await under.backplane.claim('a:1', 0, 1)).snapshot?.seq).toBe(7)
  })

  it(`${name}: calls about a room take effect in order, though nobody waits`, async () => {
    const { epoch } = await under.backplane.claim('a:1', 0, 1)
    const calls = [1, 2, 3].map((seq) => under.backplane.store('a:1', snapshot(epoch, seq)))
    const claimed = under.backplane.claim('a:1', 0, 1)
    const late = codeOf(under.backplane.store('a:1', snapshot(epoch, 4)))
    await Promise.all(calls)
    expect((await claimed).snapshot?.seq).toBe(3)
    expect(await late).toBe('stale')
  })

  it(`${name}: damaged data are refused as data-bad, and stay as they are`, async () => {
    const { epoch } = await under.backplane.claim('a:1', 0, 1)
    await under.backplane.store('a:1', snapshot(epoch, 5))
    await under.damage('a:1')
    for (let n = 0; n < 2; n++) expect(await codeOf(under.backplane.claim('a:1', 0, 1))).toBe('data-bad')
    await under.damage('a:1')
    expect((await under.backplane.claim('a:1', 0, 1)).snapshot?.seq).toBe(5)
  })

  it(`${name}: a lower version than the room has known may not claim it`, async () => {
    const { epoch } = await under.backplane.claim('a:1', 0, 3)
    expect(await codeOf(under.backplane.claim('a:1', 0, 2))).toBe('version-older')
    await under.backplane.store('a:1', snapshot(epoch, 1))
    expect((await under.backplane.claim('a:1', 0, 3)).snapshot?.seq).toBe(1)
  })

  it(`${name}: close waits for what was asked for before it`, async () => {
    const { epoch } = await under.backplane.claim('a:1', 0, 1)
    void under.backplane.store('a:1', snapshot(epoch, 6, 1_000_000))
    expect((await (await under.reopen()).claim('a:1', 0, 1)).snapshot?.seq).toBe(6)
  })
}
