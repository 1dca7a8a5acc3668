/** Which library listens, and what is said when the faster one is missing: here its import fails as it does where no binary fits. */
import { describe, expect, it, vi } from 'vitest'
import { listenSockets, type SocketsChoice } from '../../src/server/listen.js'
import type { SocketHandlers, SocketOptions } from '../../src/server/sockets.js'

vi.mock('uWebSockets.js', () => { throw new Error('Cannot find module uws_linux_x64_137.node\nRequire stack: …') })

const nothing = (): void => {}
const handlers: SocketHandlers = { open: nothing, message: nothing, text: nothing, drain: nothing, closed: nothing }
const options: SocketOptions = {
  host: '127.0.0.1', port: 0, messageBytesMax: 1000, originAllowed: () => true, onOriginRefused: nothing, http: () => ({ status: 404, type: 'text/plain', body: '' }),
}

describe('listen', () => {
  const lines: string[] = []
  const log = { debug: nothing, info: nothing, warn: (_: object, text: string) => { lines.push(text) }, error: nothing }
  const kindOf = async (choice: SocketsChoice): Promise<string> => {
    const server = await listenSockets(options, handlers, choice, log)
    server.close()
    return server.kind
  }

  it('listen: where uWebSockets.js has no binary, ws takes its place, and one line says so', async () => {
    expect(await kindOf('auto')).toBe('ws')
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatch(/^no-socket-library: uWebSockets.js has no binary for Node .*; Node 20 or 22 on glibc Linux has one, and is faster; ws is used instead$/)
    expect(lines[0]).not.toContain('\n')
  })

  it('listen: uws that is asked for and missing is an error; ws that is asked for needs no word', async () => {
    lines.length = 0
    await expect(kindOf('uws')).rejects.toMatchObject({ code: 'no-socket-library' })
    expect(await kindOf('ws')).toBe('ws')
    expect(lines).toEqual([])
  })
})
