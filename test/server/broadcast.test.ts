/** Who is in step with a room: whatever happens to its clients, exactly those subscribe to it that stand where it stands. */
import { describe, expect, it } from 'vitest'
import { nextInt, seedPrng } from '../../src/base/prng.js'
import { disband, isInStep, lookAtBacklogs, seat, standAt, stepIn, stepOut, unseat } from '../../src/server/broadcast.js'
import type { Client, RoomEntry } from '../../src/server/client.js'
import type { Outbox } from '../../src/server/own-words.js'

const seed = process.env.SEED === undefined ? 20_261_126 : Number(process.env.SEED)
const state = new Uint32Array(4)
const int = (below: number): number => nextInt(state, below)

const topic = 'room:here', backlogBytes = 1000

interface Fake { readonly client: Client; readonly subscribed: Set<string>; waiting: number; /** Of the last record it was handed, or told of. */ seq: number }

function createFake(): Fake {
  const fake: Fake = { client: {} as Client, subscribed: new Set(), waiting: 0, seq: 0 }
  const socket = {
    subscribe: (to: string) => { expect(fake.subscribed.has(to)).toBe(false); fake.subscribed.add(to) },
    unsubscribe: (from: string) => { expect(fake.subscribed.delete(from)).toBe(true) },
    buffered: () => fake.waiting,
  }
  Object.assign(fake.client, { socket, state: 'joining', slot: -1, at: { epoch: 0, seq: 0 } })
  return fake
}

const createRoom = (): RoomEntry => ({ at: { epoch: 7, seq: 1 }, bySlot: new Map(), inStep: 0, apart: new Set(), topic, unlookedBytes: 0 }) as unknown as RoomEntry

describe('broadcast', () => {
  it('broadcast: over 4,000 random changes, those subscribe that are in step, each client stands where it was, and nobody is forgotten or counted twice', () => {
    seedPrng(state, seed)
    const room = createRoom(), fakes = Array.from({ length: 12 }, createFake), slow: Client[] = []
    const outbox = { backlogBytes, onSlow: (client: Client) => slow.push(client) } as unknown as Outbox
    const isSeated = ({ client }: Fake): boolean => room.bySlot.get(client.slot) === client
    for (let n = 0; n < 4000; n++) {
      const fake = fakes[int(fakes.length)], { client } = fake, what = int(9), from = room.at.seq
      if (what === 0) seat(room, isSeated(fake) && int(2) === 0 ? client.slot : int(8), client)
      else if (what === 1) unseat(room, client)
      else if (what <= 3) { if (isSeated(fake) && !isInStep(room, client)) { stepIn(room, client); client.state = 'live' } }
      else if (what === 4) stepOut(room, client)
      else if (what === 5) { if (int(20) === 0) disband(room) }
      else if (what === 6) { if (int(20) === 0) standAt(room, from + int(3)) }
      else if (what === 7) {
        for (const other of fakes) other.waiting = int(2) * 2 * backlogBytes
        const lookedAt = room.unlookedBytes + 100 > backlogBytes / 4, fallen = fakes.filter((other) => isInStep(room, other.client) && other.waiting > backlogBytes)
        slow.length = 0
        lookAtBacklogs(outbox, room, 100)
        expect(new Set(slow), `SEED=${seed} step ${n}`).toEqual(new Set(lookedAt ? fallen.map((other) => other.client) : []))
        for (const one of slow) expect([one.state, isInStep(room, one)]).toEqual(['behind', false])
      } else room.at.seq++
      // Whoever is in step moves with the room; who is apart stays.
      for (const other of fakes) {
        const { at } = other.client, stands = isInStep(room, other.client)
        expect(other.subscribed.has(topic), `SEED=${seed} step ${n}`).toBe(stands)
        if (stands) other.seq = room.at.seq
        else expect(at.seq, `SEED=${seed} step ${n}`).toBe(other.seq)
      }
      const seated = fakes.filter(isSeated), inStep = fakes.filter((other) => isInStep(room, other.client))
      expect(inStep.every(isSeated), `SEED=${seed} step ${n}`).toBe(true)
      expect([room.inStep, room.bySlot.size], `SEED=${seed} step ${n}`).toEqual([inStep.length, seated.length])
      expect(new Set(room.apart), `SEED=${seed} step ${n}`).toEqual(new Set(seated.filter((other) => !inStep.includes(other)).map((other) => other.client)))
    }
  })
})
