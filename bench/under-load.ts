/**
 * A server for profilers: this process serves one room of 1,000 entities that all move 20 times a second to 200 clients in another process, for `SECONDS` (15) seconds
 * once they are in, and ends by itself, its workers before it. `make flame` sees its main thread, `make cpuprofile` all its threads.
 */
import { readFileSync } from 'node:fs'
import { startTestEngine } from '../test/support/engine.js'
import { startChild } from './child.js'

const clients = 200, seconds = Number(process.env.SECONDS ?? 15)
const files = Object.fromEntries(['shared/shapes.ts', 'rooms/crowd.ts'].map((path) => [path, readFileSync(`bench/cluster/project/${path}`, 'utf8')]))

const server = await startTestEngine(files, ['--connections-per-address', '0']), load = await startChild(new URL('cluster/crowd-clients.js', import.meta.url), [server.url])
await load.ask({ kind: 'join', count: clients })
console.log(`${clients} clients are in; ${seconds} s of load`)
await new Promise((resolve) => { setTimeout(resolve, seconds * 1000) })
const [received] = await load.ask<number[]>({ kind: 'count' })
await load.end()
await server.stop()
console.log(`${received} deliveries`)
