/** Somebody in Redis says what no instance says: to a room's channel and to the inboxes of those who run and follow it, while players play. In full with LONG=1. */
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { nextInt, seedPrng } from '../../src/base/prng.js'
import { changes, mutate } from '../hostile/mutations.js'
import { until } from '../support/engine.js'
import { startCluster, type Cluster } from '../support/cluster.js'
import { count, enter, expectSame, play, project, runners, sleep } from './rig.js'

const isLong = process.env.LONG !== undefined
const seed = Number(process.env.SEED ?? Date.now() % 0x7fff_ffff)

interface Heard { readonly channel: string; readonly bytes: Uint8Array }

describe('attacks', () => {
  let cluster: Cluster | undefined
  afterEach(async () => { await cluster?.end(); cluster = undefined })

  const each = isLong ? 2000 : 250
  it(`cluster: ${each} pieces of garbage, mutated records, mutated messages and replays each: they are refused and counted, nobody's state is wrong, nothing dies (SEED=${seed})`, async () => {
    cluster = await startCluster(project('graceMs: 20_000,'), 2)
    const { instances, redis } = cluster, random = new Uint32Array(4), refused = (): Promise<number[]> => Promise.all(instances.map(({ metric }) => metric('kasagi_peer_messages_refused_total')))
    seedPrng(random, seed)
    const draw = <T>(from: readonly T[]): T => from[nextInt(random, from.length)]
    const lists = fc.sample(changes, { seed, numRuns: each * 2 })

    const heard: Record<'record' | 'message', Heard[]> = { record: [], message: [] }, inboxes = (await redis.client.keys('instance:*')).map((key) => `${key}:inbox`), channel = 'room:{tally:attacked}:channel'
    expect(inboxes.length).toBe(2)
    const ear = redis.client.duplicate()
    await ear.connect()
    await ear.subscribe(channel, ...inboxes)
    // What was said a moment ago, and now and then something old.
    ear.on('messageBuffer', (from: Buffer, bytes: Buffer) => {
      const kept = heard[bytes.subarray(4, 8).toString() === 'KREC' ? 'record' : 'message']
      if (kept.length < 400) kept.push({ channel: from.toString(), bytes: new Uint8Array(bytes) })
      else kept[nextInt(random, kept.length)] = { channel: from.toString(), bytes: new Uint8Array(bytes) }
    })
    const players = await Promise.all([0, 1, 2, 3].map((n) => enter(instances[n % 2].url, 'attacked', `p${n}`)))
    const stop = play(players, 40)
    await until(() => heard.record.length > 20 && heard.message.length > 20, 'there is something to mutate')
    expect(await refused()).toEqual([0, 0])
    try {
      const say = (to: string, bytes: Uint8Array): Promise<number> => redis.client.publish(to, Buffer.from(bytes))
      const anywhere = [channel, ...inboxes]
      for (let n = 0; n < each; n++) {
        const record = draw(heard.record), message = draw(heard.message), old = draw(draw([heard.record, heard.message]))
        await Promise.all([
          say(draw(anywhere), Uint8Array.from({ length: nextInt(random, 300) }, () => nextInt(random, 256))),
          say(nextInt(random, 8) === 0 ? draw(anywhere) : record.channel, mutate(record.bytes, lists[n * 2])),
          say(nextInt(random, 8) === 0 ? draw(anywhere) : message.channel, mutate(message.bytes, lists[n * 2 + 1])),
          say(nextInt(random, 8) === 0 ? draw(anywhere) : old.channel, old.bytes),
        ])
        await sleep(8)
      }
    } finally {
      await stop()
      ear.disconnect()
    }
    for (const [n, many] of (await refused()).entries()) expect(many, `instance ${n} refused`).toBeGreaterThan(each / 4)
    for (const { child, output } of instances) expect([child.exitCode, child.signalCode, output.includes('fault of the engine')]).toEqual([null, null, false])
    await until(() => players.every(({ room }) => room.status === 'live'), () => `SEED=${seed}: ${players.map(({ room }) => room.status).join()}`)
    // Inputs count still, all of them: forgeries may have used up some of their numbers.
    const answered = players.map(() => false)
    for (const [n, player] of players.entries()) void count(player).then(() => { answered[n] = true })
    await until(() => !answered.includes(false), () => `SEED=${seed}: all are answered: ${answered.join()}`)
    await expectSame(players, `SEED=${seed}: behind the attack`)
    await until(async () => (await runners(cluster!)).length === 1, 'one instance runs the room')
    console.log(`SEED=${seed}: refused ${(await refused()).join(' and ')} of ${each * 4}; inputs ${players.map(({ sent }) => sent).join()}, refused ${players.map((player) => player.refused.length).join()}, rewound ${players.map(({ rewound }) => rewound).join()}`)
  }, 300_000)
})
