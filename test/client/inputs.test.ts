/** Inputs on their way: numbers without holes, held until durable, sent again on demand. */
import { describe, expect, it } from 'vitest'
import { KasagiError } from '../../src/base/errors.js'
import { heldInputsMax } from '../../src/base/limits.js'
import { answerInputs, askInput, continueInputs, createInputs, firstHeld, refuseAsked, sendInput } from '../../src/client/inputs.js'
import { readClientMessage } from '../../src/wire/client-messages.js'
import { epoch, tables } from './fake-room.js'

function createSent(lastInput = 0) {
  const said: string[] = []
  const inputs = createInputs(tables.inputs, lastInput, (bytes) => {
    const message = readClientMessage(bytes)!
    said.push(message.kind === 'input' ? `input ${message.number}` : message.kind === 'skip' ? `skip ${message.to}` : message.kind)
  })
  return { inputs, said }
}

const own = { epoch, seq: 5, durableSeq: 5, lastInput: 0, wanted: 0, sections: 0 }

describe('inputs', () => {
  it('inputs: numbers go on from the last one that the room has applied', () => {
    const { inputs, said } = createSent(41)
    expect([sendInput(inputs, 'add', { by: 1 }), sendInput(inputs, 'add', { by: 2 })]).toEqual([42, 43])
    expect(said).toEqual(['input 42', 'input 43'])
  })

  it('inputs: data that do not fit the schema use no number', () => {
    const { inputs, said } = createSent()
    expect(() => sendInput(inputs, 'add', { by: 1000 })).toThrow('bad-input: by')
    expect(() => sendInput(inputs, 'subtract', {})).toThrow('unknown-input: subtract; inputs: add')
    expect([sendInput(inputs, 'add', { by: 1 }), said]).toEqual([1, ['input 1']])
  })

  it('inputs: one is held until the seq that answered it is durable', () => {
    const { inputs } = createSent()
    for (let n = 0; n < 3; n++) sendInput(inputs, 'add', { by: n })
    const held = (): number[] => inputs.held.map(({ number }) => number)
    answerInputs(inputs, { ...own, seq: 7, durableSeq: 6, lastInput: 2 })
    expect(held()).toEqual([1, 2, 3])
    answerInputs(inputs, { ...own, seq: 9, durableSeq: 7, lastInput: 3 })
    expect(held()).toEqual([3])
    answerInputs(inputs, { ...own, seq: 10, durableSeq: 9, lastInput: 3 })
    expect(held()).toEqual([])
  })

  it('inputs: what is wanted is sent again, in order', () => {
    const { inputs, said } = createSent()
    for (let n = 0; n < 4; n++) sendInput(inputs, 'add', { by: n })
    said.length = 0
    answerInputs(inputs, { ...own, lastInput: 1, wanted: 2 })
    expect(said).toEqual(['input 2', 'input 3', 'input 4'])
  })

  it('inputs: where what is wanted is held no longer, a Skip says from where on', () => {
    const { inputs, said } = createSent()
    for (let n = 0; n < heldInputsMax + 2; n++) sendInput(inputs, 'add', { by: 0 })
    expect(inputs.held.length).toBe(heldInputsMax)
    said.length = 0
    answerInputs(inputs, { ...own, wanted: 1 })
    expect([said[0], said[1], said.length]).toEqual(['skip 3', 'input 3', heldInputsMax + 1])
  })

  it('inputs: one that is refused is held no longer, and a Skip stands where it was whenever others are sent again', () => {
    const { inputs, said } = createSent()
    for (let n = 0; n < 7; n++) sendInput(inputs, 'add', { by: n })
    const nacks = [1, 3, 4, 7].map((number) => ({ number, code: 'not-your-turn', text: '' }))
    answerInputs(inputs, { ...own, nacks })
    expect([inputs.held.map(({ number }) => number), firstHeld(inputs)]).toEqual([[2, 5, 6], 2])
    said.length = 0
    answerInputs(inputs, { ...own, wanted: 1 })
    expect(said).toEqual(['skip 2', 'input 2', 'skip 5', 'input 5', 'input 6', 'skip 8'])
    said.length = 0
    answerInputs(inputs, { ...own, wanted: 4 })
    expect(said).toEqual(['skip 5', 'input 5', 'input 6', 'skip 8'])
    said.length = 0
    answerInputs(inputs, { ...own, wanted: 8 })
    expect(said).toEqual([])
  })

  it('inputs: one that is refused as it is asked for again is not sent', () => {
    const { inputs, said } = createSent()
    for (let n = 0; n < 2; n++) sendInput(inputs, 'add', { by: n })
    said.length = 0
    answerInputs(inputs, { ...own, wanted: 1, nacks: [{ number: 1, code: 'expired', text: '' }] })
    expect(said).toEqual(['skip 2', 'input 2'])
  })

  it('inputs: a new connection is told of the holes too, and the input behind them needs no word', () => {
    const { inputs, said } = createSent()
    for (let n = 0; n < 5; n++) sendInput(inputs, 'add', { by: n })
    answerInputs(inputs, { ...own, nacks: [2, 5].map((number) => ({ number, code: 'expired', text: '' })) })
    said.length = 0
    continueInputs(inputs, 1)
    expect(said).toEqual(['skip 3', 'input 3', 'input 4', 'skip 6'])
    expect(firstHeld(inputs)).toBe(3)
    said.length = 0
    continueInputs(inputs, 4)
    expect([said, firstHeld(inputs), sendInput(inputs, 'add', { by: 1 }), said.at(-1)]).toEqual([['skip 6', 'input 6'], 6, 6, 'input 6'])
  })

  it('inputs: with a hole at every other number, sending all again takes no more messages than inputs can be held', () => {
    const { inputs, said } = createSent()
    for (let n = 0; n < heldInputsMax * 3; n++) {
      const number = sendInput(inputs, 'add', { by: 0 })
      if (number % 2 === 0) answerInputs(inputs, { ...own, nacks: [{ number, code: 'expired', text: '' }] })
    }
    said.length = 0
    answerInputs(inputs, { ...own, wanted: 1 })
    expect(said.length).toBeLessThanOrEqual(heldInputsMax + 1)
    expect(said.slice(0, 3)).toEqual([`skip ${heldInputsMax * 2 + 1}`, `input ${heldInputsMax * 2 + 1}`, `skip ${heldInputsMax * 2 + 3}`])
  })

  it('inputs: an ask resolves when its number is applied, and rejects with the nack of its number', async () => {
    const { inputs } = createSent()
    const asked = [1, 2, 3].map((by) => askInput(inputs, 'add', { by }).then(() => 'applied', (error: KasagiError) => error.message))
    answerInputs(inputs, { ...own, lastInput: 2, nacks: [{ number: 2, code: 'not-your-turn', text: 'wait' }] })
    expect(inputs.asked.size).toBe(1)
    refuseAsked(inputs, new KasagiError('going-away'))
    expect(await Promise.all(asked)).toEqual(['applied', 'not-your-turn: wait', 'going-away'])
  })
})
