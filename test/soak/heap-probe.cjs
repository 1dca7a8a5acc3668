/**
 * Preloaded into a server by `node --expose-gc --require`: every thread answers how much of its heap is in use once what nobody holds is gone.
 * The process that started the server asks for so many threads' figures over its channel.
 */
const { BroadcastChannel, isMainThread, threadId } = require('node:worker_threads')

const channel = new BroadcastChannel('heap-probe')
channel.unref()

function look() {
  globalThis.gc()
  const { heapUsed, external, arrayBuffers } = process.memoryUsage()
  return { thread: threadId, heapUsed, external, arrayBuffers }
}

if (isMainThread) {
  let wanted = 0, answers = []
  const add = (answer) => { if (answers.push(answer) === wanted) process.send(answers) }
  channel.onmessage = ({ data }) => { if (data !== 'look') add(data) }
  process.on('message', (threads) => {
    wanted = threads
    answers = []
    channel.postMessage('look')
    add(look())
  })
} else {
  channel.onmessage = ({ data }) => { if (data === 'look') channel.postMessage(look()) }
}
