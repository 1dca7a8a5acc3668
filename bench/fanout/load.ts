/**
 * The load of the fan-out bench: clients of all contestants on bare sockets, in a process of its own. A group is a contestant's clients; one group at a time is
 * told to take a turn: one client of each room says go, all count what comes, and, if wanted, each steers at every tick and waits for its acknowledgement.
 *
 * A delivery is one client's update of one tick, however many frames. A turn is over when every client has every delivery, and fails if one is missing,
 * if one too many came before it, or if a client was lost: nothing is averaged over clients that were left out.
 */
import { until } from '../../test/support/until.js'
import { dialects, heard, type Dialect, type DialectName, type Heard, type Place, type Player } from './dialects.js'
import { tickMs, type RoomType } from './project/shared/place.js'
import { openRaw } from '../raw-client.js'

export interface JoinQuestion {
  readonly kind: 'join'; readonly group: string; readonly dialect: DialectName; readonly port: number; readonly type: RoomType
  readonly names: readonly string[]
  /** In each room; those that are there already count. */
  readonly clients: readonly number[]
}
/** `inputs`: of each client, one a tick. */
export interface TurnQuestion { readonly kind: 'turn'; readonly group: string; readonly ticks: number; readonly inputs: number }
export type Question = JoinQuestion | TurnQuestion | { readonly kind: 'leave'; readonly group: string }
/** `wrong`: why there is no answer, or ''. */
export interface Joined { readonly wrong: string }
export interface TurnAnswer extends Joined {
  /** Turns a second, by the first client's deliveries. */
  readonly hz: number
  readonly deliveries: number
  readonly bytes: number
  /** From an input to its acknowledgement, in ms. */
  readonly latencies: readonly number[]
}

interface Turn { readonly ticks: number; /** Players that still lack a delivery. */ due: number; firstMs: number; lastMs: number; readonly latencies: number[] }
interface Group { readonly dialect: Dialect; readonly rooms: Player[][]; readonly players: Player[]; beat: NodeJS.Timeout | undefined; lost: string; turn: Turn | undefined }

const groups = new Map<string, Group>()
const sleep = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms) })

/** So many of a contestant's clients are on their way in at once. */
const joinsAtOnce = 25
/** Within a tick, inputs leave in so many batches. */
const batchesPerTick = 10
const beatMs = 10_000

async function join({ group: name, dialect, port, type, names, clients }: JoinQuestion): Promise<Joined> {
  const group = groups.get(name) ?? createGroup(dialects[dialect], names.length)
  groups.set(name, group)
  const places = names.flatMap((roomName, room) => Array.from({ length: clients[room] - group.rooms[room].length }, () => ({ room, place: { port, name: roomName, type } })))
  for (let first = 0; first < places.length && group.lost === ''; first += joinsAtOnce) {
    const players = await Promise.all(places.slice(first, first + joinsAtOnce).map(({ room, place }) => enter(group, room, place)))
    await until(() => group.lost !== '' || players.every(({ isIn }) => isIn), `clients have joined ${name}`, 20_000)
  }
  await settle(group)
  return { wrong: group.lost }
}

function createGroup(dialect: Dialect, rooms: number): Group {
  const group: Group = { dialect, rooms: Array.from({ length: rooms }, () => []), players: [], beat: undefined, lost: '', turn: undefined }
  const { beat } = dialect
  if (beat !== undefined) group.beat = setInterval(() => { if (group.turn === undefined) for (const { raw } of group.players) raw.send(beat) }, beatMs)
  return group
}

async function enter(group: Group, room: number, place: Place): Promise<Player> {
  const { dialect } = group
  const raw = openRaw(place.port, await dialect.pathOf(place), {
    open: () => dialect.opened(player, place),
    message: (_, bytes, opcode) => {
      try {
        count(group, player, dialect.message(player, bytes, opcode))
      } catch (error) {
        group.lost ||= (error as Error).message
      }
    },
    lost: (why) => { group.lost ||= `a client of ${place.name} is lost: ${why}` },
  })
  const player: Player = { raw, isIn: false, deliveries: 0, sent: 0, acked: 0, sentMs: 0 }
  group.rooms[room].push(player)
  group.players.push(player)
  return player
}

