/**
 * How late ticks begin while author code takes 30%, 70% and 95% of the only worker's time: a real server, one room, and eight whose ticks are spread over the
 * period. Rooms note when their ticks begin (project/rooms/burning.ts), which tells how late they are beside the earliest; how late that one is, is known by the mean
 * of the server's own metrics, which also tell whether the worker is as busy as it is meant to be.
 */
import { connect, type ClientRoom } from 'kasagi-engine/client'
import { metricOf } from '../../test/support/engine.js'
import type { ServeProcess } from '../../test/support/process.js'
import { until } from '../../test/support/until.js'
import { watch } from '../cpu.js'
import { judge, takeWindows, windowsWanted, type Steal } from '../paired.js'
import { figure, isSmoke, type Measured } from '../report.js'
import { burning, burningHz } from './project/shared/shapes.js'
import { hearStarts, latenessOf, percentile, type Starts } from './starts.js'

const loads = isSmoke ? [0.7] : [0.3, 0.95, 0.7], roomCounts = isSmoke ? [1] : [1, 8]
/** What the target is about gets windows enough for an interval, in which a hundredth of the ticks is more than one. */
const judged = { rooms: 1, load: 0.7, ticks: isSmoke ? 10 : 100, windows: windowsWanted }, others = { ticks: isSmoke ? 5 : 50, windows: isSmoke ? 1 : 3 }
/** Author code is not all that a tick is. */
const busyMin = 0.9
const periodMs = 1000 / burningHz

interface Burning { readonly room: ClientRoom<typeof burning>; readonly starts: Starts }

async function enter({ url }: ServeProcess, n: number): Promise<Burning> {
  const room = await connect(url, { verify: true }).join(burning, { name: `n${n}` })
  return { room, starts: hearStarts(`tick/start-${n}`, room) }
}

/** Milliseconds by which the ticks of a window began behind the earliest of their room. */
const window = async (rooms: readonly Burning[], ticks: number): Promise<number[]> =>
  (await Promise.all(rooms.map(({ starts }) => starts.take(ticks)))).flatMap((starts) => latenessOf(starts, periodMs))

interface Told { readonly atMs: number; readonly busySeconds: number; readonly lateSeconds: number; readonly turns: number }

/** What the worker tells next: it does so twice a second, and a count is of the time up to then. */
async function hearTold(server: ServeProcess): Promise<Told> {
  const read = async (): Promise<Told> => {
    const text = await (await fetch(`${server.http}/metrics`)).text(), of = (name: string): number => metricOf(text, `kasagi_${name}`)
    return { busySeconds: of('worker_busy_seconds_total'), lateSeconds: of('turn_late_seconds_sum'), turns: of('turn_late_seconds_count'), atMs: performance.now() }
  }
  const before = await read()
  let told = before
  await until(async () => { told = await read(); return told.turns > before.turns }, 'the worker has told what it has counted')
  return told
}

interface Heard { readonly windows: number[][]; readonly share: number; /** Mean lateness, by the server. */ readonly meanMs: number }

async function listen(server: ServeProcess, take: () => Promise<number[][]>): Promise<Heard> {
  const before = await hearTold(server), windows = await take(), after = await hearTold(server)
  return {
    windows, share: (after.busySeconds - before.busySeconds) / (after.atMs - before.atMs) * 1000,
    meanMs: (after.lateSeconds - before.lateSeconds) / (after.turns - before.turns) * 1000,
  }
}

const mean = (values: readonly number[]): number => values.reduce((sum, each) => sum + each, 0) / values.length

export async function measureStartError(server: ServeProcess, steal: Steal): Promise<Measured> {
  const measured: Measured = { figures: [], ratios: {}, targets: [] }, rooms: Burning[] = []
  for (const count of roomCounts) {
    while (rooms.length < count) rooms.push(await enter(server, rooms.length))
    for (const load of loads) {
      const id = `tick/start-${count}-${load * 100}%`, isJudged = judged.rooms === count && judged.load === load, { ticks, windows: wanted } = isJudged ? judged : others
      for (const { room } of rooms) await room.ask('burn', { share: load / count })
      await window(rooms, others.ticks)
      const busy = watch([{ name: 'the server', pid: server.pid() }, { name: 'the clients', pid: process.pid }])
      const { windows, share, meanMs } = await listen(server, () => takeWindows(id, steal, () => window(rooms, ticks), wanted))
      const earliestMs = Math.max(0, meanMs - mean(windows.flat())), at = (part: number): number[] => windows.map((late) => earliestMs + percentile(late, part))
      console.log(`  ${id}: worker ${Math.round(share * 100)}%, the earliest ${earliestMs.toFixed(3)} ms late; main threads: ${busy()}`)
      if (share < load * busyMin) throw new Error(`${id}: the worker was busy for ${share} of the time`)
      const subject = `${count} room${count === 1 ? '' : 's'}`
      measured.figures.push(...([['p50', 0.5], ['p99', 0.99], ['latest', 1]] as const).map(([name, part]) => figure(id, `${subject}, ${name}`, 'start error', 'ms', at(part))))
      if (isJudged) measured.targets.push(judge('tick/start-error', at(0.99)))
    }
  }
  for (const { room } of rooms) {
    const { stats, status } = room
    if (status !== 'live' || stats.hashMismatches > 0 || stats.resyncs > 0) throw new Error(`tick/start: a client is ${status}, after ${stats.hashMismatches} hashes that differed and ${stats.resyncs} resyncs`)
    await room.leave()
  }
  return measured
}
