/** The room on an instance, as its worker will have it: runs or follows, keeps state and history, shows clients what they may see. */
import { moveLane, openLane } from '../../src/backplane/forwarding.js'
import { isOn, isSame, upTo, type Position } from '../../src/base/lineage.js'
import { unloggedMax } from '../../src/backplane/op-log.js'
import { isAttached } from '../../src/backplane/ownership.js'
import type { Effect, Event } from '../../src/backplane/protocol.js'
import { applied, began, count, make, must } from './checker.js'
import { hearView, hearWelcome, type Connection } from './client.js'
import { nowOf, type Instance, type View } from './instance.js'
import { call, isSteady, sendEvent } from './links.js'
import { logScript, publishScript, rebuild, storeScript } from './redis.js'
import { applyEntries, emptyState, parentOf, type Body, type Entry, type RoomCopy, type RoomRecord, type RoomState } from './room-state.js'

const copyOf = ({ machine, state }: Instance): RoomCopy => ({ position: machine.position!, lineage: upTo(machine.lineage, machine.position!), state })

export function load(instance: Instance, from: Position | undefined): void {
  let copy: RoomCopy | undefined
  call(instance, (server) => { copy = rebuild(server.data); return undefined }, (_event, isLost) => {
    if (isLost) return instance.tell({ kind: 'loadFailed' })
    if (instance.machine.gather?.isLoading === true && isSame(instance.machine.position, from)) {
      instance.tell({ kind: 'loaded', position: copy?.position, lineage: copy?.lineage ?? [] }, copy)
    }
  })
}

export function store(instance: Instance, epoch: number): void {
  const { world, machine } = instance
  if (machine.epoch !== epoch || machine.position === undefined) return
  const copy = copyOf(instance)
  call(instance, (server) => storeScript(world, server, epoch, copy), (event, isLost) => instance.tell(isLost ? { kind: 'storeFailed' } : event!))
}

export function publishRecord(instance: Instance, epoch: number, seq: number): void {
  const { world, id } = instance
  const record = instance.history.find(({ head }) => head.epoch === epoch && head.seq === seq)
  const isLogged = world.settings.durability === 'ops' || world.settings.durability === 'ops-sync'
  if (record === undefined) return isLogged ? instance.tell({ kind: 'logGap', epoch }) : undefined
  const message: Event<Body> = { kind: 'record', head: record.head, owner: id, body: record }
  if (isLogged) return call(instance, (server) => logScript(world, server, record, message), (event, isLost) => instance.tell(isLost ? { kind: 'logFailed', epoch } : event!))
  call(instance, (server) => publishScript(world, server, epoch, message), (event) => { if (event !== undefined) instance.tell(event) })
}

export function answer(instance: Instance, { to, request, from }: Extract<Effect<Body>, { kind: 'answer' }>): void {
  const { machine, history, id, world } = instance
  const first = from === undefined ? -1 : history.findIndex(({ head }) => head.seq === from.seq + 1)
  const records = from !== undefined && isSame(from, machine.position) ? [] : first < 0 ? undefined : history.slice(first)
  const event: Event<Body> = records !== undefined
    ? { kind: 'records', request, records: records.map((record) => ({ head: record.head, owner: id, body: record })) }
    : { kind: 'state', request, position: machine.position!, lineage: copyOf(instance).lineage, body: instance.state }
  const seq = machine.position!.seq
  if (world.settings.durability !== 'ops-sync' || machine.role === 'following' || instance.shownSeq >= seq) return sendEvent(instance, to, event)
  instance.answers.push({ seq, send: () => sendEvent(instance, to, event) })
}

const historyMax = 48
function keep(instance: Instance, record: RoomRecord): void {
  instance.history.push(record)
  if (instance.history.length > historyMax) instance.history.shift()
}

export function apply(instance: Instance, record: RoomRecord): void {
  const { world } = instance
  const { head } = record
  instance.state = applyEntries(instance.state, record.entries)
  applied(world.checker, instance.name, instance.at!, record, instance.state)
  instance.at = { epoch: head.epoch, seq: head.seq }
  keep(instance, record)
  instance.unshown.push({ kind: 'record', position: instance.at, state: instance.state, durableSeq: record.durableSeq, isRewound: false })
  afterChange(instance)
}

export function adopt(instance: Instance, position: Position, state: RoomState): void {
  instance.state = state
  instance.at = position
  instance.history = []
  instance.unshown = [{ kind: 'state', position, state, durableSeq: knownDurable(instance, position.seq), isRewound: false }]
  afterChange(instance)
}

function afterChange(instance: Instance): void {
  for (const [session] of instance.clients) moveLane(instance.forwarding, session, instance.state.applied[session] ?? 0, nowOf(instance))
  if (instance.machine.role === 'following') showAll(instance, Infinity)
}

