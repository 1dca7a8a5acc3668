/**
 * How messages are broken: a list of changes to the bytes of a whole one, which fast-check makes up and shrinks. Every offset and length of a
 * FlatBuffer is an aligned word or half-word, so {@link everyField} takes each of those in turn; {@link changes} does whatever else there is.
 */
import fc from 'fast-check'

export type Change =
  | { readonly kind: 'word' | 'half' | 'byte'; readonly at: number; readonly value: number }
  /** A word that points at another aligned place of the message. */
  | { readonly kind: 'point'; readonly at: number; readonly to: number }
  /** A word or half-word that is a little more or less than it was. */
  | { readonly kind: 'nudge'; readonly at: number; readonly bytes: 2 | 4; readonly by: number }
  | { readonly kind: 'cut'; readonly length: number }
  | { readonly kind: 'extend'; readonly by: number; readonly fill: number }
  /** A range that stands once more behind itself, or that changes places with another. */
  | { readonly kind: 'double' | 'swap'; readonly at: number; readonly to: number; readonly length: number }

/** Numbers at the ends of what a length, an offset or a signed one can be. */
const wordExtremes = [0, 1, 2, 4, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff]
const halfExtremes = [0, 1, 2, 4, 0x7fff, 0x8000, 0xfffe, 0xffff]
const nudges = [-8, -4, -2, -1, 1, 2, 4, 8]

/** Each aligned word and half-word of a message of `length` bytes, at every extreme, at the message's own length, one more and one less, and a little off. */
export function everyField(length: number): Change[] {
  const all: Change[] = []
  for (let at = 0; at + 4 <= length; at += 4) {
    for (const value of [...wordExtremes, length - 1, length, length + 1]) all.push({ kind: 'word', at, value })
    for (const by of nudges) all.push({ kind: 'nudge', at, bytes: 4, by })
  }
  for (let at = 0; at + 2 <= length; at += 2) {
    for (const value of [...halfExtremes, length]) all.push({ kind: 'half', at, value })
    for (const by of nudges) all.push({ kind: 'nudge', at, bytes: 2, by })
  }
  return all
}

const place = fc.nat(0xffff)
const change: fc.Arbitrary<Change> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('word' as const), at: place, value: fc.oneof(fc.constantFrom(...wordExtremes), fc.nat(300), fc.nat()) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('half' as const), at: place, value: fc.oneof(fc.constantFrom(...halfExtremes), fc.nat(100)) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('byte' as const), at: place, value: fc.oneof(fc.constantFrom(0, 1, 127, 128, 255), fc.nat(255)) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('point' as const), at: place, to: place }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('nudge' as const), at: place, bytes: fc.constantFrom<2 | 4>(2, 4), by: fc.integer({ min: -64, max: 64 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cut' as const), length: place }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('extend' as const), by: fc.nat(64), fill: fc.nat(255) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('double' as const, 'swap' as const), at: place, to: place, length: fc.nat(32) }) },
)

/** What is done to one message: mostly little, which gets past more checks. */
export const changes: fc.Arbitrary<Change[]> = fc.oneof(
  { weight: 3, arbitrary: fc.array(change, { minLength: 1, maxLength: 1 }) }, { weight: 2, arbitrary: fc.array(change, { minLength: 2, maxLength: 6 }) },
)

/** The message with all changes made to it, one after the other. */
export const mutate = (message: Uint8Array, list: readonly Change[]): Uint8Array => list.reduce(apply, message)

function apply(message: Uint8Array, given: Change): Uint8Array {
  const { length } = message
  switch (given.kind) {
    case 'cut': return message.slice(0, length === 0 ? 0 : given.length % length)
    case 'extend': return Uint8Array.from([...message, ...new Uint8Array(given.by).fill(given.fill)])
    case 'double': { const at = given.at % (length + 1); return Uint8Array.from([...message.subarray(0, at), ...message.subarray(at, at + given.length), ...message.subarray(at)]) }
    default: return length < 8 ? message : changed(message.slice(), given)
  }
}

function changed(bytes: Uint8Array, given: Exclude<Change, { kind: 'cut' | 'extend' }>): Uint8Array {
  const view = new DataView(bytes.buffer), { length } = bytes
  const word = given.at % (length - 3) & ~3, half = given.at % (length - 1) & ~1
  switch (given.kind) {
    case 'byte': bytes[given.at % length] = given.value; break
    case 'word': view.setUint32(word, given.value, true); break
    case 'half': view.setUint16(half, given.value, true); break
    case 'point': view.setUint32(word, (given.to % length & ~3) - word, true); break
    case 'nudge':
      if (given.bytes === 4) view.setUint32(word, view.getUint32(word, true) + given.by, true)
      else view.setUint16(half, view.getUint16(half, true) + given.by, true)
      break
    default: {
      const range = Math.min(given.length, length >> 1), a = given.at % (length - range + 1), b = given.to % (length - range + 1), kept = bytes.slice(a, a + range)
      bytes.copyWithin(a, b, b + range)
      bytes.set(kept, b)
    }
  }
  return bytes
}
