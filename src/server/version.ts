/** Which version this is, from the package's own description. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Also when this file runs from its sources. */
const file = ['../..', '../../..'].map((up) => join(dirname(fileURLToPath(import.meta.url)), up, 'package.json')).find(existsSync)!

export const { version } = JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string }
