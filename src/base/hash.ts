/**
 * xxHash32 (Yann Collet's specification, seed 0). Two uses: names of schemas, and state hashes of columns.
 * Columns are hashed as 4-byte lanes one after the other, so that kernel, server and client need no buffer.
 */
const P1 = 0x9e3779b1, P2 = 0x85ebca77, P3 = 0xc2b2ae3d, P4 = 0x27d4eb2f, P5 = 0x165667b1

const rotate = (x: number, by: number): number => (x << by) | (x >>> (32 - by))

export interface LaneHash { a: number; b: number; c: number; d: number; lanes: number; tail: Uint32Array }

export const createLaneHash = (): LaneHash => ({ a: P1 + P2 | 0, b: P2 | 0, c: 0, d: -P1 | 0, lanes: 0, tail: new Uint32Array(4) })

const round = (accumulator: number, lane: number): number =>
  Math.imul(rotate(accumulator + Math.imul(lane, P2) | 0, 13), P1)

/** Takes the next four bytes of the input, as a little-endian u32. */
export function hashLane(hash: LaneHash, lane: number): void {
  const { tail } = hash
  tail[hash.lanes & 3] = lane
  if ((++hash.lanes & 3) !== 0) return
  hash.a = round(hash.a, tail[0])
  hash.b = round(hash.b, tail[1])
  hash.c = round(hash.c, tail[2])
  hash.d = round(hash.d, tail[3])
}

/** The hash of the lanes so far, as if the input ended here after `extra` more bytes (0 to 3) of `rest`. */
export function finishLaneHash(hash: LaneHash, rest: Uint8Array = new Uint8Array(0)): number {
  let h = hash.lanes >= 4
    ? rotate(hash.a, 1) + rotate(hash.b, 7) + rotate(hash.c, 12) + rotate(hash.d, 18) | 0
    : P5 | 0
  h = h + hash.lanes * 4 + rest.length | 0
  for (let i = 0; i < (hash.lanes & 3); i++) h = Math.imul(rotate(h + Math.imul(hash.tail[i], P3) | 0, 17), P4)
  for (const byte of rest) h = Math.imul(rotate(h + Math.imul(byte, P5) | 0, 11), P1)
  h = Math.imul(h ^ (h >>> 15), P2)
  h = Math.imul(h ^ (h >>> 13), P3)
  return (h ^ (h >>> 16)) >>> 0
}

/** xxHash32 of bytes. */
export function hashBytes(bytes: Uint8Array): number {
  const hash = createLaneHash()
  const whole = bytes.length & ~3
  for (let at = 0; at < whole; at += 4) {
    hashLane(hash, bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | bytes[at + 3] << 24)
  }
  return finishLaneHash(hash, bytes.subarray(whole))
}

/** xxHash32 of a text's UTF-8. */
export const hashText = (text: string): number => hashBytes(new TextEncoder().encode(text))
