/** Instances over one real Redis, or alone, that serve the rooms of bench/cluster/project. */
import type { ServeProcess } from '../../test/support/process.js'
import type { RedisServer } from '../../test/support/redis.js'
import { startProject } from '../instances.js'

/** `redis` undefined: one that nobody else can join. */
export const startInstance = (redis: RedisServer | undefined): Promise<ServeProcess> => startProject('bench/cluster/project', ...redis === undefined ? [] : ['--redis', redis.url])
