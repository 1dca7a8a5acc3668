/** Settings: one table from which flags, environment and --help come. A wrong one is one line that says what is allowed. */
import { availableParallelism } from 'node:os'
import { parseRedisUrl } from './backplane/redis-url.js'
import { KasagiError } from './base/errors.js'
import {
  arenaBytesDefault, arenaBytesMax, backlogBytesDefault, clientMessageBytesMax, connectionsMaxDefault, connectionsPerAddressDefault, inputsPerSecondMax, drainMsDefault, leaseMsDefault,
  roomsPerAddressDefault, stallMsDefault,
} from './base/limits.js'

export interface Config {
  readonly port: number
  readonly host: string
  readonly sockets: 'auto' | 'uws' | 'ws'
  /** PEM files; both or neither. */
  readonly tlsCert: string | undefined
  readonly tlsKey: string | undefined
  readonly workers: number
  readonly arenaBytes: number
  readonly origins: readonly string[]
  readonly messageBytes: number
  readonly inputsPerSecond: number
  readonly backlogBytes: number
  readonly stallMs: number
  readonly data: string
  /** Where instances meet; undefined: this one is alone. May hold a password. */
  readonly redis: string | undefined
  /** How long a room's lease runs that is not renewed. */
  readonly leaseMs: number
  /** Copies of Redis that must have a logged record before it counts. */
  readonly opsReplicas: number
  /** How records are published and logged; they are read in either form. */
  readonly deltaFormat: 'flatbuffers' | 'msgpack'
  /** What rooms may take to be given away when the process is told to end. */
  readonly drainMs: number
  readonly authSecret: string | undefined
  readonly authKeys: string | undefined
  readonly authRevoked: string | undefined
  readonly connections: number
  readonly connectionsPerAddress: number
  readonly roomsPerAddress: number
  /** Rooms that are opened at start, and stay. */
  readonly open: readonly string[]
  /** Signs resume tokens; after a comma, an older one that is still accepted. */
  readonly secret: string | undefined
  readonly logLevel: 'error' | 'warn' | 'info' | 'debug' | 'silent'
  readonly logJson: boolean
  /** Names what was written without `touch`. */
  readonly verify: boolean
  /** Tests only: the fault point at which a worker ends, once. */
  readonly fault: string | undefined
}

export interface Setting {
  readonly key: keyof Config
  readonly flag: string
  readonly env: readonly string[]
  /** What stands behind the flag in the help; empty for a switch. */
  readonly value: string
  readonly help: string
  readonly hidden?: boolean
  /** Never on a command line, where every process can read it. */
  readonly isSecret?: boolean
  /** A wrong value is not repeated in what is said about it: it may hold a password. */
  readonly isHushed?: boolean
  readonly fallback: () => unknown
  /** The value, or undefined if the text is none. */
  parse(text: string): unknown
  readonly allowed: string
}

const integer = (low: number, high: number) => (text: string): number | undefined => {
  const value = Number(text)
  return /^\d+$/.test(text) && value >= low && value <= high ? value : undefined
}

const units: Record<string, number> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 }
const bytes = (low: number, high: number) => (text: string): number | undefined => {
  const match = /^(\d+)([KMG]?)$/i.exec(text)
  const value = match === null ? NaN : Number(match[1]) * units[match[2].toUpperCase()]
  return value >= low && value <= high ? value : undefined
}

const levels = ['error', 'warn', 'info', 'debug', 'silent']
const one = (names: readonly string[]) => (text: string): string | undefined => names.includes(text) ? text : undefined
const libraries = ['auto', 'uws', 'ws']
const whens = ['auto', 'on', 'off']
const deltaFormats = ['flatbuffers', 'msgpack']
const path = (text: string): string | undefined => text || undefined
const arenaBytesMin = 16 * 1024 ** 2

