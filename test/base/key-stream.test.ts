import { createCipheriv } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { blockWords, keyWords, writeBlock } from '../../src/base/key-stream.js'

describe('key stream', () => {
  it('key stream: every block is what OpenSSL\'s ChaCha20 makes of the same key', () => {
    const block = new Uint32Array(blockWords)
    for (const number of [0, 1, 2, 1000, 2 ** 32 - 1]) {
      const key = crypto.getRandomValues(new Uint32Array(keyWords)), place = new Uint32Array([number, 0, 0, 0])
      const expected = createCipheriv('chacha20', new Uint8Array(key.buffer), new Uint8Array(place.buffer)).update(new Uint8Array(blockWords * 4))
      writeBlock(block, key, number)
      expect(Buffer.from(block.buffer).toString('hex'), `key ${key.join(' ')}, block ${number}`).toBe(expected.toString('hex'))
    }
  })

  it('key stream: blocks behind the first 2^32 are others', () => {
    const [first, second] = [new Uint32Array(blockWords), new Uint32Array(blockWords)], key = new Uint32Array(keyWords)
    writeBlock(first, key, 5)
    writeBlock(second, key, 5 + 2 ** 32)
    expect(first).not.toEqual(second)
  })
})
