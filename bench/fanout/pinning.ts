/** Where the machine has two cores and `taskset`, servers run on one and load on the other, so that none of them waits for another kind's thread. */
import { spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'

export const serverCore = 0, loadCore = 1

const canPin = availableParallelism() >= 2 && spawnSync('taskset', ['--version']).status === 0

export const pinningSaid = canPin ? `servers pinned to core ${serverCore}, load and bench to core ${loadCore}` : 'nothing is pinned: there are not two cores, or no taskset'

/** All threads that the process has; those to come are pinned with the one that starts them. */
export function pin(pid: number, core: number): void {
  if (canPin && spawnSync('taskset', ['-a', '-c', '-p', String(core), String(pid)]).status !== 0) throw new Error(`fanout: process ${pid} could not be pinned to core ${core}`)
}
