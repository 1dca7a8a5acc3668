/** Real instances in processes of their own, over one real Redis or alone, that serve the rooms of bench/cluster/project. */
import { readFileSync } from 'node:fs'
import { createServeProcess, type ServeProcess } from '../../test/support/process.js'
import type { RedisServer } from '../../test/support/redis.js'

const files = Object.fromEntries(['shared/shapes.ts', 'rooms/ping.ts', 'rooms/crowd.ts'].map((path) => [path, readFileSync(`bench/cluster/project/${path}`, 'utf8')]))

/** `redis` undefined: one that nobody else can join. */
export async function startInstance(redis: RedisServer | undefined): Promise<ServeProcess> {
  const instance = await createServeProcess(files, [], { KASAGI_SECRET: 'a secret that all instances share' })
  await instance.start(...redis === undefined ? [] : ['--redis', redis.url], '--inputs-per-second', '100000', '--connections-per-address', '0', '--log-level', 'warn')
  return instance
}
