import { describe, expect, it } from 'vitest'
import { parseRedisUrl, showAddress } from '../src/backplane/redis-url.js'
import { optionsHelp, parseConfig } from '../src/config.js'

describe('config', () => {
  it('config: flags come before environment, environment before defaults', () => {
    expect(parseConfig([], {}).config).toMatchObject({ port: 9001, logLevel: 'info', logJson: false, origins: [], fault: undefined })
    expect(parseConfig([], { PORT: '7000' }).config.port).toBe(7000)
    expect(parseConfig([], { PORT: '7000', KASAGI_PORT: '7001' }).config.port).toBe(7001)
    expect(parseConfig(['--port', '7002', '--arena-bytes=64M', '--log-json'], { PORT: '7000' }).config).toMatchObject({ port: 7002, arenaBytes: 64 * 1024 ** 2, logJson: true })
    expect(parseConfig(['a', '--origin', 'https://a.example', '--origin', 'https://b.example', 'b'], {})).toMatchObject({ rest: ['a', 'b'], config: { origins: ['https://a.example', 'https://b.example'] } })
  })

  it('config: a wrong option is one line that says what is allowed', () => {
    expect(() => parseConfig(['--prot', '1'], {})).toThrow('--prot is no option; did you mean --port?')
    expect(() => parseConfig(['-port', '1'], {})).toThrow('-port is no option; did you mean --port?')
    expect(() => parseConfig(['--port', '99999'], {})).toThrow('--port: "99999"; allowed: 0 to 65535')
    expect(() => parseConfig(['--port'], {})).toThrow('--port: a value is missing')
    expect(() => parseConfig([], { KASAGI_WORKERS: 'many' })).toThrow('KASAGI_WORKERS: "many"; allowed: 1 to 256')
  })

  it('config: development is whatever is not named production, and --verify has the last word', () => {
    const verifies = (argv: string[], NODE_ENV?: string): boolean => parseConfig(argv, { NODE_ENV }).config.verify
    expect([verifies([]), verifies([], 'test'), verifies([], 'production')]).toEqual([true, true, false])
    expect([verifies(['--verify', 'off']), verifies(['--verify', 'on'], 'production')]).toEqual([false, true])
  })

  it('config: sockets are auto, uws or ws; a certificate comes with its key', () => {
    expect(parseConfig([], {}).config).toMatchObject({ sockets: 'auto', tlsCert: undefined, tlsKey: undefined })
    expect(parseConfig(['--sockets', 'ws'], { KASAGI_SOCKETS: 'uws' }).config.sockets).toBe('ws')
    expect(() => parseConfig([], { KASAGI_SOCKETS: 'socket.io' })).toThrow('KASAGI_SOCKETS: "socket.io"; allowed: auto, uws, ws')
    expect(parseConfig(['--tls-cert', 'a.pem'], { KASAGI_TLS_KEY: 'b.pem' }).config).toMatchObject({ tlsCert: 'a.pem', tlsKey: 'b.pem' })
    expect(() => parseConfig(['--tls-cert', 'a.pem'], {})).toThrow('--tls-cert and --tls-key go together; --tls-key is missing')
    expect(() => parseConfig([], { KASAGI_TLS_KEY: 'b.pem' })).toThrow('--tls-cert and --tls-key go together; --tls-cert is missing')
    expect(() => parseConfig(['--tls-key='], {})).toThrow('--tls-key: ""; allowed: a file')
  })

  it('config: a Redis is named with user and password, without a database; a wrong one is not repeated', () => {
    const url = 'rediss://kasagi:p%40ss@redis.example:6380'
    expect(parseConfig([], {}).config.redis).toBe(undefined)
    const KASAGI_SECRET = 'sixteen letters!'
    expect(parseConfig(['--redis', url], { KASAGI_SECRET }).config.redis).toBe(url)
    expect(parseConfig([], { KASAGI_REDIS: url, KASAGI_SECRET }).config.redis).toBe(url)
    expect(() => parseConfig(['--redis', url], {})).toThrow(/^bad-option: KASAGI_SECRET: with --redis all instances need the same one/)
    for (const wrong of ['redis.example', 'http://:hidden@x', 'redis://:hidden@x/2', 'redis://:hidden@x?db=2', 'redis://:hidden@']) {
      expect(() => parseConfig([`--redis=${wrong}`], {}), wrong)
        .toThrow(/^bad-option: --redis: it is none; allowed: redis:\/\/user:password@host:port or rediss:\/\/…, without a database number$/)
    }
    expect(parseRedisUrl(url)).toEqual({ host: 'redis.example', port: 6380, username: 'kasagi', password: 'p@ss', tls: { servername: 'redis.example' } })
    expect(showAddress(parseRedisUrl(url)!)).toBe('rediss://redis.example:6380')
    expect(showAddress(parseRedisUrl('redis://[::1]')!)).toBe('redis://[::1]:6379')
  })

  it('config: the help fits 80 columns', () => {
    for (const line of optionsHelp().split('\n')) expect(line.length).toBeLessThanOrEqual(80)
  })
})
