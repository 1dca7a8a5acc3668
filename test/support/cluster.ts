/** Several real instances in processes of their own, one real Redis, and a load balancer before them. */
import { startDoor, type Door } from './door.js'
import { createServeProcess, type ServeProcess } from './process.js'
import { startRedis, type RedisOptions, type RedisServer } from './redis.js'

export interface Cluster {
  readonly redis: RedisServer
  readonly instances: ServeProcess[]
  readonly door: Door
  /** Each instance's way to Redis. */
  readonly wires: readonly Door[]
  /** Starts an instance (again). */
  start(instance: ServeProcess): Promise<void>
  end(): Promise<void>
}

export const leaseMs = 1000

const secret = 'a secret that all instances share'

/** `count` instances that serve a project of `files`. `more`: further flags, of all or of each. */
export async function startCluster(files: Record<string, string>, count: number, options: RedisOptions = {}, more: readonly string[] | ((n: number) => readonly string[]) = []): Promise<Cluster> {
  const redis = await startRedis(options), instances: ServeProcess[] = [], wires: Door[] = []
  for (let n = 0; n < count; n++) {
    instances.push(await createServeProcess(files, [], { KASAGI_SECRET: secret }))
    wires.push(await startDoor([redis.port]))
  }
  const door = await startDoor(instances.map(portOf))
  const start = (instance: ServeProcess): Promise<void> => {
    const n = instances.indexOf(instance)
    return instance.start('--redis', wires[n].url.replace('ws:', 'redis:'), '--lease-ms', String(leaseMs), ...typeof more === 'function' ? more(n) : more)
  }
  const end = async (): Promise<void> => {
    if (process.env.SHOW !== undefined) for (const { output } of instances) console.log(output)
    await door.stop()
    await Promise.all(instances.map((instance) => instance.end()))
    await Promise.all(wires.map((wire) => wire.stop()))
    await redis.end()
  }
  try {
    await Promise.all(instances.map(start))
  } catch (error) {
    await end()
    throw error
  }
  return { redis, instances, door, wires, start, end }
}

export const portOf = ({ http }: ServeProcess): number => Number(new URL(http).port)

/** The instance that runs a room, as its lease in Redis says; undefined: nobody. */
export async function ownerOf({ redis }: Cluster, roomId: string): Promise<number | undefined> {
  const instance = await redis.client.hget(`room:{${roomId}}:owner`, 'instance')
  return instance === null ? undefined : Number(instance)
}
