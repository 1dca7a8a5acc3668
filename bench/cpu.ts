/** CPU of threads by the scheduler's nanoseconds, and which of the machine's resources a run used up. Linux. */
import { readdirSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'

/** A process by its main thread: Redis has one that counts, of the engine it owns sockets and Redis. */
export interface Watched { readonly name: string; readonly pid: number }

/** Nanoseconds that a process's main thread has run. */
export const mainThreadNs = (pid: number): number => Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')[0])

/** What all threads of a process have used: nanoseconds by the scheduler, and the kernel's ticks, which tell user and kernel apart but are coarse. */
export interface ProcessTimes { readonly ns: number; readonly userTicks: number; readonly kernelTicks: number }

/** Of a process whose threads stay: what an ended thread has used is gone from here. */
export function processTimes(pid: number): ProcessTimes {
  let ns = 0, userTicks = 0, kernelTicks = 0
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    ns += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ', 1)[0])
    // The name, in brackets, may hold spaces; behind it user time is the 12th field, kernel time the 13th.
    const fields = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8').split(') ').at(-1)!.split(' ')
    userTicks += Number(fields[11])
    kernelTicks += Number(fields[12])
  }
  return { ns, userTicks, kernelTicks }
}

interface Reading { readonly ms: number; readonly ns: readonly number[]; readonly idle: number; readonly all: number }

function read(watched: readonly Watched[]): Reading {
  const ticks = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0].trim().split(/\s+/).slice(1, 9).map(Number)
  return { ms: performance.now(), ns: watched.map(({ pid }) => mainThreadNs(pid)), idle: ticks[3] + ticks[4], all: ticks.reduce((sum, each) => sum + each, 0) }
}

/** From here on; gives back how to say it: each main thread's share of a core, the machine's of all of them, and what was used up. */
export function watch(watched: readonly Watched[]): () => string {
  const before = read(watched)
  return () => {
    const after = read(watched), ms = after.ms - before.ms
    const shares = watched.map(({ name }, index) => ({ name, share: (after.ns[index] - before.ns[index]) / 1e6 / ms }))
    const machine = 1 - (after.idle - before.idle) / Math.max(1, after.all - before.all)
    const full = shares.filter(({ share }) => share >= 0.9).map(({ name }) => name)
    if (machine >= 0.95) full.push(`all ${cpus().length} cores`)
    const percent = (share: number): string => `${Math.round(share * 100)}%`
    return `${shares.map(({ name, share }) => `${name} ${percent(share)}`).join(', ')}, machine ${percent(machine)}; saturated: ${full.length === 0 ? 'nothing' : full.join(', ')}`
  }
}
