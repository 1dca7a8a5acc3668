/**
 * Seeded random numbers: sfc32 (Chris Doty-Humphrey's Small Fast Counter, 128 bits of state, period at least 2^32).
 * The state is four u32 in a Uint32Array of the caller's, so that a room can keep it in its committed memory.
 */
export type PrngState = Uint32Array

/** Fills `state` (4 words) from a seed, and runs it warm. */
export function seedPrng(state: PrngState, seed: number): void {
  state[0] = 0x9e3779b9
  state[1] = seed >>> 0
  state[2] = Math.floor(seed / 0x1_0000_0000) >>> 0
  state[3] = 1
  for (let n = 0; n < 12; n++) nextU32(state)
}

/** A uniform integer of 32 bits. */
export function nextU32(state: PrngState): number {
  const a = state[0], b = state[1], c = state[2], counter = state[3]
  const result = (a + b + counter) >>> 0
  state[0] = b ^ (b >>> 9)
  state[1] = c + (c << 3)
  state[2] = ((c << 21) | (c >>> 11)) + result
  state[3] = counter + 1
  return result
}

/** Uniform in [0, 1), 32 bits fine. */
export const nextFloat = (state: PrngState): number => nextU32(state) / 0x1_0000_0000

/** Uniform in 0 … below - 1, for 1 <= below <= 2^32. */
export const nextInt = (state: PrngState, below: number): number => Math.floor(nextFloat(state) * below)
