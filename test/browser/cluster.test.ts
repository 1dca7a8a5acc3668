/** The demo in a real browser, on two instances: two tabs, one world, which outlives the instance that ran it. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { chromium, type Browser, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { portOf, startCluster, type Cluster } from '../support/cluster.js'
import { startDoor, type Door } from '../support/door.js'
import { until } from '../support/engine.js'

const executablePath = '/usr/bin/chromium'
const args = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run']
const folder = 'examples/arena'
const demo = (): Record<string, string> => Object.fromEntries(readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((file) => statSync(join(folder, file)).isFile()).map((file) => [file, readFileSync(join(folder, file), 'utf8')]))

interface Place { readonly x: number; readonly y: number }

describe.skipIf(!existsSync(executablePath))('the demo on two instances, in a browser', () => {
  let cluster: Cluster, browser: Browser
  const doors: Door[] = [], problems: string[] = []
  beforeAll(async () => {
    cluster = await startCluster(demo(), 2)
    const ports = cluster.instances.map(portOf)
    // Each tab has a door of its own, which leads to its instance, and to the other one when that is gone.
    doors.push(await startDoor(ports, false), await startDoor([...ports].reverse(), false))
    browser = await chromium.launch({ executablePath, args })
  })
  afterAll(async () => {
    await browser?.close()
    for (const door of doors) await door.stop()
    await cluster?.end()
  })

  const open = async (name: string, { url }: Door): Promise<Page> => {
    const page = await browser.newPage({ viewport: { width: 900, height: 600 } })
    page.on('console', (message) => { if (message.type() === 'error' || message.type() === 'warning') problems.push(message.text()) })
    page.on('pageerror', (error) => problems.push(error.message))
    // Nothing in this world can eat a player.
    await page.goto(`${url.replace('ws:', 'http:')}/?name=${name}&room=quiet&bots=0&food=0`)
    await page.waitForFunction(() => 'room' in globalThis)
    return page
  }
  /** How a page's room is, and where it sees the player of this name; undefined if it does not. */
  const seenBy = (page: Page, name: string): Promise<{ status: string; at: Place | undefined }> => page.evaluate((wanted) => {
    const { status, tables: { cells } } = (globalThis as unknown as { room: { status: string; tables: { cells: { rows(): Iterable<number>; name: { get(row: number): string }; x: Float32Array; y: Float32Array } } } }).room
    for (const row of cells.rows()) if (cells.name.get(row) === wanted) return { status, at: { x: cells.x[row], y: cells.y[row] } }
    return { status, at: undefined }
  }, name)
  /** Moves the player of one tab, until the other has seen it move by 50 units. */
  const seesMove = async (mover: Page, name: string, watcher: Page): Promise<void> => {
    const { at: before } = await seenBy(watcher, name)
    await mover.mouse.move(before!.x < 2000 ? 880 : 20, 300)
    await until(async () => {
      const { at } = await seenBy(watcher, name)
      return at !== undefined && Math.abs(at.x - before!.x) > 50
    }, `the other tab sees ${name} move`)
  }

  it('browser: two tabs on two instances see each other move; the first one\'s is killed, and both go on', async () => {
    const { instances } = cluster, [ann, bob] = [await open('ann', doors[0]), await open('bob', doors[1])]
    await until(async () => (await seenBy(ann, 'bob')).at !== undefined && (await seenBy(bob, 'ann')).at !== undefined, 'each tab sees the other player')
    expect(await Promise.all(instances.map(({ metric }) => metric('kasagi_connections')))).toEqual([1, 1])
    expect(await instances[0].metric('kasagi_rooms_run{role="running"')).toBe(1)
    await seesMove(ann, 'ann', bob)
    await seesMove(bob, 'bob', ann)
    expect(problems).toEqual([])

    const { at: before } = await seenBy(bob, 'ann')
    await instances[0].kill('SIGKILL')
    await until(async () => (await instances[1].metric('kasagi_rooms_run{role="running"')) === 1, 'the other instance runs the room')
    await until(async () => (await seenBy(ann, 'bob')).status === 'live' && await instances[1].metric('kasagi_connections') === 2, 'the first tab is back')
    expect((await seenBy(bob, 'bob')).status).toBe('live')
    // It is the player that it was, where it was.
    const { at: after } = await seenBy(bob, 'ann')
    expect(Math.abs(after!.x - before!.x)).toBeLessThan(1000)
    await seesMove(ann, 'ann', bob)
    await seesMove(bob, 'bob', ann)
    expect(problems.filter((text) => !/WebSocket connection to .* failed|ERR_CONNECTION|ERR_EMPTY_RESPONSE/.test(text))).toEqual([])
  }, 60_000)
})
