/** The only door to pino. One line per fact, on stdout: JSON for machines, or short lines for people. Main thread. */
import { pino } from 'pino'

/** `error` needs a human, `warn` is worth knowing in the morning, `info` is ordinary, `debug` is every room and every client. */
export interface Logger {
  debug(fields: object, text: string): void
  info(fields: object, text: string): void
  warn(fields: object, text: string): void
  error(fields: object, text: string): void
}

export type LogLevel = 'error' | 'warn' | 'info' | 'debug' | 'silent'

export function createLogger(level: LogLevel, isJson: boolean): Logger {
  const options = { level, base: undefined, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label: string) => ({ level: label }) } }
  if (isJson) return pino(options)
  return pino(options, { write: (line: string) => { process.stdout.write(readable(line)) } })
}

/** Time, level, text, and those fields that the text does not say already. */
function readable(line: string): string {
  const { level, time, msg, ...fields } = JSON.parse(line) as { level: string; time: string; msg: string } & Record<string, unknown>
  const more = Object.entries(fields).filter(([, value]) => typeof value !== 'object' && value !== '' && !msg.includes(String(value))).map(([name, value]) => `${name}=${String(value)}`)
  // What a stranger sent must not speak to a terminal.
  return `${new Date(time).toTimeString().slice(0, 8)} ${level.padEnd(5)} ${[msg, ...more].join(' ').replace(/\p{Cc}+/gu, ' ')}\n`
}
