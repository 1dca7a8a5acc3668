/** Picks the library behind sockets.ts and listens: uWebSockets.js where its binary loads, `ws` elsewhere. Main thread, once at the start. */
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { KasagiError } from '../base/errors.js'
import type { Logger } from './logging.js'
import type { SocketHandlers, SocketOptions, SocketServer, TlsFiles } from './sockets.js'
import { listenSockets as listenUws } from './uws.js'
import { listenSockets as listenWs } from './ws.js'

export type SocketsChoice = 'auto' | 'uws' | 'ws'

/** Rejects with a KasagiError that is one line: `port-busy`, `no-socket-library` where `uws` is asked for and missing, `bad-option`. */
export async function listenSockets(options: SocketOptions, handlers: SocketHandlers, choice: SocketsChoice, log: Logger): Promise<SocketServer> {
  if (options.tls !== undefined) checkTls(options.tls)
  if (choice === 'ws') return listenWs(options, handlers)
  try {
    return await listenUws(options, handlers)
  } catch (error) {
    if (choice === 'uws' || !(error instanceof KasagiError) || error.code !== 'no-socket-library') throw error
    log.warn({}, `${error.message}, and is faster; ws is used instead`)
    return listenWs(options, handlers)
  }
}

/** The libraries say little of what is wrong with such a file, and only one of them reads it before it listens. */
function checkTls({ certFile, keyFile }: TlsFiles): void {
  const [cert, key] = [readTlsFile('cert', certFile), readTlsFile('key', keyFile)]
  try {
    createSecureContext({ cert, key })
  } catch (error) {
    throw new KasagiError('bad-option', `--tls-cert ${certFile} and --tls-key ${keyFile} are no certificate with its key: ${(error as Error).message}`)
  }
}

function readTlsFile(what: 'cert' | 'key', file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new KasagiError('bad-option', `--tls-${what} ${file} cannot be read: ${(error as Error).message}`)
  }
}
