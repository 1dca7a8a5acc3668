/**
 * A session's inputs on their way: numbered without holes, kept until a durable number covers them or they are refused, answered in `ask`.
 * Browser and Node; knows nothing of sockets.
 *
 * Invariant: `held` is ascending and below `next`, and reaches back over heldInputsMax numbers at most. A number that it lacks is answered, or too
 * old, and never sent again: whenever others are, a Skip stands where it was.
 */
import { KasagiError } from '../base/errors.js'
import { heldInputsMax } from '../base/limits.js'
import type { MessageTable } from '../schema/field-tables.js'
import { writeInput, writeSkip } from '../wire/client-messages.js'
import { packToBytes } from '../wire/fields.js'
import type { OwnMessage } from '../wire/server-messages.js'

/** `seq`: of the frame that answered it; it is durable once the room is durable up to there. */
interface HeldInput { readonly number: number; readonly input: number; readonly packed: Uint8Array; seq: number | undefined }

export interface Inputs {
  readonly tables: readonly MessageTable[]
  /** By the server's number of an input its place in `tables`; the server of another connection may have others. */
  places: readonly number[]
  /** The number of the next input. */
  next: number
  /** Inputs that are neither durable nor refused yet, oldest first. */
  held: HeldInput[]
  readonly asked: Map<number, { resolve(): void; reject(error: Error): void }>
  send(bytes: Uint8Array): void
}

export const createInputs = (tables: readonly MessageTable[], lastInput: number, send: (bytes: Uint8Array) => void): Inputs =>
  ({ tables, places: [...tables.keys()], next: lastInput + 1, held: [], asked: new Map(), send })

/** Sends an input and returns its number. Throws KasagiError `unknown-input` or `bad-input`, and then no number is used. */
export function sendInput(inputs: Inputs, name: string, data: Readonly<Record<string, unknown>>): number {
  const { tables, held } = inputs
  const input = tables.findIndex((table) => table.name === name)
  if (input < 0) throw new KasagiError('unknown-input', `${name}; inputs: ${tables.map((table) => table.name).join(', ')}`)
  const packed = packToBytes(tables[input].fields, data)
  const number = inputs.next++, one = { number, input, packed, seq: undefined }
  held.push(one)
  // By numbers, so that sending them all again, with a Skip for each hole, takes no more messages than that.
  if (held[0].number <= number - heldInputsMax) held.shift()
  sendHeld(inputs, one)
  return number
}

const sendHeld = ({ places, send }: Inputs, { number, input, packed }: HeldInput): void => send(writeInput(number, places.indexOf(input), packed))

/** The same, as a promise of the answer. */
export const askInput = (inputs: Inputs, name: string, data: Readonly<Record<string, unknown>>): Promise<void> =>
  new Promise((resolve, reject) => { inputs.asked.set(sendInput(inputs, name, data), { resolve, reject }) })

/** Takes the server's answers: what is refused, what is applied, what is durable, and what it wants again. */
export function answerInputs(inputs: Inputs, { seq, durableSeq, lastInput, wanted, nacks = [] }: OwnMessage): void {
  for (const { number, code, text } of nacks) {
    settle(inputs, number, new KasagiError(code, text))
    inputs.held = inputs.held.filter((input) => input.number !== number)
  }
  for (const number of inputs.asked.keys()) if (number <= lastInput) settle(inputs, number, undefined)
  // Whatever has used up numbers that were not sent: what bears them would be taken for a repeat.
  inputs.next = Math.max(inputs.next, lastInput + 1)
  for (const input of inputs.held) if (input.number <= lastInput) input.seq ??= seq
  inputs.held = inputs.held.filter((input) => input.seq === undefined || input.seq > durableSeq)
  if (wanted !== 0) sendAgain(inputs, wanted)
}

/** Sends from `wanted` on, and says of each number that is held no longer that it will not come; of the newest too, or the next input would wait for them. */
function sendAgain(inputs: Inputs, wanted: number): void {
  const { held, next, send } = inputs
  let expected = wanted
  for (const one of held) {
    if (one.number < wanted) continue
    if (one.number > expected) send(writeSkip(one.number))
    sendHeld(inputs, one)
    expected = one.number + 1
  }
  if (expected < next) send(writeSkip(next))
}

/** The first number that a client that comes back may still be asked for: what is before it will not come. */
export const firstHeld = ({ held, next }: Inputs): number => held[0]?.number ?? next

/**
 * A new connection of the same session, which has applied inputs up to `lastInput`: what is behind them is sent again. Who asked before them has
 * missed the answer.
 */
export function continueInputs(inputs: Inputs, lastInput: number): void {
  for (const number of inputs.asked.keys()) if (number <= lastInput) settle(inputs, number, new KasagiError('answer-lost'))
  inputs.held = inputs.held.filter(({ number }) => number > lastInput)
  inputs.next = Math.max(inputs.next, lastInput + 1)
  sendAgain(inputs, lastInput + 1)
}

/** The session is gone, and its inputs with it: numbers begin anew. */
export function forgetInputs(inputs: Inputs, error: Error): void {
  refuseAsked(inputs, error)
  inputs.held = []
  inputs.next = 1
}

/** The stay is over: whoever still waits hears why. */
export function refuseAsked(inputs: Inputs, error: Error): void {
  for (const number of inputs.asked.keys()) settle(inputs, number, error)
}

function settle({ asked }: Inputs, number: number, error: Error | undefined): void {
  const waiting = asked.get(number)
  asked.delete(number)
  if (error === undefined) waiting?.resolve()
  else waiting?.reject(error)
}
