/** The spec of sockets over both libraries, what only one of them can be asked, and an engine on the slower one. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { connect } from 'kasagi-engine/client'
import { listenSockets as listenUws } from '../../src/server/uws.js'
import { listenSockets as listenWs } from '../../src/server/ws.js'
import { counter } from '../../examples/counter/shared/counter.js'
import { canMakeCertificates, makeCertificate } from '../support/certificate.js'
import { startTestEngine, until } from '../support/engine.js'
import { ask } from '../support/http.js'
import { openRaw } from '../support/raw-client.js'
import { socketsSuite } from '../suites/sockets.js'

const folder = mkdtempSync(join(tmpdir(), 'kasagi-sockets-'))
const tls = canMakeCertificates ? makeCertificate(folder) : undefined
afterAll(() => rmSync(folder, { recursive: true, force: true }))

socketsSuite('uws', listenUws)
socketsSuite('ws', listenWs)
if (tls !== undefined) {
  socketsSuite('uws with TLS', listenUws, tls)
  socketsSuite('ws with TLS', listenWs, tls)
}

describe('sockets over ws', () => {
  for (const files of tls === undefined ? [undefined] : [undefined, tls]) {
    it(`ws: who is silent is pinged, and cut after a minute; who answers is not${files === undefined ? '' : ', with TLS too'}`, async () => {
      vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
      const nothing = (): void => {}
      const server = await listenWs({
        host: '127.0.0.1', port: 0, messageBytesMax: 1000, tls: files, originAllowed: () => true, onOriginRefused: nothing, http: () => ({ status: 404, type: 'text/plain', body: '' }),
      }, { open: nothing, message: nothing, text: nothing, drain: nothing, closed: nothing })
      const silent = await openRaw(server.port, files !== undefined), alive = await openRaw(server.port, files !== undefined)
      let isCut = false, isAliveCut = false
      void silent.ended.then(() => { isCut = true })
      void alive.ended.then(() => { isAliveCut = true })
      const pass = async (seconds: number): Promise<void> => {
        vi.advanceTimersByTime(seconds * 1000)
        await new Promise((resolve) => { setTimeout(resolve, 30) })
      }
      // The first look hears the handshake.
      await pass(10)
      for (let n = 1; n <= 5; n++) await pass(10)
      expect([...silent.received(), ...alive.received()]).toEqual([0x89, 0, 0x89, 0])
      alive.frame(10, new Uint8Array(0))
      await pass(0)
      expect(isCut).toBe(false)
      await pass(10)
      expect(isCut).toBe(true)
      await pass(30)
      expect(isAliveCut).toBe(false)
      vi.useRealTimers()
      server.close()
    })
  }
})

describe('an engine on ws', () => {
  it('path over ws: an input of one client comes back as a delta to both', async () => {
    const server = await startTestEngine('examples/counter', ['--sockets', 'ws'])
    expect(server.engine.socketKind).toBe('ws')
    const [a, b] = await Promise.all([1, 2].map(() => connect(server.url, { verify: true }).join(counter, { name: 'both' })))
    await a.ask('add', { by: 5 })
    expect(a.globals.count).toBe(5)
    await until(() => b.globals.count === 5, 'the other client sees the count')
    await Promise.all([a.leave(), b.leave()])
    expect(a.status).toBe('closed')
    await server.stop()
  })

  it.skipIf(tls === undefined)('path over TLS: pages and rooms are served by both libraries', async () => {
    // The SDK trusts whom Node trusts; what Node says to that is not for whoever reads the tests' output.
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0')
    vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    for (const kind of ['uws', 'ws']) {
      const server = await startTestEngine('examples/counter', ['--sockets', kind, '--tls-cert', tls!.certFile, '--tls-key', tls!.keyFile])
      const { port } = server.engine
      for (const path of ['/healthz', '/readyz', '/metrics', '/']) expect((await ask({ port, isTls: true, path })).status).toBe(200)
      const room = await connect(`wss://127.0.0.1:${port}`).join(counter, { name: 'main' })
      await room.ask('add', { by: 3 })
      expect(room.globals.count).toBe(3)
      await room.leave()
      await server.stop()
    }
    vi.unstubAllEnvs()
    vi.restoreAllMocks()
  })
})
