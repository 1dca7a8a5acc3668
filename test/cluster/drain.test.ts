/** Instances that are told to end give their rooms away: nobody loses an input, and nobody waits for long. */
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { until, writeProject } from '../support/engine.js'
import { portOf, startCluster, type Cluster } from '../support/cluster.js'
import { count, countedOf, enter, expectSame, project, runners, sleep, type Player } from './rig.js'

const isLong = process.env.LONG !== undefined

/** The project in its first or second version: of a column that servers keep to themselves is added, one removed, one retyped. */
function versioned(version: 1 | 2): Record<string, string> {
  const files = project(`graceMs: 20_000, version: ${version},`)
  const columns = version === 1 ? "rank: u32.to('server'), old: u32.to('server')" : "rank: text(12).to('server'), added: u32.default(7).to('server')"
  const room = version === 1
    ? "players.rank[session.row] = players.counted[session.row]; players.old[session.row]++"
    // A rank that was not brought over, or a default that is not there, would be seen by everybody.
    : "if (players.rank.get(session.row) !== 'r' + (players.counted[session.row] - 1) || players.added[session.row] !== 7) room.globals.total += 1_000_000; players.rank.set(session.row, 'r' + players.counted[session.row])"
  const migrate = version === 1 ? '' : "migrate(room, old) { for (const { row, rank } of old.rows('players')) room.tables.players.rank.set(row, 'r' + rank) },"
  const begin = version === 1 ? '' : ", rank: 'r0'"
  return {
    'shared/tally.ts': files['shared/tally.ts'].replace("secret: u32.to('owner')", `secret: u32.to('owner'), ${columns}`),
    'rooms/tally.ts': files['rooms/tally.ts'].replace('spawn({ name }', `spawn({ name${begin} }`).replace('onCreate(room)', `${migrate} onCreate(room)`)
      .replace('players.secret[session.row]++', `players.secret[session.row]++; ${room}`),
  }
}

