/** Rooms that log their records in the data folder: a crash of the process costs nothing that anybody has seen. */
import { afterEach, describe, expect, it } from 'vitest'
import { until } from '../support/engine.js'
import { createServeProcess, type ServeProcess } from '../support/process.js'
import { count, countedOf, enter, expectSame, project, sleep } from '../cluster/rig.js'

const isLong = process.env.LONG !== undefined

describe('the embedded log', () => {
  let server: ServeProcess | undefined
  afterEach(async () => {
    if (process.env.SHOW !== undefined) console.log(server?.output)
    await server?.end()
    server = undefined
  })

  const kills = isLong ? 20 : 3
  it(`log: ops-sync over the data folder: kill -9 under load ${kills} times: every input counts, once, and nobody is rewound`, async () => {
    server = await createServeProcess(project("durability: 'ops-sync', graceMs: 60_000, keepMs: 60_000,"))
    await server.start()
    const players = [await enter(server.url, 'logged', 'ann'), await enter(server.url, 'logged', 'bob')]
    let isOver = false
    const playing = players.map(async (player) => { while (!isOver) { void count(player); await sleep(10) } })
    for (let n = 0; n < kills; n++) {
      await sleep(200 + n % 5 * 170)
      await server.kill('SIGKILL')
      await server.start()
      await until(() => players.every(({ room }) => room.status === 'live'), () => `both are back: ${players.map(({ room }) => room.status).join()}`)
    }
    isOver = true
    await Promise.all(playing)
    await Promise.all(players.map(count))
    for (const player of players) await until(() => countedOf(player) === player.sent, () => `${player.name} has counted ${countedOf(player)} of ${player.sent}, refused ${player.refused.join()}`)
    await expectSame(players, 'behind the kills')
    expect(players.map(({ rewound }) => rewound)).toEqual([0, 0])
  }, 120_000)

  it('log: a room is rebuilt from its log alone, where that reaches back to its beginning', async () => {
    // Stored once in a while only: what the room is at the kill stands in the log.
    server = await createServeProcess(project("durability: 'ops-sync', snapshotEveryMs: 600_000, graceMs: 60_000,"))
    await server.start()
    const ann = await enter(server.url, 'young', 'ann')
    for (let n = 0; n < 20; n++) await count(ann)
    await sleep(300)
    await server.kill('SIGKILL')
    await server.start()
    await until(() => ann.room.status === 'live', 'ann is back')
    await count(ann)
    await until(() => countedOf(ann) === 21, () => `counted ${countedOf(ann)}`)
    expect(ann.rewound).toBe(0)
  }, 60_000)
})
