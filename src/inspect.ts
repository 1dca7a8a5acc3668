/** What `kasagi replay` and `kasagi rooms` share: where they look, and how they print. Reading alone: no room is claimed, and nothing stored is changed. */
import { existsSync } from 'node:fs'
import { once } from 'node:events'
import { KasagiError } from './base/errors.js'
import { readSetting, settings, splitFlag } from './config.js'

/** Where rooms are kept: the address of a Redis, or a data folder. */
export interface Place { readonly redis: string | undefined; readonly data: string }

export interface Asked { readonly place: Place; readonly flags: ReadonlyMap<string, string>; readonly rest: readonly string[] }

/** `known`: the command's own flags, and whether each takes a value. Throws KasagiError `bad-option`, one line. */
export function parseAsked(command: string, argv: readonly string[], env: Readonly<Record<string, string | undefined>>, known: Readonly<Record<string, 'value' | 'switch'>>): Asked {
  const flags = new Map<string, string>(), rest: string[] = [], places = new Map<string, string>()
  for (let at = 0; at < argv.length; at++) {
    if (!argv[at].startsWith('-')) { rest.push(argv[at]); continue }
    const [flag, inline] = splitFlag(argv[at]), name = flag.replace(/^--/, '')
    const isPlace = flag === '--redis' || flag === '--data'
    if (!isPlace && (!flag.startsWith('--') || !Object.hasOwn(known, name))) throw new KasagiError('bad-option', `${flag} is no option of kasagi ${command}; see kasagi --help`)
    const text = inline ?? (known[name] === 'switch' ? '' : argv[++at])
    if (text === undefined) throw new KasagiError('bad-option', `${flag}: a value is missing`)
    ;(isPlace ? places : flags).set(name, text)
  }
  if (places.size === 2) throw new KasagiError('bad-option', 'rooms are kept in one place: --redis or --data')
  return { place: placeOf(places, env), flags, rest }
}

/** What a flag names goes before what the environment names. */
function placeOf(given: ReadonlyMap<string, string>, env: Readonly<Record<string, string | undefined>>): Place {
  const valueOf = (name: 'redis' | 'data'): string | undefined => {
    const setting = settings.find(({ key }) => key === name)!, [variable] = setting.env, text = given.get(name) ?? (env[variable] || undefined)
    return (text === undefined ? setting.fallback() : readSetting(setting, text, given.has(name) ? `--${name}` : variable)) as string | undefined
  }
  return { redis: given.has('data') ? undefined : valueOf('redis'), data: valueOf('data')! }
}

/** Throws KasagiError `data-folder` if nothing can be there; a reader makes no folder. */
export function checkFolder(data: string): void {
  if (data === 'none' || !existsSync(data)) throw new KasagiError('data-folder', `there is no data folder ${data}; name one with --data, or a Redis with --redis`)
}

/** As fast as it is read. */
export async function print(line: string): Promise<void> {
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain')
}

/** Whoever reads may have had enough: `kasagi replay … | head`. */
export function endWithReader(): void {
  process.stdout.on('error', () => process.exit(0))
}
