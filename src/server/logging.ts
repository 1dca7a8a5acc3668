/** The only door to pino. One line per fact; lines about one client are at most one a second. Main thread. */
import { pino } from 'pino'
import { monotonicMs } from '../base/clock.js'

export interface Logger {
  info(fields: object, text: string): void
  warn(fields: object, text: string): void
  error(fields: object, text: string): void
}

export type LogLevel = 'error' | 'warn' | 'info' | 'debug' | 'silent'

/** JSON lines for machines, or short lines for people, on stdout. */
export function createLogger(level: LogLevel, isJson: boolean): Logger {
  if (isJson) return pino({ level, base: undefined, timestamp: pino.stdTimeFunctions.isoTime })
  return pino({ level, base: undefined }, { write: (line: string) => { process.stdout.write(readable(line)) } })
}

const names: Record<number, string> = { 30: 'info ', 40: 'warn ', 50: 'error' }

function readable(line: string): string {
  const { level, time, msg } = JSON.parse(line) as { level: number; time: number; msg: string }
  return `${new Date(time).toTimeString().slice(0, 8)} ${names[level] ?? '     '} ${msg}\n`
}

export interface LineLimit {
  /** How many lines about `key` were left out since the last one, or undefined if this one is to be left out too. */
  take(key: number): number | undefined
  /** What the key stood for is gone. */
  forget(key: number): void
}

/** Keys that are remembered; beyond, the oldest is forgotten, which costs a line at most. */
const keysMax = 10_000
const lineEveryMs = 1000

export function createLineLimit(): LineLimit {
  const last = new Map<number, { atMs: number; leftOut: number }>()
  return {
    take(key) {
      const now = monotonicMs(), entry = last.get(key)
      if (entry !== undefined && now - entry.atMs < lineEveryMs) { entry.leftOut++; return undefined }
      if (last.size >= keysMax) last.delete(last.keys().next().value!)
      last.set(key, { atMs: now, leftOut: 0 })
      return entry?.leftOut ?? 0
    },
    forget: (key) => { last.delete(key) },
  }
}
