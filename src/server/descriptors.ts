/** How many files this process may have open: sockets are files, and beyond the limit new connections hang without a word. Main thread; Linux only. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'

export interface Descriptors {
  readonly max: number
  /** Open before the first connection. */
  readonly own: number
}

/** To be called once nothing but connections is still to come; undefined where the system does not say. */
export function readDescriptors(): Descriptors | undefined {
  if (!existsSync('/proc/self/limits')) return undefined
  const [, max] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
  return max === undefined ? undefined : { max: Number(max), own: readdirSync('/proc/self/fd').length }
}

const shareMax = 0.9

export const areScarce = ({ max, own }: Descriptors, connections: number): boolean => own + connections > max * shareMax
