/**
 * The instance that runs a room stands still for three leases and comes back: twice, and with LONG=1 twenty times. In every other round its last writes are
 * still on their way when it stops: made by an owner whose lease was good, they reach Redis when the room is another's.
 */
import { afterEach, describe, expect, it } from 'vitest'
import { until } from '../support/engine.js'
import { leaseMs, startCluster, type Cluster } from '../support/cluster.js'
import { count, countedOf, enter, expectSame, goesOn, play, project, rolesOf, runners, sleep, type Player } from './rig.js'
import { startWitness, type Seen, type Witness } from './witness.js'

const isLong = process.env.LONG !== undefined

/** How far each epoch has come, as a client saw it, and what it was told. */
interface Diary { readonly reached: Map<number, number>; readonly told: string[] }

function keepDiary({ room }: Player): Diary {
  const diary: Diary = { reached: new Map(), told: [] }
  room.onFlush(() => { diary.reached.set(room.position.epoch, room.position.seq) })
  room.onStatus((told) => { diary.told.push(told) })
  return diary
}

/** Behind each grant nothing is carried out that is not of its epoch. */
function expectFenced(seen: readonly Seen[]): void {
  let granted = 0
  for (const [at, { kind, epoch, seq }] of seen.entries()) {
    if (kind === 'grant') granted = epoch
    else if (kind !== 'asked' && epoch !== granted) throw new Error(`a ${kind} of ${epoch} ${seq} was carried out when ${granted} had the room: ${JSON.stringify(seen.slice(Math.max(0, at - 5), at + 1))}`)
  }
}

describe('owners that stand still', () => {
  let cluster: Cluster | undefined, witness: Witness | undefined
  afterEach(async () => {
    witness?.end()
    await cluster?.end()
    cluster = undefined
  })

  const rounds = isLong ? 20 : 2
  for (const durability of ['snapshot', 'ops', 'ops-sync']) {
    it(`cluster: ${durability}: the owner stands still for three leases, ${rounds} times: it comes back as an edge, nothing of its old epoch is taken, and what is discarded is told and counted`, async () => {
      cluster = await startCluster(project(`durability: '${durability}', graceMs: 20_000, keepMs: 60_000,`), 2)
      const { instances, wires, redis } = cluster
      witness = await startWitness(redis, 'tally:still')
      const players = await Promise.all(instances.map(({ url }, at) => enter(url, 'still', `p${at}`))), diaries = players.map(keepDiary)
      let discardedInAll = 0, lateWrites = 0
      for (let n = 0; n < rounds; n++) {
        let roles = ''
        const isOne = async (): Promise<boolean> => (await runners(cluster!)).length === 1 || (roles = await rolesOf(cluster!), false)
        await until(isOne, () => `round ${n}: one instance runs the room, not ${roles}`)
        const [owner] = await runners(cluster), at = instances.indexOf(owner), awake = players[1 - at], discarded = (of: number): Promise<number> => instances[of].metric('kasagi_records_discarded_total')
        const stop = play(players, 20), before = await Promise.all([discarded(0), discarded(1)])
        await sleep(300)
        const { epoch } = awake.room.position, isHeld = n % 2 === 0, from = witness.seen.length
        for (const { told } of diaries) told.length = 0
        // Long enough for a snapshot to be among what is held.
        if (isHeld) { wires[at].hold(true); await sleep(600) }
        owner.child.kill('SIGSTOP')
        await goesOn([awake], epoch)
        if (isHeld) wires[at].hold(false)
        await sleep(2 * leaseMs)
        owner.child.kill('SIGCONT')
        await goesOn([players[at]], epoch)
        await stop()
        await Promise.all(players.map(count))
        await expectSame(players, `behind pause ${n}`)
        expect((await runners(cluster)).map((instance) => instances.indexOf(instance))).toEqual([1 - at])

        await witness.caughtUp()
        expectFenced(witness.seen)
        const seen = witness.seen.slice(from), grantAt = seen.findIndex(({ kind }) => kind === 'grant'), late = seen.slice(grantAt).filter((each) => each.kind === 'asked' && each.epoch === epoch)
        lateWrites += late.length
        if (isHeld) expect(late.length, 'writes of the old epoch that came behind the grant').toBeGreaterThan(5)
        const { head } = seen.find((each) => each.kind === 'record' && each.epoch > epoch)!
        expect(head!.parentEpoch).toBe(epoch)
        const undone = diaries[at].reached.get(epoch)! - head!.forkSeq, counted = await discarded(at) - before[at]
        discardedInAll += counted
        const why = `round ${n}: p${at} saw seq ${diaries[at].reached.get(epoch)}, the room went on from ${head!.forkSeq}, ${counted} counted, told ${diaries[at].told.join()}`
        if (durability === 'ops-sync') expect(undone, why).toBeLessThanOrEqual(0)
        else expect(counted, why).toBe(undone)
        expect(diaries[at].told.filter((told) => told === 'rewound').length, why).toBe(undone > 0 ? 1 : 0)
        // While it played alone they were told that, too, and before that some of it is undone.
        const [alone, back] = [diaries[at].told.indexOf('detached'), diaries[at].told.indexOf('rewound')]
        expect([players[at].room.detached, alone >= 0 && back >= 0 && alone > back], why).toEqual([false, false])
        expect([await discarded(1 - at) - before[1 - at], diaries[1 - at].told.includes('rewound')], 'whoever took over gave up nothing').toEqual([0, false])
      }
      const total = players.reduce((sum, player) => sum + countedOf(player), 0)
      await until(() => players[0].room.globals.total === total, () => `${players[0].room.globals.total} is ${total}`)
      console.log(`${durability}: ${rounds} pauses, ${discardedInAll} records discarded, ${lateWrites} writes refused`)
    }, 300_000)
  }
})
