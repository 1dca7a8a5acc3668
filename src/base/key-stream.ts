/**
 * Random numbers that cannot be foretold from earlier ones: the key stream of ChaCha20 (RFC 8439, section 2.3; nonce 0, 64-bit block counter).
 * Pure functions of key and place, so that who keeps those two, as a room does in its committed memory, draws the same numbers again.
 */
export const keyWords = 8
export const blockWords = 16

// Signed: V8 adds int32 without a detour over doubles.
const working = new Int32Array(blockWords)

/** Writes block `number` of the stream under `key` (8 words) to `block` (16 words). Allocates nothing. */
export function writeBlock(block: Uint32Array, key: Uint32Array, number: number): void {
  block[0] = 0x61707865
  block[1] = 0x3320646e
  block[2] = 0x79622d32
  block[3] = 0x6b206574
  for (let n = 0; n < keyWords; n++) block[4 + n] = key[n]
  block[12] = number >>> 0
  block[13] = Math.floor(number / 0x1_0000_0000)
  block[14] = block[15] = 0
  const x = working
  for (let n = 0; n < blockWords; n++) x[n] = block[n]
  for (let round = 0; round < 10; round++) {
    quarterRound(x, 0, 4, 8, 12)
    quarterRound(x, 1, 5, 9, 13)
    quarterRound(x, 2, 6, 10, 14)
    quarterRound(x, 3, 7, 11, 15)
    quarterRound(x, 0, 5, 10, 15)
    quarterRound(x, 1, 6, 11, 12)
    quarterRound(x, 2, 7, 8, 13)
    quarterRound(x, 3, 4, 9, 14)
  }
  for (let n = 0; n < blockWords; n++) block[n] += x[n]
}

function quarterRound(x: Int32Array, a: number, b: number, c: number, d: number): void {
  x[a] = x[a] + x[b] | 0
  x[d] = rotated(x[d] ^ x[a], 16)
  x[c] = x[c] + x[d] | 0
  x[b] = rotated(x[b] ^ x[c], 12)
  x[a] = x[a] + x[b] | 0
  x[d] = rotated(x[d] ^ x[a], 8)
  x[c] = x[c] + x[d] | 0
  x[b] = rotated(x[b] ^ x[c], 7)
}

const rotated = (word: number, by: number): number => word << by | word >>> (32 - by)
