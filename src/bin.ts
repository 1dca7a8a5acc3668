#!/usr/bin/env node
/**
 * `kasagi`, as npm installs it. Main thread, first of all: imports only what every Node has, and nothing of the engine before this Node is known
 * to be new enough for it; an older one is told so, instead of failing in the middle of some package.
 */
import { readFileSync } from 'node:fs'

const { engines } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { engines: { node: string } }
const [lowest] = /\d+\.\d+/.exec(engines.node)!
const rank = (version: string): number => {
  const [major, minor] = version.split('.').map(Number)
  return major * 1000 + minor
}

const refuse = (text: string): void => {
  process.stderr.write(`kasagi: ${text}\n`)
  process.exitCode = 2
}

if (rank(process.versions.node) < rank(lowest)) refuse(`needs Node ${lowest} or later; this is ${process.versions.node}`)
else import('./cli.js').catch((error: Error) => refuse(`a package cannot be loaded (${error.message.split('\n')[0]}); run npm install again, on this machine and with optional packages`))