export const settings: readonly Setting[] = [
  { key: 'port', flag: 'port', env: ['KASAGI_PORT', 'PORT'], value: 'N', help: 'port to listen on', fallback: () => 9001, parse: integer(0, 65535), allowed: '0 to 65535' },
  { key: 'host', flag: 'host', env: ['KASAGI_HOST'], value: 'ADDRESS', help: 'address to listen on', fallback: () => '0.0.0.0', parse: (text) => text || undefined, allowed: 'an address' },
  { key: 'sockets', flag: 'sockets', env: ['KASAGI_SOCKETS'], value: 'LIBRARY', help: 'uws is fast, ws runs on every Node; auto: uws or ws', fallback: () => 'auto', parse: one(libraries), allowed: libraries.join(', ') },
  { key: 'tlsCert', flag: 'tls-cert', env: ['KASAGI_TLS_CERT'], value: 'FILE', help: 'certificate (PEM); serves https and wss', fallback: () => undefined, parse: path, allowed: 'a file' },
  { key: 'tlsKey', flag: 'tls-key', env: ['KASAGI_TLS_KEY'], value: 'FILE', help: 'the certificate\'s key (PEM)', fallback: () => undefined, parse: path, allowed: 'a file' },
  { key: 'workers', flag: 'workers', env: ['KASAGI_WORKERS'], value: 'N', help: 'threads that run rooms; one fewer than cores', fallback: () => Math.max(1, availableParallelism() - 1), parse: integer(1, 256), allowed: '1 to 256' },
  { key: 'arenaBytes', flag: 'arena-bytes', env: ['KASAGI_ARENA_BYTES'], value: 'N', help: 'address space per worker, with K, M or G', fallback: () => arenaBytesDefault, parse: bytes(arenaBytesMin, arenaBytesMax), allowed: '16M to just below 2G' },
  { key: 'origins', flag: 'origin', env: ['KASAGI_ORIGIN'], value: 'ORIGIN', help: 'page that may connect; again for more; * for all', fallback: () => [], parse: (text) => text.split(',').map((part) => part.trim()).filter(Boolean), allowed: 'https://example.org' },
  { key: 'messageBytes', flag: 'message-bytes', env: ['KASAGI_MESSAGE_BYTES'], value: 'N', help: 'largest message of a client', fallback: () => clientMessageBytesMax, parse: bytes(64, 1024 ** 2), allowed: '64 to 1M' },
  { key: 'inputsPerSecond', flag: 'inputs-per-second', env: ['KASAGI_INPUTS_PER_SECOND'], value: 'N', help: 'messages a client may send per second', fallback: () => inputsPerSecondMax, parse: integer(1, 1_000_000), allowed: '1 to 1000000' },
  { key: 'backlogBytes', flag: 'backlog-bytes', env: ['KASAGI_BACKLOG_BYTES'], value: 'N', help: 'bytes queued for a client before it counts as slow', fallback: () => backlogBytesDefault, parse: bytes(1024, 1024 ** 3), allowed: '1K to 1G' },
  { key: 'data', flag: 'data', env: ['KASAGI_DATA'], value: 'FOLDER', help: 'where rooms are kept; none: nowhere', fallback: () => '.kasagi', parse: (text) => text || undefined, allowed: 'a folder, or none' },
  { key: 'redis', flag: 'redis', env: ['KASAGI_REDIS'], value: 'URL', help: 'redis:// or rediss://: where instances meet', isHushed: true, fallback: () => undefined, parse: (text) => parseRedisUrl(text) === undefined ? undefined : text, allowed: 'redis://user:password@host:port or rediss://…, without a database number' },
  { key: 'leaseMs', flag: 'lease-ms', env: ['KASAGI_LEASE_MS'], value: 'N', help: 'with Redis: how long a room waits for a lost instance', fallback: () => leaseMsDefault, parse: integer(500, 600_000), allowed: '500 to 600000' },
  { key: 'opsReplicas', flag: 'ops-replicas', env: ['KASAGI_OPS_REPLICAS'], value: 'N', help: 'copies of Redis that must have a logged record', fallback: () => 0, parse: integer(0, 100), allowed: '0 to 100' },
  { key: 'deltaFormat', flag: 'delta-format', env: ['KASAGI_DELTA_FORMAT'], value: 'FORMAT', help: 'records in Redis and logs: flatbuffers or msgpack', fallback: () => 'flatbuffers', parse: one(deltaFormats), allowed: deltaFormats.join(', ') },
  { key: 'drainMs', flag: 'drain-ms', env: ['KASAGI_DRAIN_MS'], value: 'N', help: 'with Redis: what giving rooms away may take at a stop', fallback: () => drainMsDefault, parse: integer(0, 3_600_000), allowed: '0 to 3600000' },
  { key: 'secret', flag: 'secret', env: ['KASAGI_SECRET'], value: '', help: 'signs resume tokens; NEW,OLD to change it', isSecret: true, fallback: () => undefined, parse: (text) => text.split(',').every((part) => part.length >= 16) ? text : undefined, allowed: '16 characters or more, or two of them with a comma' },
  { key: 'open', flag: 'open', env: ['KASAGI_OPEN'], value: 'TYPE:NAME', help: 'room that is open from the start, and stays', fallback: () => [], parse: (text) => text.split(',').every((id) => /^[^:,]+:[^:,]+$/.test(id)) ? text.split(',') : undefined, allowed: 'type:name' },
  { key: 'authSecret', flag: 'auth-secret', env: ['KASAGI_AUTH_SECRET'], value: 'TEXT', help: 'secret that clients\' JWTs are signed with', fallback: () => undefined, parse: (text) => text.length >= 16 ? text : undefined, allowed: '16 characters or more' },
  { key: 'authKeys', flag: 'auth-keys', env: ['KASAGI_AUTH_KEYS'], value: 'FILE', help: 'JWK Set: public keys of clients\' JWTs', fallback: () => undefined, parse: (text) => text || undefined, allowed: 'a file' },
  { key: 'authRevoked', flag: 'auth-revoked', env: ['KASAGI_AUTH_REVOKED'], value: 'FILE', help: 'file of tokens (jti) or users (sub) to refuse', fallback: () => undefined, parse: (text) => text || undefined, allowed: 'a file' },
  { key: 'connections', flag: 'connections', env: ['KASAGI_CONNECTIONS'], value: 'N', help: 'connections at once; 0: no limit', fallback: () => connectionsMaxDefault, parse: integer(0, 10_000_000), allowed: '0 to 10000000' },
  { key: 'connectionsPerAddress', flag: 'connections-per-address', env: ['KASAGI_CONNECTIONS_PER_ADDRESS'], value: 'N', help: 'of one address; 0 behind a proxy', fallback: () => connectionsPerAddressDefault, parse: integer(0, 10_000_000), allowed: '0 to 10000000' },
  { key: 'roomsPerAddress', flag: 'rooms-per-address', env: ['KASAGI_ROOMS_PER_ADDRESS'], value: 'N', help: 'rooms opened from one address; 0: no limit', fallback: () => roomsPerAddressDefault, parse: integer(0, 10_000_000), allowed: '0 to 10000000' },
  { key: 'stallMs', flag: 'stall-ms', env: ['KASAGI_STALL_MS'], value: 'N', help: 'a thread that stands still so long is ended', fallback: () => stallMsDefault, parse: integer(300, 3_600_000), allowed: '300 to 3600000' },
  { key: 'logLevel', flag: 'log-level', env: ['KASAGI_LOG_LEVEL'], value: 'LEVEL', help: 'error, warn, info, debug or silent', fallback: () => 'info', parse: one(levels), allowed: levels.join(', ') },
  { key: 'logJson', flag: 'log-json', env: ['KASAGI_LOG_JSON'], value: '', help: 'log JSON lines', fallback: () => false, parse: (text) => ['', '1', 'true'].includes(text) ? true : text === '0' || text === 'false' ? false : undefined, allowed: '1 or 0' },
  { key: 'verify', flag: 'verify', env: ['KASAGI_VERIFY'], value: 'WHEN', help: 'name rows written without touch; auto: in development', fallback: () => 'auto', parse: one(whens), allowed: whens.join(', ') },
  { key: 'fault', flag: 'fault', env: ['KASAGI_FAULT'], value: 'POINT', help: '', hidden: true, fallback: () => undefined, parse: (text) => text, allowed: 'a fault point' },
]

