/** Gauges and plain counts, brought up to date when somebody asks for metrics, so that nothing counts them in the hot path. Main thread. */
import { atInputRing, atOutputRing } from '../memory/arena-layout.js'
import { freeBytes } from '../memory/arena.js'
import type { CatalogEntry } from '../memory/crossing.js'
import { journalFill } from '../memory/journal.js'
import { waitingBytes } from '../memory/ring.js'
import type { Admission } from './admission.js'
import type { Traffic } from './own-words.js'
import type { ClientState } from './client.js'
import type { Metrics } from './metrics.js'
import type { Rooms } from './rooms.js'
import type { WorkerLink } from './worker-link.js'

export interface GaugeSources {
  readonly links: readonly WorkerLink[]
  readonly rooms: Rooms
  readonly types: ReadonlyMap<string, CatalogEntry>
  readonly traffic: Traffic
  readonly admission: Admission
}

const clientStates: readonly ClientState[] = ['new', 'joining', 'live', 'catching', 'behind']

export function refreshGauges(metrics: Metrics, { links, rooms, types, traffic, admission }: GaugeSources): void {
  setTo(metrics.bytesOut, traffic.bytes)
  setTo(metrics.deliveries, traffic.deliveries)
  setTo(metrics.framesIn, traffic.messagesIn)
  metrics.inputs.remove({ result: 'accepted' })
  metrics.inputs.inc({ result: 'accepted' }, traffic.inputsAccepted)
  const inState = new Map<ClientState, number>()
  for (const { state } of admission.clients) inState.set(state, (inState.get(state) ?? 0) + 1)
  for (const state of clientStates) metrics.clients.set({ state }, inState.get(state) ?? 0)
  for (const { name, blockBytes } of types.values()) {
    metrics.roomBytes.set({ type: name }, blockBytes)
    const ofType = [...rooms.byKey.values()].filter(({ type }) => type.name === name)
    metrics.rooms.set({ type: name }, ofType.length)
    metrics.journalFill.set({ type: name }, ofType.reduce((most, { link, base }) => base === 0 ? most : Math.max(most, journalFill(link.arena, base)), 0))
  }
  const roles = { running: 0, following: 0, looking: 0 }
  for (const { state, ownership: { role } } of rooms.byKey.values()) roles[role === 'owning' || role === 'handing' ? 'running' : state === 'open' ? 'following' : 'looking']++
  for (const [role, count] of Object.entries(roles)) metrics.roomsRun.set({ role }, count)
  for (const link of links) refreshWorker(metrics, link)
  const usable = links.filter((link) => link.usable).length
  metrics.workers.set({ state: 'running' }, usable)
  metrics.workers.set({ state: 'given-up' }, links.length - usable)
}

function refreshWorker(metrics: Metrics, { worker, arena, ringFull }: WorkerLink): void {
  const { free, largest } = freeBytes(arena)
  metrics.arenaBytes.set({ worker }, arena.bytes)
  metrics.arenaFree.set({ worker }, free)
  metrics.arenaLargestFree.set({ worker }, largest)
  metrics.ringUsed.set({ worker, ring: 'input' }, waitingBytes(arena, atInputRing))
  metrics.ringUsed.set({ worker, ring: 'output' }, waitingBytes(arena, atOutputRing))
  metrics.ringFull.remove({ worker })
  metrics.ringFull.inc({ worker }, ringFull)
}

/** A count that is kept elsewhere. */
function setTo(counter: { reset(): void; inc(by: number): void }, value: number): void {
  counter.reset()
  counter.inc(value)
}
