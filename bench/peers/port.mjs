/** A peer's server says which port it got, as its bench expects of a child, and ends with its channel. */
import { once } from 'node:events'
import { createServer } from 'node:net'

/** The peers take a port and do not tell which one they got of 0: one that was free a moment ago. */
async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address()
  probe.close()
  await once(probe, 'close')
  return port
}

export async function listening(listen) {
  const port = await freePort()
  await listen(port)
  process.on('message', () => process.send(port))
  process.on('disconnect', () => process.exit(0))
  process.send('ready')
}
