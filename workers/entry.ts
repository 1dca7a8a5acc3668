/**
 * A room worker's entry: the piscina task that never ends. Imports the authors' rooms, attaches to the arena, takes over what an earlier
 * thread left, and runs the loop. All that it shares with the main thread is listed in memory/crossing.ts.
 */
import { pathToFileURL } from 'node:url'
import { receiveMessageOnPort, threadId, type MessagePort as NodePort } from 'node:worker_threads'
import { whatAndWhere } from '../src/base/errors.js'
import { keyWords } from '../src/base/key-stream.js'
import { createLineLimit } from '../src/base/line-limit.js'
import { attachArena, takeGeneration, type Arena } from '../src/memory/arena.js'
import { atOutputRing, outputRingBytes } from '../src/memory/arena-layout.js'
import { toMain, wideWords, type MainMessage, type WorkerMessage, type WorkerStart } from '../src/memory/crossing.js'
import { createRingWriter } from '../src/memory/ring.js'
import { isRoomModule, type NormalDefinition, type RoomModule } from '../src/room/define.js'
import { createSectionWriter } from '../src/wire/section.js'
import { createEncoder } from './encode.js'
import { createFaults } from './faults.js'
import type { ActiveRoom } from './active-room.js'
import type { Flusher } from './flush.js'
import type { OpenContext } from './assemble-room.js'
import { chargeDeath, type Charge } from './poison.js'
import { catalogOf, createRoomType, type RoomType } from './room-type.js'
import type { Stored } from './stored-room.js'
import { beginCounts, count, createTally } from './tally.js'
import { createTeller } from './teller.js'
import { createVerify, type Unmarked } from './unmarked.js'
import { runLoop } from './worker-loop.js'
import type { Worker } from './worker.js'

// Node's own types know it since version 22 only.
const { setSourceMapsEnabled } = process as unknown as { setSourceMapsEnabled(enabled: boolean): void }

type Post = (message: WorkerMessage) => void

/** The task. Resolves after a stop, or with what is wrong with a room module; rejects if the thread dies. */
export default async function work(start: WorkerStart): Promise<string | undefined> {
  const post: Post = (message) => start.port.postMessage(message)
  setSourceMapsEnabled(true)
  let types: RoomType[]
  try {
    types = await loadTypes(start.roomBundles)
  } catch (error) {
    return whatAndWhere(error)
  }
  post({ kind: 'catalog', types: types.map(catalogOf) })
  post({ kind: 'started', threadId })
  await new Promise((resolve) => { (start.port as unknown as NodePort).once('message', resolve) })
  const arena = attachArena(start.memory)
  const charge = chargeDeath(arena, start.ranOutOfHeap)
  const worker = createWorker(arena, types, start, post)
  if (charge !== undefined) tellCharge(worker, charge)
  try {
    await runLoop(worker)
  } catch (error) {
    // The engine's own fault. What the thread believes is no longer trusted: it ends, and its successor starts from committed state.
    const stack = error instanceof Error ? error.stack : String(error)
    worker.log('error', { worker: arena.worker, stack }, `worker ${arena.worker} ends, for a fault of the engine's own; please report it: ${stack}`)
    process.exit(1)
  }
  return undefined
}

async function loadTypes(bundles: readonly string[]): Promise<RoomType[]> {
  const modules: RoomModule[] = []
  for (const bundle of bundles) {
    const { rooms } = await import(pathToFileURL(bundle).href) as { rooms: unknown[] }
    if (!rooms.every(isRoomModule)) throw new Error('the default export of a file in rooms/ is what defineRoom returns')
    modules.push(...rooms)
  }
  const types = modules.map(createRoomType)
  const twice = types.find(({ name }, index) => types.findIndex((other) => other.name === name) !== index)
  if (twice !== undefined) throw new Error(`two rooms define the type ${JSON.stringify(twice.name)}`)
  return types
}

/** What is not run any more because it has ended its thread again and again. */
function tellCharge({ types, tally, log, arena }: Worker, { typeNumber, text, journalEntry, ...fields }: Charge): void {
  count(tally, 'poisoned', { type: types[typeNumber]?.name ?? '', what: fields.what }, 1)
  log('error', { worker: arena.worker, ...fields, ...(journalEntry === 0 ? {} : { journalEntry }) }, text)
}

const counted = (leftOut: number): object => leftOut === 0 ? {} : { leftOut }