/** The settings of `argv` (flags before environment before defaults), and what is no flag. Throws KasagiError `bad-option`. */
export function parseConfig(argv: readonly string[], env: Readonly<Record<string, string | undefined>>): { config: Config; rest: string[] } {
  const given = new Map<string, unknown>()
  const rest: string[] = []
  for (let at = 0; at < argv.length; at++) {
    if (!argv[at].startsWith('-')) { rest.push(argv[at]); continue }
    const [flag, inline] = splitFlag(argv[at])
    const setting = settings.find((entry) => `--${entry.flag}` === flag && entry.isSecret !== true)
    if (setting === undefined) throw new KasagiError('bad-option', `${flag} is no option${suggestion(flag.replace(/^-+/, ''))}; see kasagi serve --help`)
    const text = inline ?? (setting.value === '' ? '' : argv[++at])
    const value = readSetting(setting, text, flag)
    given.set(setting.key, Array.isArray(value) ? [...(given.get(setting.key) as string[] | undefined ?? []), ...(value as string[])] : value)
  }
  for (const setting of settings) {
    const name = setting.env.find((entry) => env[entry] !== undefined && env[entry] !== '')
    if (!given.has(setting.key)) given.set(setting.key, name === undefined ? setting.fallback() : readSetting(setting, env[name], name))
  }
  const when = given.get('verify')
  const config = { ...Object.fromEntries(given), verify: when === 'on' || (when === 'auto' && env.NODE_ENV !== 'production') } as unknown as Config
  if ((config.tlsCert === undefined) !== (config.tlsKey === undefined)) throw new KasagiError('bad-option', `--tls-cert and --tls-key go together; --tls-${config.tlsCert === undefined ? 'cert' : 'key'} is missing`)
  if (config.redis !== undefined && config.secret === undefined) throw new KasagiError('bad-option', 'KASAGI_SECRET: with --redis all instances need the same one, of 16 characters or more; a client may come back to any of them')
  return { config, rest }
}