describe('draining', () => {
  let cluster: Cluster | undefined
  afterEach(async () => { await cluster?.end(); cluster = undefined })

  const clients = isLong ? 100 : 24
  it(`cluster: three instances are restarted one after the other under ${clients} clients: no input is lost or doubled, nobody waits for two seconds`, async () => {
    cluster = await startCluster(project('graceMs: 20_000,'), 3)
    const { instances, door } = cluster, players: Player[] = []
    for (let n = 0; n < clients; n++) players.push(await enter(door.url, 'rolling', `p${n}`))
    let isOver = false
    const playing = players.map(async (player) => { while (!isOver) { void count(player); await sleep(100) } })
    await sleep(500)
    for (const player of players) { player.lastMs = performance.now(); player.longestMs = 0 }
    for (const instance of instances) {
      const isOwner = (await runners(cluster)).includes(instance), others = door.ports
      // As a load balancer does that asks for readiness.
      door.ports = others.filter((port) => port !== portOf(instance))
      const began = performance.now()
      await instance.kill('SIGTERM')
      expect(instance.child.exitCode, instance.output).toBe(0)
      if (process.env.SHOW !== undefined) console.log(`${isOwner ? 'owner' : 'edge'} ended after ${Math.round(performance.now() - began)} ms`)
      await cluster.start(instance)
      door.ports = others
      await until(() => players.every(({ room }) => room.status === 'live'), () => `all are live: ${players.map(({ room }) => room.status).join()}`)
      await sleep(300)
    }
    isOver = true
    await Promise.all(playing)
    await Promise.all(players.map(count))
    await until(() => players.every((player) => countedOf(player) === player.sent), () =>
      players.filter((player) => countedOf(player) !== player.sent).map((player) => `${player.name} ${countedOf(player)} of ${player.sent}, refused ${player.refused.join()}`).join('; '))
    await expectSame(players.slice(0, 8), 'behind the restarts')
    const longest = Math.max(...players.map(({ longestMs }) => longestMs))
    console.log(`rolling restart under ${clients} clients: longest pause ${Math.round(longest)} ms, inputs ${players.reduce((sum, { sent }) => sum + sent, 0)}, rewound ${players.reduce((sum, { rewound }) => sum + rewound, 0)}`)
    expect(longest).toBeLessThan(2000)
    expect((await runners(cluster)).length).toBe(1)
  }, 120_000)

  it(`cluster: three instances go from version 1 of a room to version 2 one after the other, the first of them crashing half way, under ${clients} clients`, async () => {
    cluster = await startCluster(versioned(1), 3)
    const { instances, door } = cluster, players: Player[] = []
    for (let n = 0; n < clients; n++) players.push(await enter(door.url, 'versions', `p${n}`))
    let isOver = false
    const playing = players.map(async (player) => { while (!isOver) { void count(player); await sleep(100) } })
    await sleep(500)
    for (const player of players) { player.lastMs = performance.now(); player.longestMs = 0 }
    const ports = door.ports
    for (const [n, instance] of instances.entries()) {
      door.ports = ports.filter((port) => port !== portOf(instance))
      await instance.kill('SIGTERM')
      expect(instance.child.exitCode, instance.output).toBe(0)
      writeProject(join(instance.folder, 'project'), versioned(2))
      await cluster.start(instance)
      door.ports = ports
      await sleep(300)
      if (n === 0) {
        // Somebody of the new version has followed the old owner's room by now, and is gone at once.
        await instance.kill('SIGKILL')
        await cluster.start(instance)
      }
      await until(() => players.every(({ room }) => room.status === 'live'), () => `all are live: ${players.map(({ room }) => room.status).join()}`)
      // So that the next one finds somebody to give its rooms to.
      const visitor = await enter(instance.url, 'versions', `visitor ${n}`)
      await until(() => visitor.room.tables.players.size >= clients, 'the new one follows')
      await sleep(300)
      await visitor.room.leave()
    }
    isOver = true
    await Promise.all(playing)
    await Promise.all(players.map(count))
    await until(() => players.every((player) => countedOf(player) === player.sent), () =>
      players.filter((player) => countedOf(player) !== player.sent).map((player) => `${player.name} ${countedOf(player)} of ${player.sent}, refused ${player.refused.join()}`).join('; '))
    expect(players[0].room.globals.total).toBe(players.reduce((sum, { sent }) => sum + sent, 0))
    await expectSame(players.slice(0, 8), 'behind the change')
    const longest = Math.max(...players.map(({ longestMs }) => longestMs))
    console.log(`version 1 to 2 under ${clients} clients: longest pause ${Math.round(longest)} ms, inputs ${players.reduce((sum, { sent }) => sum + sent, 0)}, rewound ${players.reduce((sum, { rewound }) => sum + rewound, 0)}`)
    expect(longest).toBeLessThan(2000)
    expect(Number(await cluster.redis.client.hget('room:{tally:versions}:epoch', 'version'))).toBe(2)
  }, 120_000)

  it('cluster: the last instance that ends stores its rooms, and lets go of them: the next one opens them at once', async () => {
    cluster = await startCluster(project('graceMs: 20_000,'), 1)
    const [instance] = cluster.instances, ann = await enter(instance.url, 'last', 'ann')
    for (let n = 0; n < 5; n++) await count(ann)
    const { ticks } = ann.room.globals
    await instance.kill('SIGTERM')
    expect(instance.child.exitCode).toBe(0)
    expect(await cluster.redis.client.exists('room:{tally:last}:owner')).toBe(0)
    expect(Number(await cluster.redis.client.hget('room:{tally:last}:snapshot', 'seq'))).toBeGreaterThan(0)
    await cluster.start(instance)
    const began = performance.now()
    await until(() => ann.room.status === 'live', 'ann is back', 5000)
    expect(performance.now() - began).toBeLessThan(2500)
    expect(countedOf(ann)).toBe(5)
    expect(ann.room.globals.ticks).toBeGreaterThanOrEqual(ticks)
    await ann.room.leave()
  }, 60_000)
})