/** With an asynchronous log nothing is durable before the log says so; else what is shown is. */
export const knownDurable = ({ world, machine }: Instance, seq: number): number => (world.settings.durability === 'ops' ? machine.epoch === 0 ? 0 : machine.loggedSeq : seq)

export function deliver(instance: Instance, seq: number): void {
  instance.shownSeq = Math.max(instance.shownSeq, seq)
  showAll(instance, seq)
  instance.answers = instance.answers.filter((waiting) => waiting.seq > seq || (waiting.send(), false))
}

function showAll(instance: Instance, seq: number): void {
  while (instance.unshown.length > 0 && instance.unshown[0].position.seq <= seq) {
    const view = instance.unshown.shift()!
    for (const client of instance.clients.values()) showTo(instance, client, view)
  }
}

/** A client that joins or comes back is welcome as soon as the room's state names it; all others see what there is. */
export function showTo(instance: Instance, client: Connection, view: View): void {
  const { machine, forwarding } = instance
  const stay = view.state.sessions[client.session]
  // What clients saw and the room has given up, they are told.
  const isRewound = client.sentPosition !== undefined && (client.sentPosition.seq > view.position.seq || !isOn(machine.lineage, client.sentPosition))
  if (client.isLive) {
    if (view.kind === 'state' || isSame(parentOfView(view, instance), client.sentPosition)) hearView(client, { ...view, isRewound })
    else hearView(client, { ...view, kind: 'state', isRewound })
    client.sentPosition = view.position
    return
  }
  if (stay?.generation !== client.generation || stay.edge !== instance.id) return
  client.isLive = true
  client.sentPosition = view.position
  openLane(forwarding, client.session, view.state.applied[client.session] ?? 0, client.sent, nowOf(instance))
  hearWelcome(client, { ...view, kind: 'state', isRewound })
}

function parentOfView({ position }: View, { history }: Instance): Position | undefined {
  const head = history.find((record) => isSame(record.head, position))?.head
  return head === undefined ? undefined : parentOf(head)
}

export function begin(instance: Instance, isNew: boolean): void {
  const { world, machine } = instance
  if (isNew) { instance.state = emptyState; instance.history = []; instance.unshown = []; instance.at = machine.position }
  const { mayForget } = world
  // One that stood still between deciding and running decided rightly, at its time.
  if (!mayForget && isAttached(machine, nowOf(instance))) {
    const others = world.instances.filter((other) => other !== instance && other.machine.role === 'following' && isSteady(other) && isSteady(instance))
      .map((other) => ({ name: other.name, position: other.machine.position }))
    if (others.some(({ position }) => !isSame(position, machine.position))) count(world.checker, 'takeovers among unequals')
    began(world.checker, instance.name, isNew ? undefined : machine.position, [...others, { name: 'the store', position: rebuild(instance.server.data)?.position }])
  } else count(world.checker, 'takeovers')
  instance.journal = []
  instance.accepted.clear()
  instance.attaching.clear()
  instance.isRunning = true
  instance.isStill = false
  instance.shownSeq = 0
  instance.answers = []
}

export function endRunning(instance: Instance): void {
  instance.isRunning = false
  instance.journal = []
  instance.accepted.clear()
  instance.attaching.clear()
  instance.answers = []
}

/** A tick of the room's worker. */
export function flush(instance: Instance): void {
  const { world, machine, state } = instance
  if (!instance.isRunning || instance.isStill || (machine.role !== 'owning' && machine.role !== 'handing')) return
  if (isAttached(machine, nowOf(instance)) && !world.mayForget) {
    must(instance.server.data.epoch === machine.epoch, `${instance.name} counts as attached with epoch ${machine.epoch}, while ${instance.server.data.epoch} is granted`)
  }
  must(world.settings.whenDetached === 'continue' || !machine.isDetached, `${instance.name} plays on, although it is detached and should freeze`)
  must(world.settings.durability !== 'ops-sync' || machine.position!.seq - machine.loggedSeq < unloggedMax, `${instance.name} has ${unloggedMax} records that are not logged, and makes another`)
  const isWaning = Object.values(state.sessions).some(({ grace }) => grace >= 0)
  if (instance.journal.length === 0 && !isWaning) return
  const entries: Entry[] = isWaning ? [...instance.journal, { kind: 'grace' }] : instance.journal
  instance.journal = []
  instance.attaching.clear()
  const fork = machine.lineage.at(-1)!, seq = machine.position!.seq + 1
  instance.state = applyEntries(state, entries)
  const record: RoomRecord = { head: { ...fork, seq }, entries, durableSeq: knownDurable(instance, seq), after: instance.state }
  make(world.checker, record, state)
  instance.at = { epoch: fork.epoch, seq }
  keep(instance, record)
  instance.unshown.push({ kind: 'record', position: instance.at, state: instance.state, durableSeq: record.durableSeq, isRewound: false })
  instance.tell({ kind: 'flushed', seq })
  afterChange(instance)
}
