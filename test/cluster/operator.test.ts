/** What an operator sees from outside: `kasagi replay` and `kasagi rooms`, over Redis and over a data folder. */
import { spawn } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../support/engine.js'
import { ownerOf, startCluster, type Cluster } from '../support/cluster.js'
import { createServeProcess } from '../support/process.js'
import { count, enter, picture, project, sleep, type Player, type Tally } from './rig.js'

interface Ran { readonly code: number | null; readonly out: string; readonly err: string }
interface Line { epoch: number; seq: number; tick: number; spawned: Record<string, number>; despawned: Record<string, number>; changed: Record<string, number>; events: Record<string, number> }

function start(...argv: string[]): { readonly ended: Promise<Ran>; lines(): string[]; kill(): void } {
  const child = spawn(process.execPath, ['dist/src/cli.js', ...argv], { stdio: ['ignore', 'pipe', 'pipe'] })
  let out = '', err = ''
  child.stdout.on('data', (data: Uint8Array) => { out += Buffer.from(data).toString() })
  child.stderr.on('data', (data: Uint8Array) => { err += Buffer.from(data).toString() })
  const ended = new Promise<Ran>((resolve) => { child.on('close', (code) => resolve({ code, out, err })) })
  return { ended, lines: () => out.split('\n').slice(0, -1), kill: () => { child.kill('SIGKILL') } }
}
const kasagi = (...argv: string[]): Promise<Ran> => start(...argv).ended

async function expectRefused(argv: readonly string[], text: string): Promise<void> {
  const { code, out, err } = await kasagi(...argv)
  expect([code, out, err.trim().split('\n').length]).toEqual([2, '', 1])
  expect(err).toContain(text)
}

const linesOf = ({ code, out, err }: Ran): Line[] => {
  expect([code, err]).toEqual([0, ''])
  return out.trim().split('\n').map((line) => JSON.parse(line) as Line)
}

interface State { epoch: number; seq: number; tables: Record<string, { row: number; [field: string]: unknown }[]> }

/** The room as {@link picture} shows it, of `--state`. */
function pictureOf({ tables: { $globals: [globals], players, movers } }: State): string {
  return [
    `total ${globals.total as number} ${globals.ticks as number}`, ...players.map(({ row, name, counted }) => `player ${row} ${name as string} ${counted as number}`),
    ...movers.map(({ row, x, born }) => `mover ${row} ${(x as number).toFixed(3)} ${born as number}`),
  ].join('\n')
}

/** Plays, and remembers what it saw at each seq. */
async function play(player: Player, seen: Map<number, string>): Promise<void> {
  player.room.onFlush(() => seen.set(player.room.position.seq, picture(player.room as Tally)))
  for (let n = 0; n < 5; n++) { await count(player); await sleep(60) }
}

/** Seqs of those that both the log and the client have. */
async function expectStates(place: readonly string[], roomId: string, lines: readonly Line[], seen: ReadonlyMap<number, string>): Promise<void> {
  const seqs = lines.map(({ seq }) => seq).filter((seq) => seen.has(seq))
  expect(seqs.length).toBeGreaterThan(3)
  for (const seq of [seqs[0], seqs[seqs.length - 1]]) {
    const { code, out, err } = await kasagi('replay', roomId, ...place, '--state', String(seq))
    expect([code, err]).toEqual([0, ''])
    const state = JSON.parse(out) as State
    expect([state.seq, pictureOf(state)]).toEqual([seq, seen.get(seq)])
    // The servers' own, too.
    expect(Object.keys(state.tables)).toContain('$sessions')
  }
}

const kept = project("durability: 'ops', keepMs: 300, graceMs: 300,")
const hourly = Object.fromEntries(Object.entries(kept).map(([file, text]) => [file, text.replace('snapshotEveryMs: 500', 'snapshotEveryMs: 3_600_000')]))