const bytesOf = ({ players }: Group): number => players.reduce((sum, { raw }) => sum + raw.bytes, 0)

/** Nothing comes any more: what a join brings is behind everybody. */
async function settle(group: Group): Promise<void> {
  for (let before = -1, now = bytesOf(group); before !== now; now = bytesOf(group)) {
    before = now
    await sleep(2 * tickMs)
  }
}

/** Takes what was heard. Allocates nothing but a number for each acknowledgement. */
function count({ turn, players }: Group, player: Player, what: Heard): void {
  if (turn === undefined) return
  if ((what & heard.delivery) !== 0) {
    player.deliveries++
    if (player.deliveries === turn.ticks) turn.due--
    if (player === players[0]) {
      if (player.deliveries === 1) turn.firstMs = performance.now()
      if (player.deliveries === turn.ticks) turn.lastMs = performance.now()
    }
  }
  if ((what & heard.acknowledged) !== 0 && player.sentMs !== 0 && player.acked === player.sent) {
    turn.latencies.push(performance.now() - player.sentMs)
    player.sentMs = 0
  }
}

/** One input a tick of every player, spread over the tick, on an absolute schedule. */
async function steer({ dialect, players }: Group, inputs: number): Promise<void> {
  const began = performance.now(), batchMs = tickMs / batchesPerTick
  for (let batch = 0; batch < inputs * batchesPerTick; batch++) {
    const waitMs = began + batch * batchMs - performance.now()
    if (waitMs > 0) await sleep(waitMs)
    for (let n = batch % batchesPerTick; n < players.length; n += batchesPerTick) {
      const player = players[n]
      player.raw.send(dialect.steer(player))
      player.sentMs = performance.now()
    }
  }
}

async function takeTurn({ group: name, ticks, inputs }: TurnQuestion): Promise<TurnAnswer> {
  const group = groups.get(name)!, { players, rooms, dialect } = group
  for (const player of players) player.deliveries = player.sentMs = 0
  const turn: Turn = group.turn = { ticks, due: players.length, firstMs: 0, lastMs: 0, latencies: [] }, before = bytesOf(group)
  for (const [first] of rooms) first.raw.send(dialect.go(first, ticks))
  await steer(group, inputs)
  const isOver = (): boolean => turn.due === 0 && players.every(({ sent, acked }) => inputs === 0 || acked === sent)
  const end = performance.now() + 2 * ticks * tickMs + 3000
  while (!isOver() && group.lost === '' && performance.now() < end) await sleep(tickMs / 5)
  // What comes too much, comes within a tick.
  await sleep(1.2 * tickMs)
  group.turn = undefined
  return {
    wrong: group.lost !== '' ? group.lost : whatIsMissing(players, ticks, inputs), hz: (ticks - 1) * 1000 / (turn.lastMs - turn.firstMs),
    deliveries: players.reduce((sum, { deliveries }) => sum + deliveries, 0), bytes: bytesOf(group) - before, latencies: turn.latencies,
  }
}

/** With inputs there may be an update more than turns: one that tells of inputs alone. */
function whatIsMissing(players: readonly Player[], ticks: number, inputs: number): string {
  const counts = players.map(({ deliveries }) => deliveries), least = Math.min(...counts), most = Math.max(...counts)
  if (least < ticks || inputs === 0 && most > ticks) return `of ${ticks} turns clients have got ${least} to ${most}`
  const unanswered = inputs === 0 ? 0 : players.filter(({ sent, acked }) => acked !== sent).length
  return unanswered === 0 ? '' : `${unanswered} clients have inputs that were never acknowledged`
}

function leave(name: string): Joined {
  const group = groups.get(name)!
  clearInterval(group.beat)
  for (const { raw } of group.players) raw.end()
  groups.delete(name)
  return { wrong: '' }
}

const failed = (error: Error): Joined => ({ wrong: error.message })
process.on('message', (question: Question) => {
  const answer = question.kind === 'join' ? join(question) : question.kind === 'turn' ? takeTurn(question) : Promise.resolve(leave(question.group))
  void answer.catch(failed).then((said) => process.send?.(said))
})
process.on('disconnect', () => process.exit(0))
process.send?.('ready')
