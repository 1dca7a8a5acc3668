/** What sockets are, whatever library is behind them: one spec, run over every implementation of src/server/sockets.ts, with TLS and without. */
import { connect, createServer, type AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { errorTexts } from '../../src/base/error-texts.js'
import type { HttpAnswer, HttpRequest, Socket, SocketHandlers, SocketOptions, SocketServer, TlsFiles } from '../../src/server/sockets.js'
import { until } from '../support/engine.js'
import { openRaw, type RawClient } from '../support/raw-client.js'
import { ask, type Answer } from '../support/http.js'

type Listen = (options: SocketOptions, handlers: SocketHandlers) => Promise<SocketServer>

const messageBytesMax = 1000

interface Server {
  readonly server: SocketServer
  readonly sockets: Socket[]
  /** What the handlers were told, oldest first. */
  readonly told: string[]
  readonly messages: Uint8Array[]
  /** What to do besides noting it. */
  on: Partial<SocketHandlers>
  client(headers?: Record<string, string>): Promise<Client>
  raw(): Promise<RawClient>
  ask(path: string, method?: string, headers?: Record<string, string>): Promise<Answer>
}

interface Client { readonly ws: WebSocket; readonly got: Buffer[]; readonly closed: Promise<{ code: number; reason: string }> }

const answers: Record<string, HttpAnswer> = {
  '/page': { status: 200, type: 'text/html; charset=utf-8', body: 'grüße\n' },
  '/bytes': { status: 200, type: 'application/octet-stream', body: new Uint8Array([1, 2, 3]), headers: { 'X-More': 'yes' } },
  '/away': { status: 302, type: 'text/plain', body: '', headers: { Location: '/page' } },
}

async function http({ method, path, query, header }: HttpRequest): Promise<HttpAnswer> {
  if (path === '/throws') throw new Error('meant to')
  if (path === '/echo') return { status: 200, type: 'text/plain', body: JSON.stringify([method, path, query, header('x-asked'), header('x-absent')]) }
  if (method !== 'GET' && method !== 'HEAD') return { status: 405, type: 'text/plain', body: 'only GET\n' }
  return answers[path] ?? { status: 404, type: 'text/plain', body: 'no such page\n' }
}

async function start(listen: Listen, tls: TlsFiles | undefined, port: number): Promise<Server> {
  const sockets: Socket[] = [], told: string[] = [], messages: Uint8Array[] = []
  const note = (what: string, socket: Socket): void => { told.push(`${what} ${sockets.indexOf(socket)}`) }
  const options: SocketOptions = {
    host: '127.0.0.1', port, messageBytesMax, tls, originAllowed: (origin) => !origin.includes('evil'), onOriginRefused: (origin) => told.push(`refused ${origin}`), http,
  }
  const handlers: SocketHandlers = {
    open: (socket) => { sockets.push(socket); note('open', socket); started.on.open?.(socket) },
    message: (socket, bytes) => { messages.push(bytes.slice()); note('message', socket); started.on.message?.(socket, bytes) },
    text: (socket) => { note('text', socket); started.on.text?.(socket) },
    drain: (socket) => { note('drain', socket); started.on.drain?.(socket) },
    closed: (socket) => { note('closed', socket); started.on.closed?.(socket) },
  }
  const server = await listen(options, handlers)
  const started: Server = {
    server, sockets, told, messages, on: {},
    client: (headers) => openClient(`${tls === undefined ? 'ws' : 'wss'}://127.0.0.1:${server.port}/any/path`, headers),
    raw: () => openRaw(server.port, tls !== undefined),
    ask: (path, method = 'GET', headers = {}) => ask({ port: server.port, isTls: tls !== undefined, path, method, headers }),
  }
  return started
}

function openClient(url: string, headers: Record<string, string> = {}): Promise<Client> {
  const ws = new WebSocket(url, { headers, rejectUnauthorized: false }), got: Buffer[] = []
  ws.on('message', (data: Buffer) => got.push(data))
  const closed = new Promise<{ code: number; reason: string }>((resolve) => { ws.on('close', (code, reason) => resolve({ code, reason: reason.toString() })) })
  return new Promise((resolve, reject) => {
    ws.on('open', () => resolve({ ws, got, closed }))
    ws.on('error', reject)
  })
}

/** Takes a port that is free, as another program would. */
async function holdPort(): Promise<{ port: number; free(): Promise<void> }> {
  const holder = createServer()
  await new Promise<void>((resolve) => { holder.listen(0, '127.0.0.1', resolve) })
  return { port: (holder.address() as AddressInfo).port, free: () => new Promise((resolve) => { holder.close(() => resolve()) }) }
}

export function socketsSuite(name: string, listen: Listen, tls?: TlsFiles): void {
  describe(`sockets: ${name}`, () => {
    const servers: SocketServer[] = []
    afterEach(() => { for (const server of servers.splice(0)) server.close() })
    const begin = async (port = 0): Promise<Server> => {
      const started = await start(listen, tls, port)
      servers.push(started.server)
      return started
    }

    it(`${name}: messages arrive as sent and in order, both ways, of every length of frame`, async () => {
      const server = await begin(), { ws, got } = await server.client()
      server.on.message = (socket, bytes) => { socket.send(bytes) }
      const sent = Array.from({ length: 300 }, (_, n) => new Uint8Array([0, 1, 125, 126, messageBytesMax][n % 5]).fill(n))
      for (const bytes of sent) ws.send(bytes)
      await until(() => got.length === sent.length, 'all came back')
      expect(server.messages).toEqual(sent)
      expect(got.map((data) => new Uint8Array(data))).toEqual(sent)
      server.sockets[0].send(new Uint8Array(70_000).fill(9))
      await until(() => got.length === sent.length + 1, 'a long one came')
      expect([got.at(-1)!.length, got.at(-1)!.every((byte) => byte === 9)]).toEqual([70_000, true])
    })

    it(`${name}: what a handler keeps by slice() stays as it was`, async () => {
      const server = await begin(), { ws } = await server.client()
      for (let n = 0; n < 50; n++) ws.send(new Uint8Array(100).fill(n))
      await until(() => server.messages.length === 50, 'all came')
      expect(server.messages.map((bytes) => bytes.every((byte) => byte === bytes[0]) && bytes[0])).toEqual(Array.from({ length: 50 }, (_, n) => n))
      expect(server.messages[0].constructor).toBe(Uint8Array)
    })

    it(`${name}: text is told, and is no message`, async () => {
      const server = await begin(), { ws } = await server.client()
      ws.send('hello')
      ws.send(new Uint8Array(1))
      ws.send('')
      await until(() => server.told.length === 4, 'all is told')
      expect(server.told).toEqual(['open 0', 'text 0', 'message 0', 'text 0'])
    })

    it(`${name}: an oversized message is told; one far beyond is cut and not told`, async () => {
      const server = await begin(), { ws } = await server.client(), other = await server.client()
      ws.send(new Uint8Array(messageBytesMax * 4))
      await until(() => server.messages.length === 1, 'it is told')
      expect(server.messages[0]).toHaveLength(messageBytesMax * 4)
      other.ws.on('error', () => {})
      other.ws.send(new Uint8Array(messageBytesMax * 4 + 2000))
      await other.closed
      await until(() => server.told.includes('closed 1'), 'the end is told')
      expect(server.messages).toHaveLength(1)
    })

    it(`${name}: a foreign origin gets 403 and says why, before any handler`, async () => {
      const server = await begin()
      const headers = { Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version': '13' }
      const { status, body } = await server.ask('/', 'GET', { ...headers, Origin: 'https://evil.example' })
      expect([status, body]).toEqual([403, `origin-refused: ${errorTexts['origin-refused']}`])
      expect(server.told).toEqual(['refused https://evil.example'])
      const { ws } = await server.client({ Origin: 'https://good.example' })
      ws.close()
    })

    it(`${name}: a request for an upgrade to something else is answered as a page`, async () => {
      const server = await begin()
      const { status, body } = await server.ask('/page', 'GET', { Upgrade: 'h2c', Connection: 'Upgrade' })
      expect([status, body]).toEqual([200, 'grüße\n'])
    })

    it(`${name}: what is sent from shared memory arrives as it was, though overwritten right after, and though it has to wait`, async () => {
      const server = await begin(), { ws, got } = await server.client()
      const shared = new Uint8Array(new SharedArrayBuffer(100_000)), view = shared.subarray(1000, 61_000)
      ws.pause()
      const count = 300
      for (let n = 0; n < count; n++) {
        view.fill(n)
        server.sockets[0].send(n % 2 === 0 ? view : view.subarray(0, 100))
        view.fill(255)
      }
      expect(server.sockets[0].buffered()).toBeGreaterThan(0)
      ws.resume()
      await until(() => got.length === count, 'all came')
      expect(got.findIndex((data, n) => data.length !== (n % 2 === 0 ? 60_000 : 100) || data.some((byte) => byte !== n % 256))).toBe(-1)
    })

    it(`${name}: corked sends arrive in order, and end behind them`, async () => {
      const server = await begin(), raw = await server.raw()
      server.sockets[0].cork(() => { for (let n = 0; n < 100; n++) server.sockets[0].send(new Uint8Array([n])) })
      await until(() => raw.receivedBytes() === 300, 'all came')
      expect([...raw.received()].filter((_, at) => at % 3 === 2)).toEqual(Array.from({ length: 100 }, (_, n) => n))
      const { got, closed } = await server.client()
      server.sockets[1].cork(() => {
        for (let n = 0; n < 3; n++) server.sockets[1].send(new Uint8Array([n]))
        server.sockets[1].end(4421, 'room-closed')
      })
      expect((await closed).code).toBe(4421)
      expect(got.map(([byte]) => byte)).toEqual([0, 1, 2])
    })

    it(`${name}: what is published comes to who subscribes, in order with what is sent to it, whatever its length`, async () => {
      const server = await begin(), clients = await Promise.all([server.client(), server.client(), server.client()]), [one, two, none] = server.sockets
      const shared = new Uint8Array(new SharedArrayBuffer(40_000))
      const publish = (topic: string, byte: number, length: number): void => {
        shared.fill(byte)
        server.server.publish(topic, shared.subarray(0, length))
        shared.fill(255)
      }
      const send = (socket: Socket, byte: number): void => { socket.send(new Uint8Array([byte])) }
      one.subscribe('a')
      two.subscribe('a')
      two.subscribe('b')
      publish('a', 1, 100)
      send(one, 2)
      publish('a', 3, 30_000)
      publish('b', 4, 10)
      publish('a', 5, 10)
      two.cork(() => { send(two, 6); publish('a', 7, 10); send(two, 8) })
      // What waits for it still comes, and nothing that is published later.
      publish('a', 9, 10)
      two.unsubscribe('a')
      publish('a', 10, 10)
      two.subscribe('a')
      publish('a', 11, 10)
      two.unsubscribe('b')
      publish('b', 12, 10)
      two.unsubscribe('a')
      send(none, 13)
      await until(() => clients.map(({ got }) => got.length).join() === '8,9,1', 'all came', 5000)
      expect(clients.map(({ got }) => got.map(([byte]) => byte))).toEqual([[1, 2, 3, 5, 7, 9, 10, 11], [1, 3, 4, 5, 6, 7, 8, 9, 11], [13]])
    })

    it(`${name}: who has ended is published nothing, and subscribes to nothing`, async () => {
      const server = await begin(), ended = await server.client(), cut = await server.client(), { got } = await server.client()
      for (const socket of server.sockets) socket.subscribe('a')
      server.sockets[0].end(4420, 'left')
      server.sockets[0].subscribe('a')
      server.sockets[0].unsubscribe('a')
      server.server.publish('a', new Uint8Array([1]))
      await ended.closed
      cut.ws.terminate()
      await until(() => server.told.includes('closed 1'), 'its end is told')
      server.sockets[1].unsubscribe('a')
      server.server.publish('a', new Uint8Array([2]))
      await until(() => got.length === 2, 'both came')
      expect(ended.got).toEqual([])
      server.server.close()
      expect(() => server.server.publish('a', new Uint8Array([3]))).not.toThrow()
    })

    it(`${name}: a cork that throws is open again`, async () => {
      const server = await begin(), { got } = await server.client()
      try { server.sockets[0].cork(() => { server.sockets[0].send(new Uint8Array(1)); throw new Error('meant to') }) } catch { /* either way is fine */ }
      server.sockets[0].send(new Uint8Array(2))
      await until(() => got.length === 2, 'both came')
    })

    it(`${name}: what a client does not read is buffered, and drain comes when it reads again`, async () => {
      const server = await begin(), raw = await server.raw()
      const [socket] = server.sockets, chunk = new Uint8Array(64 * 1024)
      raw.stream.pause()
      const total = 400
      for (let n = 0; n < total; n++) socket.send(chunk)
      // The pong comes behind it all, and must not keep drain from being told.
      raw.frame(9, new Uint8Array([7]))
      expect(socket.buffered()).toBeGreaterThan(1024 ** 2)
      await new Promise((resolve) => { setTimeout(resolve, 50) })
      const before = socket.buffered(), drains: number[] = []
      expect(before).toBeGreaterThan(1024 ** 2)
      server.on.drain = () => drains.push(socket.buffered())
      raw.stream.resume()
      await until(() => socket.buffered() === 0, 'nothing waits')
      await until(() => drains.length > 0 && drains.at(-1) === 0, 'drain was told when nothing waited')
      expect(drains.every((left) => left < before)).toBe(true)
      await until(() => raw.receivedBytes() === total * (chunk.length + 10) + 3, 'all came')
    })

    it(`${name}: whoever stops at a limit and goes on at drain gets everything through, also in a cork`, async () => {
      const server = await begin(), { got } = await server.client(), [socket] = server.sockets
      let left = 200
      const handOut = (): void => socket.cork(() => { while (left > 0 && socket.buffered() <= 100_000) { socket.send(new Uint8Array(50_000).fill(left)); left-- } })
      server.on.drain = handOut
      handOut()
      await until(() => got.length === 200, 'all came')
      expect(got.map(([byte]) => byte)).toEqual(Array.from({ length: 200 }, (_, n) => 200 - n))
    })

    // TLS may take a turn of the loop to encrypt: until then bytes do wait.
    it.skipIf(tls !== undefined)(`${name}: a client that reads all along hears no drain`, async () => {
      const server = await begin(), { got } = await server.client(), [socket] = server.sockets
      for (let n = 0; n < 20; n++) socket.send(new Uint8Array(10))
      socket.cork(() => { for (let n = 0; n < 20; n++) socket.send(new Uint8Array(10)) })
      await until(() => got.length === 40, 'all came')
      expect(server.told).toEqual(['open 0'])
    })

    it(`${name}: end gives code and reason to the client; closed is told before it returns, nothing after`, async () => {
      const server = await begin(), { ws, closed } = await server.client(), [socket] = server.sockets
      server.on.message = () => { socket.end(4403, 'flood'); server.told.push('returned') }
      for (let n = 0; n < 5; n++) ws.send(new Uint8Array(1))
      expect(await closed).toEqual({ code: 4403, reason: 'flood' })
      await new Promise((resolve) => { setTimeout(resolve, 30) })
      expect(server.told).toEqual(['open 0', 'message 0', 'closed 0', 'returned'])
    })

    it(`${name}: a long reason is cut at a whole character`, async () => {
      const server = await begin(), { closed } = await server.client()
      server.sockets[0].end(4420, 'ü'.repeat(100))
      expect(await closed).toEqual({ code: 4420, reason: 'ü'.repeat(61) })
    })

    it(`${name}: calls after closed, and while it is told, are harmless`, async () => {
      const server = await begin(), harmless: unknown[] = []
      server.on.closed = (socket) => {
        socket.cork(() => harmless.push('corked'))
        harmless.push(socket.send(new Uint8Array(1)), socket.buffered(), socket.end(4420, 'again'))
      }
      const { ws } = await server.client(), other = await server.client()
      ws.close()
      await until(() => server.told.includes('closed 0'), 'the end is told')
      server.sockets[1].end(4420, 'left')
      await other.closed
      expect(harmless).toEqual([false, 0, undefined, false, 0, undefined])
      for (const socket of server.sockets) server.on.closed(socket)
      expect(harmless).toHaveLength(12)
      expect(server.told.filter((line) => line.startsWith('closed'))).toHaveLength(2)
    })

    it(`${name}: a client that is cut off is told as closed, and sends to it meanwhile do no harm`, async () => {
      const server = await begin(), raw = await server.raw(), [socket] = server.sockets
      raw.stream.destroy()
      for (let n = 0; n < 100; n++) { socket.send(new Uint8Array(10_000)); await new Promise((resolve) => { setImmediate(resolve) }) }
      await until(() => server.told.includes('closed 0'), 'the end is told')
    })

    it(`${name}: fragments make one message; pings are answered; frames that break the protocol end their connection alone`, async () => {
      const server = await begin(), raw = await server.raw(), { got } = await server.client()
      raw.frame(2, new Uint8Array([1, 2]), false)
      raw.frame(9, new Uint8Array([7]))
      raw.frame(0, new Uint8Array([3]), false)
      raw.frame(10, new Uint8Array([8]))
      raw.frame(0, new Uint8Array(0))
      await until(() => server.messages.length === 1, 'it is one message')
      expect(server.messages[0]).toEqual(new Uint8Array([1, 2, 3]))
      await until(() => raw.receivedBytes() >= 3, 'the pong came')
      expect([...raw.received()]).toEqual([0x8a, 1, 7])
      for (const broken of [[0x83, 0x80, 0, 0, 0, 0], [0xf2, 0x80, 0, 0, 0, 0], [0x80, 0x80, 0, 0, 0, 0], [0x82, 0xff, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0]]) {
        const hostile = await server.raw(), opened = server.sockets.length - 1
        hostile.stream.write(new Uint8Array(broken))
        await until(() => server.told.includes(`closed ${opened}`), `its end is told: ${broken.join(' ')}`)
      }
      server.sockets[1].send(new Uint8Array(1))
      await until(() => got.length === 1, 'the neighbour is there')
    })

    it(`${name}: a handler that throws is uncaught, and its connection goes on`, async () => {
      const server = await begin(), { ws } = await server.client()
      const others = process.listeners('uncaughtException'), caught: string[] = []
      process.removeAllListeners('uncaughtException')
      process.on('uncaughtException', (error) => caught.push(error.message))
      try {
        server.on.message = () => { if (server.messages.length === 1) throw new Error('meant to') }
        ws.send(new Uint8Array(1))
        ws.send(new Uint8Array(2))
        await until(() => server.messages.length === 2 && caught.length === 1, 'the second came')
        expect(caught).toEqual(['meant to'])
      } finally {
        process.removeAllListeners('uncaughtException')
        for (const listener of others) process.on('uncaughtException', listener)
      }
    })

    it(`${name}: ids are unique, addresses are told, data are the program's`, async () => {
      const server = await begin()
      await Promise.all(Array.from({ length: 5 }, () => server.client()))
      expect(new Set(server.sockets.map(({ id }) => id)).size).toBe(5)
      for (const { id, address, data } of server.sockets) {
        expect(Number.isInteger(id) && id >= 1 && id < 2 ** 32).toBe(true)
        expect([address, data]).toEqual(['127.0.0.1', undefined])
      }
    })

    it(`${name}: a busy port is told as port-busy`, async () => {
      const server = await begin()
      await expect(start(listen, tls, server.server.port)).rejects.toThrow(`port-busy: port ${server.server.port} is taken by another program`)
      const holder = await holdPort()
      await expect(start(listen, tls, holder.port)).rejects.toMatchObject({ code: 'port-busy' })
      await holder.free()
    })

    it(`${name}: pages are answered with their type and headers; HEAD says the length alone`, async () => {
      const server = await begin()
      const page = await server.ask('/page')
      expect([page.status, page.statusText, page.body]).toEqual([200, 'OK', 'grüße\n'])
      expect(page.headers).toMatchObject({ 'content-type': 'text/html; charset=utf-8', 'content-length': '8', 'x-content-type-options': 'nosniff', 'cache-control': 'no-cache' })
      const head = await server.ask('/page', 'HEAD')
      expect([head.status, head.body, head.headers['content-length'], head.headers['content-type']]).toEqual([200, '', '8', 'text/html; charset=utf-8'])
      const bytes = await server.ask('/bytes')
      expect([bytes.body, bytes.headers['x-more']]).toEqual(['\u0001\u0002\u0003', 'yes'])
      const away = await server.ask('/away')
      expect([away.status, away.statusText, away.headers.location]).toEqual([302, 'Found', '/page'])
    })

    it(`${name}: what is not there, not allowed or fails is answered so`, async () => {
      const server = await begin()
      expect(await server.ask('/nothing')).toMatchObject({ status: 404, statusText: 'Not Found', body: 'no such page\n' })
      expect(await server.ask('/page', 'DELETE')).toMatchObject({ status: 405, statusText: 'Method Not Allowed', body: 'only GET\n' })
      expect(await server.ask('/throws')).toMatchObject({ status: 500, statusText: 'Internal Server Error', body: 'the server could not answer\n' })
      expect((await server.ask('/echo?a=1&b=%20?c', 'POST', { 'X-Asked': 'Yes' })).body).toBe(JSON.stringify(['POST', '/echo', 'a=1&b=%20?c', 'Yes', '']))
    })

    it(`${name}: after stopListening those who are connected go on, others are not let in`, async () => {
      const server = await begin(), { ws } = await server.client()
      server.server.stopListening()
      server.server.stopListening()
      await expect(server.client()).rejects.toThrow('ECONNREFUSED')
      ws.send(new Uint8Array(1))
      await until(() => server.messages.length === 1, 'the message came')
    })

    it(`${name}: close ends every connection and tells each, and frees the port`, async () => {
      // A port by number: it may be taken again at once, unlike one that the system chose, though the ends of connections still wait there.
      const { port, free } = await holdPort()
      await free()
      const server = await begin(port), clients = await Promise.all([server.client(), server.client()]), raw = await server.raw()
      // Somebody who has not even asked.
      const bare = connect(port, '127.0.0.1'), bareEnded = new Promise((resolve) => { bare.on('close', resolve).resume() })
      await new Promise((resolve) => { bare.on('connect', () => setTimeout(resolve, 20)) })
      server.server.close()
      expect(server.told.filter((line) => line.startsWith('closed')).sort()).toEqual(['closed 0', 'closed 1', 'closed 2'])
      await Promise.all([...clients.map(({ closed }) => closed), raw.ended, bareEnded])
      await (await begin(port)).client()
    })
  })
}
