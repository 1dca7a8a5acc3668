/** The game with secrets in a real browser: two tabs, one table. */
import { existsSync } from 'node:fs'
import { chromium, type Browser, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestEngine, until, type TestEngine } from '../support/engine.js'

const executablePath = '/usr/bin/chromium'
const args = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run']

/** What a page's `room` is asked for here. */
interface Rows { rows(): Iterable<number> }
interface PageRoom {
  readonly globals: { readonly top: number; readonly turns: number }
  readonly tables: {
    readonly hands: Rows & { readonly card: Uint8Array }
    readonly players: Rows & { readonly held: Uint8Array; readonly wallet: BigUint64Array; readonly name: { get(row: number): string } }
  }
}
type ByName = Record<string, number>
/** What a tab knows: its hand, and of every player the number of cards and the wallet. */
interface Known { readonly hand: number[]; readonly held: ByName; readonly wallets: ByName; readonly top: number; readonly turns: number }

describe.skipIf(!existsSync(executablePath))('cards in a browser', () => {
  let server: TestEngine, browser: Browser
  const problems: string[] = []
  beforeAll(async () => {
    server = await startTestEngine('examples/cards')
    browser = await chromium.launch({ executablePath, args })
  })
  afterAll(async () => { await browser?.close(); await server?.stop() })

  const open = async (name: string): Promise<Page> => {
    const page = await browser.newPage({ viewport: { width: 900, height: 700 } })
    page.on('console', (message) => problems.push(message.text()))
    page.on('pageerror', (error) => problems.push(error.message))
    await page.goto(`${server.http}/?name=${name}`)
    await page.waitForFunction(() => 'room' in globalThis)
    return page
  }
  const knownOf = (page: Page): Promise<Known> => page.evaluate(() => {
    const { globals, tables: { hands, players } } = (globalThis as unknown as { room: PageRoom }).room
    const byName = (of: (row: number) => number): ByName => Object.fromEntries([...players.rows()].map((row) => [players.name.get(row), of(row)]))
    return {
      hand: [...hands.rows()].map((row) => hands.card[row]), top: globals.top, turns: globals.turns,
      held: byName((row) => players.held[row]), wallets: byName((row) => Number(players.wallet[row])),
    }
  })
  const shownCards = async (page: Page): Promise<number> =>
    new Set(await page.locator('#hand .card').evaluateAll((shown) => shown.map((card) => card.getAttribute('aria-label')))).size

  it('browser: two tabs play; each sees its own hand and wallet and not the other\'s, chat arrives, nothing is said on the console', async () => {
    const [ann, bob] = [await open('ann'), await open('bob')]
    await ann.getByText('deal for 2').click()
    await until(async () => (await knownOf(bob)).hand.length === 7 && (await knownOf(ann)).hand.length === 7, 'both hold seven cards')

    for (let move = 0; move < 6; move++) {
      const [a, b] = [await knownOf(ann), await knownOf(bob)]
      expect(a.hand.filter((card) => b.hand.includes(card) || card === a.top)).toEqual([])
      expect([a.held, b.held]).toEqual(Array(2).fill({ ann: a.hand.length, bob: b.hand.length }))
      expect([a.wallets, b.wallets]).toEqual([{ ann: 95, bob: 0 }, { ann: 0, bob: 95 }])
      expect([await shownCards(ann), await shownCards(bob)]).toEqual([a.hand.length, b.hand.length])
      const [mover, waiter] = await ann.locator('#deck').isEnabled() ? [ann, bob] : [bob, ann]
      const fitting = mover.locator('#hand .fits')
      await (await fitting.count() > 0 ? fitting.first() : mover.locator('#deck')).click()
      await until(async () => (await knownOf(ann)).turns > a.turns && (await knownOf(bob)).turns > a.turns, `both tabs see move ${move}`)
      await until(async () => waiter.locator('#deck').isEnabled(), `move ${move} hands the turn on`)
    }

    const waiter = await ann.locator('#deck').isEnabled() ? bob : ann
    await waiter.locator('#hand .card').first().click()
    await waiter.getByText('It is not your turn.').waitFor()
    await ann.locator('aside input').fill('well played')
    await ann.locator('aside input').press('Enter')
    await bob.getByText('well played').waitFor()
    expect(problems).toEqual([])
  })
})
