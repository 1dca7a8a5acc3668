/** What the server says, and what it does to a stay. Browser and Node; knows nothing of how a connection is opened or lost. */
import { monotonicMs } from '../base/clock.js'
import { leadsOver } from '../base/lineage.js'
import { KasagiError } from '../base/errors.js'
import { writeLeave, writeReady, writeResync } from '../wire/client-messages.js'
import { readServerMessage, type PongMessage, type ResyncedMessage, type ServerMessage, type WelcomeMessage } from '../wire/server-messages.js'
import { BadSection } from './apply.js'
import { answerInputs, continueInputs, createInputs } from './inputs.js'
import { readNumbering } from './numbering.js'
import { createReplication, expectFrame, expectSections, expectSnapshot, holdSync, loseSync, receiveSection, renumber, type Replication } from './replication.js'
import { callBack, endStay, setDetached, setStatus, tell, type Stay, type Welcomed } from './stay.js'

/** Takes one message. */
export function hear(stay: Stay, message: ArrayBuffer): void {
  stay.stats.bytesIn += message.byteLength
  const said = readServerMessage(new Uint8Array(message))
  if (said !== undefined) return answer(stay, said)
  if (stay.welcomed === undefined) return
  const { replication } = stay.welcomed
  try {
    receiveSection(replication, message)
  } catch (error) {
    if (!(error instanceof BadSection)) throw error
    // A snapshot is what mends; one that is broken itself would be asked for without end.
    if (replication.state === 'snapshot') return endStay(stay, new KasagiError('bad-message', error.message))
    console.warn(`kasagi: ${error.message}; the state is fetched anew`)
    loseSync(replication)
  }
  stay.stats.frames = replication.frames
  stay.stats.sections = replication.sections
}

function answer(stay: Stay, said: ServerMessage): void {
  switch (said.kind) {
    case 'welcome': return welcome(stay, said.welcome)
    case 'own': {
      if (stay.welcomed === undefined) return
      expectFrame(stay.welcomed.replication, said.own.sections)
      return answerInputs(stay.welcomed.inputs, said.own)
    }
    case 'notice': return notice(stay, said.code, said.text)
    case 'resynced': return resynced(stay, said.resynced)
    case 'pong': return measure(stay, said.pong)
  }
}

/** Two codes close nothing; behind any other the close follows. */
function notice(stay: Stay, code: string, text: string): void {
  const isDetached = code === 'detached'
  if (isDetached || code === 'attached') setDetached(stay, isDetached)
  else stay.notice = new KasagiError(code, text)
}

/** The first Welcome begins the stay; a later one goes on with it, in the same session or in a new one. */
function welcome(stay: Stay, given: WelcomeMessage): void {
  const isResumed = stay.token !== '', isFirst = stay.welcomed === undefined
  const { replication, inputs } = stay.welcomed ??= beginStay(stay, given)
  stay.welcomed.welcome = given
  try {
    const numbering = readNumbering(stay.tables, given, isResumed)
    renumber(replication, numbering)
    inputs.places = numbering.inputs
  } catch (error) {
    // The page has to be loaded anew, and then comes as another session.
    stay.transport?.send(writeLeave())
    return endStay(stay, error instanceof KasagiError ? error : new KasagiError('bad-message', String(error)))
  }
  stay.token = given.token
  stay.isWelcome = true
  stay.losses = 0
  // Another server may have another view of the others; one that is detached says so behind its Welcome.
  setDetached(stay, false)
  stay.clockSamples.length = 0
  stay.transport?.send(writeReady(given.generation))
  if (isFirst) return expectSnapshot(replication, given.epoch, given.seq)
  stay.stats.reconnects++
  continueInputs(inputs, given.lastInput)
  if (!isResumed) return expectSnapshot(replication, given.epoch, given.seq)
  if (isRewound(replication.position, given)) tell(stay, 'rewound')
  holdSync(replication)
}

const beginStay = (stay: Stay, welcome: WelcomeMessage): Welcomed => ({
  welcome, replication: createStayReplication(stay, welcome.flushHz),
  inputs: createInputs(stay.tables.inputs, welcome.lastInput, (bytes) => { if (stay.isWelcome) stay.transport?.send(bytes) }),
})

/** The room went back behind what this client has seen: its epoch does not continue the client's position. */
const isRewound = (position: Replication['position'], given: WelcomeMessage): boolean => position.epoch !== 0 && !leadsOver(given, position)

function createStayReplication(stay: Stay, flushHz: number): Replication {
  const replication = createReplication(stay.tables, flushHz, stay.address.options.verify ?? false, {
    nowMs: monotonicMs,
    event: (name, data) => { stay.events.push({ name, data }) },
    flushed: () => callBack(stay, replication),
    missed: (events) => { stay.stats.missedEvents += events },
    resync: () => askResync(stay, replication),
    complete: () => stay.onComplete(),
    differs: (columns) => {
      stay.stats.hashMismatches++
      console.warn(`kasagi: state differs from the room's in ${columns.map(({ table, field }) => `${table}.${field}`).join(', ')}`)
      loseSync(replication)
    },
  })
  return replication
}

function askResync(stay: Stay, { position }: Replication): void {
  stay.stats.resyncs++
  setStatus(stay, 'resuming')
  stay.transport?.send(writeResync(position.epoch, position.seq))
}

/** The answer to a Resync or a resume; or the server's own, to a client that has been too slow. */
function resynced(stay: Stay, { kind, epoch, seq, rewound }: ResyncedMessage): void {
  if (stay.welcomed === undefined) return
  if (rewound === true) tell(stay, 'rewound')
  if (kind === 0) return expectSections(stay.welcomed.replication, epoch)
  setStatus(stay, 'resuming')
  expectSnapshot(stay.welcomed.replication, epoch, seq)
}

const clockSamplesMax = 8

/** Of the last round trips the shortest tells the server's clock best: half of it is what the answer took (as in NTP, RFC 5905). */
function measure(stay: Stay, { sent, serverMs, tickMs }: PongMessage): void {
  const now = monotonicMs(), pingMs = now - sent
  stay.clockSamples.push({ pingMs, offsetMs: serverMs + pingMs / 2 - now })
  if (stay.clockSamples.length > clockSamplesMax) stay.clockSamples.shift()
  const best = stay.clockSamples.reduce((least, sample) => sample.pingMs < least.pingMs ? sample : least)
  Object.assign(stay.stats, { pingMs, tickMs, clockOffsetMs: best.offsetMs })
}