function createWorker(arena: Arena, types: readonly RoomType[], start: WorkerStart, post: Post): Worker {
  const output = createRingWriter(arena, atOutputRing, outputRingBytes)
  const section = createSectionWriter(arena), teller = createTeller(output)
  const tally = createTally(types.map(({ name }) => name)), lines = createLineLimit()
  for (const { name, definition } of types) beginCounts(tally, name, handlerNames(definition))
  const log: Worker['log'] = (level, fields, text) => post({ kind: 'log', level, fields, text })
  const tellUnmarked = (room: ActiveRoom, { table, field, row, rows }: Unmarked): void => {
    count(tally, 'unmarked', { type: room.type.name, table }, rows)
    const leftOut = lines.take(`unmarked ${room.id} ${table} ${field}`)
    if (leftOut === undefined) return
    const others = rows === 1 ? '' : ` and ${rows - 1} more`
    log('error', { room: room.id, table, field, row, rows, ...counted(leftOut) }, `${room.id}: ${table}.${field} was written in row ${row}${others} without ${table}.touch(row): clients do not get it`)
  }
  const flusher: Flusher = {
    encoder: createEncoder(arena, start.instance, (room, table, by) => count(tally, 'quantizedClamped', { type: room.type.name, table }, by)),
    output, generation: takeGeneration(arena), fault: createFaults(arena, start.fault),
    onSkipped: () => {},
    verify: start.verifies ? createVerify(tellUnmarked) : undefined,
  }
  const context: OpenContext = {
    arena, flusher,
    report: (room, handler, error) => {
      count(tally, 'handlerErrors', { type: room.type.name, handler }, 1)
      const leftOut = lines.take(`${room.id} ${handler}`)
      if (leftOut !== undefined) log('error', { room: room.id, handler, ...counted(leftOut) }, `${room.id}: ${handler} threw: ${whatAndWhere(error)}`)
    },
    log: (room, level, what) => log(level, { room: room.id, ...(typeof what === 'object' ? jsonOf(what) : {}) }, typeof what === 'string' ? `${room.id}: ${what}` : room.id),
    count: (room, metric, by) => count(tally, metric, { type: room.type.name }, by),
    lost: (room, session, inputs) => {
      count(tally, 'inputsLost', { type: room.type.name }, inputs)
      const leftOut = lines.take(`lost ${room.id}`)
      if (leftOut === undefined) return
      log('warn', { room: room.id, session, inputs, ...counted(leftOut) }, `${room.id} went back to an older snapshot: ${inputs} inputs of a session that had been acknowledged are lost`)
    },
    randomKey: () => crypto.getRandomValues(new Uint32Array(keyWords)),
    want: (roomKey, slot, connection, number) => teller.tell(toMain.nack, [roomKey, slot, ...wideWords(connection), number], new TextEncoder().encode('wanted')),
    refuse: (roomKey, connection, code) => teller.tell(toMain.refused, [roomKey, ...wideWords(connection)], new TextEncoder().encode(code)),
  }
  return {
    arena, types, output, teller, section, flusher, context, tally, log, actors: new Map(), closed: new Map(), doomed: new Map(),
    tell: (told) => post({ kind: 'tally', tally: told }), ringBell: () => post({ kind: 'bell' }), takeStored: createStoredInbox(start.port),
  }
}

/** The handlers that a room has, as the log and metrics call them. */
function handlerNames({ handlers: { onInput, onTimer, ...single } }: NormalDefinition): string[] {
  const named = (kind: string, of: Readonly<Record<string, unknown>>): string[] => Object.keys(of).map((name) => `${kind}.${name}`)
  return [...Object.entries(single).filter(([, handler]) => handler !== undefined).map(([name]) => name), ...named('onInput', onInput), ...named('onTimer', onTimer)]
}

/** What the main thread has posted: read when it is asked for, because the loop seldom lets the event loop turn. */
function createStoredInbox(port: MessagePort): Worker['takeStored'] {
  const waiting = new Map<number, Stored>()
  return (roomKey) => {
    for (let next = receiveMessageOnPort(port as unknown as NodePort); next !== undefined; next = receiveMessageOnPort(port as unknown as NodePort)) {
      const message = next.message as MainMessage
      if (message !== 'go') waiting.set(message.roomKey, { state: message.stored, records: message.records })
    }
    const stored = waiting.get(roomKey)
    waiting.delete(roomKey)
    return stored
  }
}

/** What crosses a port must be plain; what an author logs may be anything. */
function jsonOf(what: object): Record<string, unknown> {
  try { return JSON.parse(JSON.stringify(what)) as Record<string, unknown> } catch { return { text: String(what) } }
}
