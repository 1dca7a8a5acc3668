/** Real instances in processes of their own, which serve the rooms of a folder of the benches'. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createServeProcess, type ServeProcess } from '../test/support/process.js'

/** `folder`: a project as `kasagi serve` takes it. In production, as every peer is. */
export async function startProject(folder: string, ...flags: string[]): Promise<ServeProcess> {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'))
  const instance = await createServeProcess(Object.fromEntries(paths.map((path) => [path, readFileSync(join(folder, path), 'utf8')])), [], { KASAGI_SECRET: 'a secret that all instances share', NODE_ENV: 'production' })
  await instance.start(...flags, '--inputs-per-second', '100000', '--connections-per-address', '0', '--log-level', 'warn')
  return instance
}
