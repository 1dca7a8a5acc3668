/** Secrets that can be found again: 8-byte marks, each a function of seed, owner, kind and number, so that room and test know the same ones. */

/** Whose mark it is: a client's number from 1 on; 0: nobody's but the servers'. */
export const servers = 0
export const kinds = ['card', 'wallet', 'word', 'event', 'echo', 'refusal', 'deck', 'bias', 'timer', 'orphan'] as const
export type Kind = (typeof kinds)[number]

/** Numbers of the servers' marks, and of those in events to somebody who has left, stay below. */
export const numbersMax = 1000, echoesMax = 50

const mask = 0xffff_ffff_ffff_ffffn

/** The finalizer of splitmix64. */
function mix(value: bigint): bigint {
  let x = (value + 0x9e37_79b9_7f4a_7c15n) & mask
  x = ((x ^ (x >> 30n)) * 0xbf58_476d_1ce4_e5b9n) & mask
  x = ((x ^ (x >> 27n)) * 0x94d0_49bb_1331_11ebn) & mask
  return x ^ (x >> 31n)
}

export const mark = (seed: number, who: number, kind: Kind, number: number): bigint =>
  mix(mix(mix(BigInt(seed)) ^ BigInt(who)) ^ BigInt(kinds.indexOf(kind) * 0x1_0000 + number))

/** The same as a text: 16 hexadecimal digits. */
export const word = (seed: number, who: number, kind: Kind, number: number): string => mark(seed, who, kind, number).toString(16).padStart(16, '0')
