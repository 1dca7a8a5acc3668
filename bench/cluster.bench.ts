/**
 * What it costs that any instance serves any room: real processes on loopback, and loops over what one thread does. Each part stands in a file of its own in
 * bench/cluster, and first proves that its contestants deliver the right state. `make bench ONLY=cluster`; `PART=latency` runs one part.
 */
import { startRedis } from '../test/support/redis.js'
import { measureCrowd } from './cluster/crowd.js'
import { measureFollowing } from './cluster/following.js'
import { startInstance } from './cluster/instances.js'
import { measureLatency } from './cluster/latency.js'
import { measurePublishing } from './cluster/publishing.js'
import { createSteal, printSteal } from './paired.js'
import { printFigures, writeReport, type Measured } from './report.js'

const steal = createSteal(), parts: Measured[] = []
const isWanted = (part: string): boolean => (process.env.PART ?? part) === part

const redis = await startRedis(), instances = await Promise.all([redis, redis, redis, undefined].map(startInstance))
const alone = instances.pop()!
try {
  if (isWanted('latency')) parts.push(await measureLatency(redis, instances, steal))
  if (isWanted('following')) parts.push(await measureFollowing(steal))
  if (isWanted('crowd')) parts.push(await measureCrowd(redis, instances, alone, steal))
} finally {
  await Promise.all([...instances, alone].map((instance) => instance.end()))
}
try {
  if (isWanted('publishing')) parts.push(await measurePublishing(redis, steal))
} finally {
  await redis.end()
}
printFigures(parts.flatMap(({ figures }) => figures))
printSteal(steal)
writeReport('cluster', parts)
