/** The demo in a real browser: two tabs, one world. */
import { existsSync } from 'node:fs'
import { chromium, type Browser, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestEngine, until, type TestEngine } from '../support/engine.js'

const executablePath = '/usr/bin/chromium'
const args = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run']

describe.skipIf(!existsSync(executablePath))('the demo in a browser', () => {
  let server: TestEngine, browser: Browser
  const problems: string[] = []
  beforeAll(async () => {
    server = await startTestEngine('examples/arena')
    browser = await chromium.launch({ executablePath, args })
  })
  afterAll(async () => { await browser?.close(); await server?.stop() })

  const open = async (name: string): Promise<Page> => {
    const page = await browser.newPage({ viewport: { width: 900, height: 600 } })
    page.on('console', (message) => { if (message.type() === 'error' || message.type() === 'warning') problems.push(message.text()) })
    page.on('pageerror', (error) => problems.push(error.message))
    // Nothing in this world can eat a player.
    await page.goto(`${server.http}/?name=${name}&room=quiet&bots=0&food=0`)
    await page.waitForFunction(() => 'room' in globalThis)
    return page
  }
  /** Where a page sees the player of this name; undefined if it does not. */
  const placeOf = (page: Page, name: string): Promise<{ x: number; y: number } | undefined> => page.evaluate((wanted) => {
    const { cells } = (globalThis as unknown as { room: { tables: { cells: { rows(): Iterable<number>; name: { get(row: number): string }; x: Float32Array; y: Float32Array } } } }).room.tables
    for (const row of cells.rows()) if (cells.name.get(row) === wanted) return { x: cells.x[row], y: cells.y[row] }
    return undefined
  }, name)

  it('browser: two tabs join, one moves, the other sees it; nothing is said on the console', async () => {
    const [ann, bob] = [await open('ann'), await open('bob')]
    await until(async () => await placeOf(ann, 'bob') !== undefined && await placeOf(bob, 'ann') !== undefined, 'each tab sees the other player')
    const before = (await placeOf(bob, 'ann'))!
    const towards = before.x < 2000 ? 880 : 20
    await ann.mouse.move(towards, 300)
    await until(async () => {
      const now = await placeOf(bob, 'ann')
      return now !== undefined && Math.abs(now.x - before.x) > 50
    }, 'the other tab sees the first move by 50 units')
    expect(problems).toEqual([])
  })
})
