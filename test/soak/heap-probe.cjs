/**
 * Preloaded into a server by `node --expose-gc --require`: every thread answers how much of its heap is in use once what nobody holds is gone.
 * The process that started the server asks for so many threads' figures over its channel.
 */
const { BroadcastChannel, isMainThread, threadId } = require('node:worker_threads')

const channel = new BroadcastChannel('heap-probe')
channel.unref()

/** What is let go of by a collection may let go of more in the next turn of the event loop. */
async function look() {
  for (let n = 0; n < 3; n++) {
    globalThis.gc()
    await new Promise(setImmediate)
  }
  const { heapUsed, external } = process.memoryUsage()
  return { thread: threadId, heapUsed, external }
}

if (isMainThread) {
  let wanted = 0, answers = []
  const add = (answer) => { if (answers.push(answer) === wanted) process.send(answers) }
  channel.onmessage = ({ data }) => { if (data !== 'look') add(data) }
  process.on('message', (threads) => {
    wanted = threads
    answers = []
    channel.postMessage('look')
    void look().then(add)
  })
} else {
  channel.onmessage = async ({ data }) => { if (data === 'look') channel.postMessage(await look()) }
}
