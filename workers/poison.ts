/**
 * Author code that ends its thread, again and again. Worker thread; what is written here lies in the room's header and outlives every thread.
 *
 * A successor reads the mark that the dead thread left (guard.ts) before it does anything else, and charges the death to the room whose code
 * ran. Two deaths in one journal entry: its handler is never called again. Two in one tick or timer: the inputs that are not committed yet are
 * dropped. Three: the room is closed, and only it. A commit forgives, for whatever ran has passed; running out of heap is not forgiven, because
 * a leak commits happily until the end, nor is the thirtieth death within a minute, because who sends one poison input can send the next.
 */
import { wallMs } from '../src/base/clock.js'
import { openBlocks, readMark, type Arena, type Block } from '../src/memory/arena.js'
import { atOpenDeathRoom, atOpenDeaths } from '../src/memory/arena-layout.js'
import { handlers } from '../src/memory/crossing.js'
import {
  atCommittedSeq, atDeathCommitted, atDeathHandler, atDeathMinute, atDeathNumber, atDeaths, atDeathsOfMinute, atHeapDeaths, atJournal, atPendingLow, atSkipInputsThrough, atSkipNumber, atTypeNumber, readRoomId,
} from '../src/memory/room-layout.js'
import { readWide, writeWide } from '../src/memory/views.js'

/** What a room does not run any more: the entry `number`, and every input up to `inputsThrough`. */
export interface Poison { readonly number: number; readonly inputsThrough: number }

const deathsToDrop = 2, deathsToClose = 3, deathsOfMinuteToClose = 30

/** What a death has cost the room whose code was running: nothing yet, one entry, the inputs of a tick, or the room. */
export interface Charge {
  readonly typeNumber: number
  readonly room: string
  readonly handler: string
  readonly journalEntry: number
  readonly what: 'entry' | 'inputs' | 'room'
  /** For the log. */
  readonly text: string
}

/** Charges the death of the thread before, if author code was running; returns what that has cost, or undefined. To be called before the mark is cleared. */
export function chargeDeath(arena: Arena, ranOutOfHeap: boolean): Charge | undefined {
  const { roomKey, handler, journalNumber } = readMark(arena)
  const block = handler === 0 ? undefined : openBlocks(arena).find((entry) => entry.roomKey === roomKey)
  if (block === undefined) return undefined
  if (arena.u32[(block.address + atPendingLow) >>> 2] === 0) return chargeOpening(arena, roomKey)
  return chargeRoom(arena, block.address, handler, journalNumber, ranOutOfHeap)
}

/** A room that has never committed has no header to keep: its deaths stand in the arena's. */
function chargeOpening({ u32 }: Arena, roomKey: number): undefined {
  const isSame = u32[atOpenDeathRoom >>> 2] === roomKey
  u32[atOpenDeathRoom >>> 2] = roomKey
  u32[atOpenDeaths >>> 2] = isSame ? u32[atOpenDeaths >>> 2] + 1 : 1
  return undefined
}

function chargeRoom(arena: Arena, base: number, handler: number, number: number, ranOutOfHeap: boolean): Charge | undefined {
  const { u32 } = arena
  const { committed, deaths, isSame } = countDeaths(arena, base, handler, number)
  u32[(base + atDeaths) >>> 2] = deaths
  u32[(base + atDeathHandler) >>> 2] = handler
  writeWide(arena, base + atDeathNumber, number)
  writeWide(arena, base + atDeathCommitted, committed)
  if (ranOutOfHeap) u32[(base + atHeapDeaths) >>> 2]++
  countInMinute(arena, base)
  const charge = (what: Charge['what'], consequence: string): Charge => {
    const room = readRoomId(arena, base), name = handlers[handler]
    const text = `${room}: ${name}${number === 0 ? '' : ` of journal entry ${number}`} has ended the thread ${consequence}`
    return { typeNumber: u32[(base + atTypeNumber) >>> 2], room, handler: name, journalEntry: number, what, text }
  }
  if (isDoomedAt(arena, base)) return charge('room', `${ranOutOfHeap ? 'by running out of heap ' : ''}too often: the room is closed`)
  if (deaths < deathsToDrop || !isSame) return undefined
  if (number !== 0) writeWide(arena, base + atSkipNumber, number)
  // The journal's own header: the number of the entry written last.
  else writeWide(arena, base + atSkipInputsThrough, readWide(arena, base + atJournal + 8))
  return number === 0 ? charge('inputs', 'twice: inputs that are not committed will not run') : charge('entry', 'twice: this entry\'s handler will not run')
}

/** With a death here and now: how many the room has had since its last commit, and whether the last of them was in the same place. */
function countDeaths(arena: Arena, base: number, handler: number, number: number): { committed: number; deaths: number; isSame: boolean } {
  const { u32 } = arena, committed = readWide(arena, base + atCommittedSeq)
  const isForgiven = readWide(arena, base + atDeathCommitted) !== committed
  const isSame = u32[(base + atDeathHandler) >>> 2] === handler && readWide(arena, base + atDeathNumber) === number
  return { committed, deaths: isForgiven ? 1 : u32[(base + atDeaths) >>> 2] + 1, isSame }
}

/** Whether the thread's death here and now would cost its room more than time: random faults must not. */
export function wouldCost(arena: Arena): boolean {
  const { roomKey, handler, journalNumber } = readMark(arena)
  const block = handler === 0 ? undefined : openBlocks(arena).find((entry) => entry.roomKey === roomKey)
  if (block === undefined) return false
  const { u32 } = arena, base = block.address
  if (u32[(base + atPendingLow) >>> 2] === 0) return u32[atOpenDeathRoom >>> 2] === roomKey
  const { deaths, isSame } = countDeaths(arena, base, handler, journalNumber)
  return deaths >= deathsToClose || (deaths >= deathsToDrop && isSame) || u32[(base + atDeathsOfMinute) >>> 2] + 1 >= deathsOfMinuteToClose
}

/** Minutes of the wall clock, as threads share no other: should it jump, a room is judged a minute too mildly. */
function countInMinute({ u32 }: Arena, base: number): void {
  const minute = Math.floor(wallMs() / 60_000)
  u32[(base + atDeathsOfMinute) >>> 2] = u32[(base + atDeathMinute) >>> 2] === minute ? u32[(base + atDeathsOfMinute) >>> 2] + 1 : 1
  u32[(base + atDeathMinute) >>> 2] = minute
}

const isDoomedAt = ({ u32 }: Arena, base: number): boolean => [atDeaths, atHeapDeaths].some((at) => u32[(base + at) >>> 2] >= deathsToClose)
  || u32[(base + atDeathsOfMinute) >>> 2] >= deathsOfMinuteToClose

/** True for a room that is to be closed instead of taken over. */
export const isDoomed = (arena: Arena, { address }: Block): boolean => isDoomedAt(arena, address)

/** True if opening this room has ended the thread as often as may be. */
export const isDeadlyToOpen = ({ u32 }: Arena, roomKey: number): boolean =>
  u32[atOpenDeathRoom >>> 2] === roomKey && u32[atOpenDeaths >>> 2] >= deathsToDrop

export const readPoison = (arena: Arena, base: number): Poison =>
  ({ number: readWide(arena, base + atSkipNumber), inputsThrough: readWide(arena, base + atSkipInputsThrough) })
