/** How much of this thread's heap is in use once what nobody holds is gone. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

export function heapUsedBytes(): number {
  collect()
  return process.memoryUsage().heapUsed
}
