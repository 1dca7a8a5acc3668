/** A certificate that nobody signed, made for this run by the openssl command. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { TlsFiles } from '../../src/server/sockets.js'

const command = '/usr/bin/openssl'
export const canMakeCertificates = existsSync(command)

export function makeCertificate(folder: string): TlsFiles {
  const files = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') }
  execFileSync(command, [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost',
    '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', files.keyFile, '-out', files.certFile,
  ], { stdio: 'ignore' })
  return files
}
