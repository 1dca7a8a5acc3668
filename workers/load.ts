/**
 * Where a worker's time goes, by room, for the one line that an operator needs when ticks are missed: which room. Worker thread. Plain numbers in a
 * window of at most ten seconds; nothing here outlives the thread.
 */
import type { ActiveRoom } from './active-room.js'

/** What a room has cost in this window. */
export interface RoomLoad { ticks: number; missed: number; skipped: number; ms: number; msMax: number }

export interface LoadWindow { sinceMs: number; missedToldMs: number; skippedToldMs: number }

export interface LoadReport { readonly text: string; readonly fields: Record<string, unknown> }

export const createRoomLoad = (): RoomLoad => ({ ticks: 0, missed: 0, skipped: 0, ms: 0, msMax: 0 })
export const createLoadWindow = (nowMs: number): LoadWindow => ({ sinceMs: nowMs, missedToldMs: -Infinity, skippedToldMs: -Infinity })

const windowMs = 10_000, lineEveryMs = 10_000
/** A tick or two are missed on any busy machine: below these nobody needs to hear of it. */
const missedMin = 3, missedShareMin = 0.02, skippedMin = 10
const roomsNamed = 3

/** Adds one turn of a room. Allocates nothing. */
export function addTurn({ load, flushSkipped }: ActiveRoom, ms: number): void {
  load.ticks++
  if (flushSkipped) load.skipped++
  load.ms += ms
  if (ms > load.msMax) load.msMax = ms
}

/** To be called about every second: gives what is to be logged, if anything. */
export function lookAtLoad(window: LoadWindow, worker: number, rooms: readonly ActiveRoom[], nowMs: number): LoadReport[] {
  const sum = (of: (load: RoomLoad) => number): number => rooms.reduce((total, { load }) => total + of(load), 0)
  const missed = sum((load) => load.missed), ticks = sum((load) => load.ticks) + missed, skipped = sum((load) => load.skipped)
  const seconds = (nowMs - window.sinceMs) / 1000
  const reports: LoadReport[] = []
  if (missed >= missedMin && missed >= ticks * missedShareMin && nowMs - window.missedToldMs >= lineEveryMs) {
    window.missedToldMs = nowMs
    reports.push(tellMissed(worker, rooms, missed, ticks, seconds))
  }
  if (skipped >= skippedMin && nowMs - window.skippedToldMs >= lineEveryMs) {
    window.skippedToldMs = nowMs
    reports.push(tellSkipped(worker, rooms, skipped, seconds))
  }
  if (reports.length > 0 || nowMs - window.sinceMs >= windowMs) {
    window.sinceMs = nowMs
    for (const { load } of rooms) load.ticks = load.missed = load.skipped = load.ms = load.msMax = 0
  }
  return reports
}

const most = (rooms: readonly ActiveRoom[], by: (load: RoomLoad) => number): ActiveRoom[] =>
  rooms.filter(({ load }) => by(load) > 0).sort((a, b) => by(b.load) - by(a.load)).slice(0, roomsNamed)

function tellMissed(worker: number, rooms: readonly ActiveRoom[], missed: number, ticks: number, seconds: number): LoadReport {
  const named = most(rooms, ({ ms }) => ms).map(({ id, load }) => ({ room: id, ms: Math.round(load.ms), msMax: Math.round(load.msMax), ticksMissed: load.missed }))
  const [first] = named, what = `worker ${worker} cannot keep up: its rooms missed ${missed} of ${ticks} ticks in ${seconds.toFixed(1)} s`
  const told = { ticksMissed: missed, ticks, seconds: Number(seconds.toFixed(1)), rooms: named }
  if (first === undefined || !explains(rooms)) {
    return { text: `${what}, though their turns were short: the machine is busy, or the process was paused`, fields: { worker, ...told } }
  }
  return {
    text: `${what}; most of the time went to ${first.room}: ${first.ms} ms, up to ${first.msMax} ms a turn. Make its handlers cheaper, lower its tickHz, or give more --workers`,
    fields: { worker, room: first.room, ...told },
  }
}

/** True if the rooms' own turns took at least half of the time that went missing. */
function explains(rooms: readonly ActiveRoom[]): boolean {
  const lostMs = Math.max(...rooms.map(({ load, type }) => load.missed === 0 ? 0 : load.missed * 1000 / type.definition.tickHz))
  return rooms.reduce((ms, { load }) => ms + load.ms, 0) >= lostMs / 2
}

function tellSkipped(worker: number, rooms: readonly ActiveRoom[], skipped: number, seconds: number): LoadReport {
  const named = most(rooms, (load) => load.skipped).map(({ id, load }) => ({ room: id, flushesSkipped: load.skipped }))
  return {
    text: `worker ${worker} put off ${skipped} flushes in ${seconds.toFixed(1)} s, most of ${named[0].room}: the main thread has not taken its records. See nodejs_eventloop_lag_seconds`,
    fields: { worker, room: named[0].room, flushesSkipped: skipped, seconds: Number(seconds.toFixed(1)), rooms: named },
  }
}
