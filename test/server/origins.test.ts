import { describe, expect, it } from 'vitest'
import { originRule } from '../../src/server/origins.js'

const host = 'play.example.org:9001'

describe('origins', () => {
  it('origins: without a list, the server\'s own host and this machine may connect, on any port and however their letters are written', () => {
    const isAllowed = originRule([])
    const allowed = [
      '', 'http://play.example.org:9001', 'https://play.example.org:9001', 'HTTP://PLAY.EXAMPLE.ORG:9001', 'http://localhost', 'http://localhost:5173', 'HTTP://LOCALHOST', 'https://localhost:3000', 'http://127.0.0.1:8080', 'http://[::1]:8080',
    ]
    for (const origin of allowed) expect([origin, isAllowed(origin, host)]).toEqual([origin, true])
  })

  it('origins: without a list, everybody else is refused, and whoever looks like this machine', () => {
    const isAllowed = originRule([])
    const refused = [
      'null', 'NULL', 'undefined', 'https://evil.example', 'http://play.example.org', 'http://play.example.org:9002', 'http://play.example.org.evil.example:9001', 'http://evil.example/play.example.org:9001',
      'http://localhost.evil.example', 'http://127.0.0.1.evil.example:9001', 'http://127.0.0.1.:9001', 'http://localhost.', 'http://localhostevil.example', 'http://evil.example?localhost', 'http://evil.example#localhost',
      // The host is what stands behind the last @.
      'http://localhost@evil.example', 'http://localhost:9001@evil.example', 'http://evil.example@localhost', 'http://user:password@localhost:9001', 'http://play.example.org:9001@evil.example',
      // Other ways to write an address; browsers send the plain one.
      'http://2130706433', 'http://0x7f000001', 'http://0177.0.0.1', 'http://127.1', 'http://[::ffff:127.0.0.1]', 'http://[0:0:0:0:0:0:0:1]', 'http://0.0.0.0', 'http://127.0.0.2',
      // Letters that look alike, in full width or in Punycode.
      'http://ｌｏｃａｌｈｏｓｔ', 'http://lоcalhost', 'http://xn--lcalhost-2mg', 'http://localhost\u3002evil.example', 'http://loc\talhost', ' http://localhost', 'http://localhost ', 'http://localhost/', 'http://localhost/x', 'http:localhost', 'http:/localhost', 'http:\\\\localhost',
      'file://', 'file://localhost', 'ftp://localhost', 'data:text/html,localhost', 'javascript://localhost', 'blob:http://localhost/7', 'chrome-extension://localhost', 'localhost', '//localhost', 'ws://localhost', 'http://', 'http://localhost, http://evil.example', 'http://localhost:99999', 'http://localhost:80:80',
    ]
    for (const origin of refused) expect([origin, isAllowed(origin, host)]).toEqual([origin, false])
    // Nobody's host is nobody's origin.
    for (const origin of ['data:x', 'null', 'file://', 'http://']) expect(isAllowed(origin, '')).toBe(false)
  })

  it('origins: with a list, exactly what it names may connect, and not even this machine else', () => {
    const isAllowed = originRule(['https://game.example/', 'capacitor://localhost'])
    for (const origin of ['https://game.example', 'HTTPS://Game.Example', 'capacitor://localhost', '']) expect([origin, isAllowed(origin, host)]).toEqual([origin, true])
    for (const origin of ['http://game.example', 'https://game.example:8443', 'https://game.example.evil.example', 'https://evil.example/https://game.example', 'https://a.game.example', 'https://game.example@evil.example', 'http://localhost', `http://${host}`, 'null']) {
      expect([origin, isAllowed(origin, host)]).toEqual([origin, false])
    }
    expect(originRule(['*'])('null', host)).toBe(true)
  })
})