describe('operators', () => {
  let cluster: Cluster, place: string[]
  beforeAll(async () => { cluster = await startCluster(hourly, 2); place = ['--redis', cluster.redis.url] })
  afterAll(() => cluster?.end())

  it('replay: prints a log of Redis, a range of it, what is published next, and the state at each of its records', async () => {
    const { instances: [{ url }], redis } = cluster, seen = new Map<number, string>()
    const first = await enter(url, 'one', 'ann')
    await expectRefused(['replay', 'tally:one', ...place, '--state', '1'], 'tally:one has only a log: the field tables')
    expect(linesOf(await kasagi('replay', 'tally:one', ...place)).map(({ seq }) => seq).slice(0, 3)).toEqual([1, 2, 3])
    await first.room.leave()
    await until(async () => await redis.client.hexists('room:{tally:one}:snapshot', 'data') === 1 && await ownerOf(cluster, 'tally:one') === undefined, 'it is stored and closed', 10_000)
    const stored = Number(await redis.client.hget('room:{tally:one}:snapshot', 'seq'))
    await expectRefused(['replay', 'tally:one', ...place], `it is stored at seq ${stored}, which --state ${stored} prints`)
    const ann = await enter(url, 'one', 'ann')
    await play(ann, seen)
    const lines = linesOf(await kasagi('replay', 'tally:one', ...place))
    expect(lines.map(({ seq }) => seq)).toEqual(lines.map((_, n) => stored + 1 + n))
    const counted = lines.filter(({ events }) => events[0] === 1)
    expect(counted.length).toBe(5)
    expect(counted[0]).toMatchObject({ spawned: { movers: 1 }, despawned: { movers: 1 } })
    expect([counted[0].changed.$globals >= 2, counted[0].changed.players >= 2, counted[0].changed.movers >= 49]).toEqual([true, true, true])
    await expectStates(place, 'tally:one', lines, seen)
    const [from, to] = [lines[2].seq, lines[5].seq]
    expect(linesOf(await kasagi('replay', 'tally:one', ...place, '--from', String(from), `--to=${to}`))).toEqual(lines.slice(2, 6))

    const following = start('replay', 'tally:one', ...place, '--from', String(to), '--follow')
    await until(() => following.lines().length > lines.length + 10, () => `what is published is printed: ${following.lines().length}`, 10_000)
    const seqs = following.lines().map((line) => (JSON.parse(line) as Line).seq)
    expect(seqs).toEqual(seqs.map((_, n) => to + n))
    following.kill()
    const last = ann.room.position.seq + 15
    expect(linesOf(await kasagi('replay', 'tally:one', ...place, '--follow', '--from', String(last - 3), '--to', String(last))).map(({ seq }) => seq)).toEqual([last - 3, last - 2, last - 1, last])
    await ann.room.leave()
  }, 40_000)

  it('rooms: says who runs which room, where it is and how many are in it, from wherever they came', async () => {
    const { instances, redis } = cluster, players = [await enter(instances[0].url, 'listed', 'ann'), await enter(instances[1].url, 'listed', 'bob')]
    await until(async () => {
      const { code, out } = await kasagi('rooms', ...place, '--json'), room = out.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>).find((entry) => entry.room === 'tally:listed')!
      expect([code, room.instance, room.listing]).toEqual([0, await ownerOf(cluster, 'tally:listed'), room.listing === undefined ? undefined : {}])
      expect(room.epoch).toBe(Number(await redis.client.hget('room:{tally:listed}:epoch', 'epoch')))
      return room.sessions === 2 && (room.seq as number) > 1
    }, 'both sessions are listed', 10_000)
    const { out } = await kasagi('rooms', ...place), lines = out.trim().split('\n')
    expect(lines[0]).toMatch(/^room +instance +epoch +seq +sessions +stored seq +stored at$/)
    // One that closed before is stored, and nobody's.
    expect(lines.find((line) => line.startsWith('tally:one '))).toMatch(/^tally:one +(-|\d+) +\d+ +\d+ +(-|\d) +\d+ +20[-0-9]+ [0-9:]+Z$/)
    expect(lines.find((line) => line.startsWith('tally:listed'))).toMatch(/^tally:listed +\d+ +\d+ +\d+ +2 +- +-$/)
    await Promise.all(players.map(({ room }) => room.leave()))
    await expectRefused(['rooms', 'tally:one', ...place], 'kasagi rooms lists all of them')
    await expectRefused(['rooms', ...place, '--data', 'x'], 'rooms are kept in one place')
    await expectRefused(['rooms', '--redis', 'http://x'], '--redis: it is none; allowed: redis://')
  }, 40_000)

  it('replay: what it cannot do is one line', async () => {
    await expectRefused(['replay', ...place], 'name one room')
    await expectRefused(['replay', 'tally', ...place], 'rooms are called TYPE:NAME')
    await expectRefused(['replay', 'tally:absent', ...place], 'nothing is stored of tally:absent in redis://')
    await expectRefused(['replay', 'tally:absent', ...place, '--state', '3'], 'nothing is stored of tally:absent')
    await expectRefused(['replay', 'tally:one', ...place, '--from', '9', '--to', '3'], '--from 9 lies behind --to 3')
    await expectRefused(['replay', 'tally:one', ...place, '--from', 'x'], '--from: "x"; allowed: a record\'s seq')
    await expectRefused(['replay', 'tally:one', ...place, '--from'], '--from: a value is missing')
    await expectRefused(['replay', 'tally:one', ...place, '--until', '3'], '--until is no option of kasagi replay')
    await expectRefused(['replay', 'tally:one', ...place, '--state', '1'], 'what came before is gone')
    await expectRefused(['replay', 'tally:one', ...place, '--state', '99999'], 'there is no seq 99999 yet')
    await expectRefused(['replay', 'tally:one', '--redis', 'redis://127.0.0.1:1'], 'cannot use redis://127.0.0.1:1')
    await expectRefused(['replay', 'tally:one', '--data', '/nowhere'], 'there is no data folder /nowhere')
  }, 40_000)

  it('replay and rooms: over a data folder, when no process holds it', async () => {
    const served = await createServeProcess(hourly), data = ['--data', `${served.folder}/data`], seen = new Map<number, string>()
    await served.start()
    const first = await enter(served.url, 'kept', 'ann')
    await count(first)
    await expectRefused(['replay', 'tally:kept', ...data], 'is in use by process')
    await expectRefused(['rooms', ...data], 'is in use by process')
    await expectRefused(['replay', 'tally:kept', ...data, '--follow'], '--follow needs --redis')
    await served.kill('SIGTERM')
    await served.start()
    await until(() => first.room.status === 'live', 'ann is back', 10_000)
    await play(first, seen)
    await served.kill('SIGKILL')
    const lines = linesOf(await kasagi('replay', 'tally:kept', ...data))
    await expectStates(data, 'tally:kept', lines, seen)
    const { code, out } = await kasagi('rooms', ...data)
    expect([code, out.trim().split('\n').length]).toEqual([0, 2])
    expect(out).toMatch(new RegExp(`^room +instance +epoch +seq +sessions +stored seq +stored at\ntally:kept +- +${lines[0].epoch} +${lines.at(-1)!.seq} +- +${lines[0].seq - 1} +20[-0-9]+ [0-9:]+Z\n$`))
    await first.room.leave()
    await served.end()
  }, 40_000)
})