export function splitFlag(argument: string): [string, string | undefined] {
  const at = argument.indexOf('=')
  return at < 0 ? [argument, undefined] : [argument.slice(0, at), argument.slice(at + 1)]
}

/** The value that a text says. Throws KasagiError `bad-option`. */
export function readSetting(setting: Setting, text: string | undefined, name: string): unknown {
  const value = text === undefined ? undefined : setting.parse(text)
  if (value !== undefined || setting.key === 'fault') return value
  const problem = text === undefined ? 'a value is missing' : setting.isSecret === true ? 'it is too short' : setting.isHushed === true ? 'it is none' : JSON.stringify(text)
  throw new KasagiError('bad-option', `${name}: ${problem}; allowed: ${setting.allowed}`)
}

function suggestion(flag: string): string {
  const near = settings.filter(({ hidden, isSecret }) => hidden !== true && isSecret !== true).map((entry) => ({ flag: entry.flag, far: distance(entry.flag, flag) })).sort((a, b) => a.far - b.far)[0]
  return near.far <= 3 ? `; did you mean --${near.flag}?` : ''
}

/** Levenshtein's distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1))
    row = next
  }
  return row[b.length]
}

/** The options' lines of --help, 80 columns wide. */
export const optionsHelp = (): string => settings.filter(({ hidden }) => hidden !== true).map((setting) => {
  const flag = setting.isSecret === true ? `  ${setting.env[0]}` : `  --${setting.flag}${setting.value === '' ? '' : ` ${setting.value}`}`
  return flag.length > 24 ? `${flag}\n${' '.repeat(26)}${setting.help}` : `${flag.padEnd(26)}${setting.help}`
}).join('\n')
