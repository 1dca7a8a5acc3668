/** Memory that a process has in RAM, its arenas included: what the kernel counts as resident, not what was reserved. Linux. */
import { readFileSync } from 'node:fs'

export function residentKb(pid: number): number {
  const [, kb] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!
  return Number(kb)
}
