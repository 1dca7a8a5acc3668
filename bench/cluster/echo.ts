/** The other end of the latency bench's plain contestant. Arguments: port, bytes of what comes, what goes back. */
import { Redis } from 'ioredis'

const [port, length, back] = process.argv.slice(2)
const publisher = new Redis(Number(port)), subscriber = new Redis(Number(port)), record = Buffer.from(back, 'base64')
subscriber.on('messageBuffer', (_: Buffer, bytes: Buffer) => {
  if (bytes.length !== Number(length)) process.exit(3)
  void publisher.publish('echo:back', record)
})
await subscriber.subscribe('echo:there')
process.send?.('ready')
process.on('disconnect', () => process.exit(0))
