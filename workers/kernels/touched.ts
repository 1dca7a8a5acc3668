// The same compares for tables that track touches: only blocks of 16 rows that are marked. A block's rows are two bytes of every bitmap, and a u64 of marks
// is 1,024 rows, so a quiet table costs one look at each. `out` is written only if something differs: a count of 0 leaves it as it was.
import { differing } from './compare'
import { differing as differingQuantized, topOf } from './quantized'

/** `width` is known when this is inlined. Marks beyond `words` are no rows. */
@inline function compareMarked(width: usize, live: usize, committed: usize, stayed: usize, touched: usize, out: usize, words: u32): u32 {
  let count: u32 = 0
  for (let first: u32 = 0, end = words << 2; first < end; first += 64, touched += 8) {
    for (let marks = load<u64>(touched); marks != 0; marks &= marks - 1) {
      const block = first + <u32>ctz<u64>(marks)
      if (block >= end) break
      const at = <usize>block << 4
      count = note(differing(width, live + at * width, committed + at * width), block, stayed, out, words, count)
    }
  }
  return count
}

/** The first block in which something differs clears what the flush before has left in `out`. */
@inline function note(differing: u32, block: u32, stayed: usize, out: usize, words: u32, count: u32): u32 {
  const rows = differing & <u32>load<u16>(stayed + (<usize>block << 1))
  if (rows == 0) return count
  if (count == 0) memory.fill(out, 0, <usize>words << 3)
  store<u16>(out + (<usize>block << 1), rows)
  return count + <u32>popcnt<u32>(rows)
}

export function compareTouched8(live: usize, committed: usize, stayed: usize, touched: usize, out: usize, words: u32): u32 { return compareMarked(1, live, committed, stayed, touched, out, words) }
export function compareTouched16(live: usize, committed: usize, stayed: usize, touched: usize, out: usize, words: u32): u32 { return compareMarked(2, live, committed, stayed, touched, out, words) }
export function compareTouched32(live: usize, committed: usize, stayed: usize, touched: usize, out: usize, words: u32): u32 { return compareMarked(4, live, committed, stayed, touched, out, words) }
export function compareTouched64(live: usize, committed: usize, stayed: usize, touched: usize, out: usize, words: u32): u32 { return compareMarked(8, live, committed, stayed, touched, out, words) }

@inline function quantizeMarked(
  width: usize, live: usize, committed: usize, stayed: usize, touched: usize, out: usize, wire: usize, words: u32, min: f32, perStep: f32, steps: u32,
): u32 {
  const low = f32x4.splat(min), scale = f32x4.splat(perStep), top = topOf(width, steps)
  let count: u32 = 0
  for (let first: u32 = 0, end = words << 2; first < end; first += 64, touched += 8) {
    for (let marks = load<u64>(touched); marks != 0; marks &= marks - 1) {
      const block = first + <u32>ctz<u64>(marks)
      if (block >= end) break
      const at = <usize>block << 4
      count = note(differingQuantized(width, live + (at << 2), committed + at * width, wire + at * width, low, scale, top, false), block, stayed, out, words, count)
    }
  }
  return count
}

export function compareTouchedQuantized8(live: usize, committed: usize, stayed: usize, touched: usize, out: usize, wire: usize, words: u32, min: f32, perStep: f32, steps: u32): u32 {
  return quantizeMarked(1, live, committed, stayed, touched, out, wire, words, min, perStep, steps)
}

export function compareTouchedQuantized16(live: usize, committed: usize, stayed: usize, touched: usize, out: usize, wire: usize, words: u32, min: f32, perStep: f32, steps: u32): u32 {
  return quantizeMarked(2, live, committed, stayed, touched, out, wire, words, min, perStep, steps)
}

export function compareTouchedQuantized32(live: usize, committed: usize, stayed: usize, touched: usize, out: usize, wire: usize, words: u32, min: f32, perStep: f32, steps: u32): u32 {
  return quantizeMarked(4, live, committed, stayed, touched, out, wire, words, min, perStep, steps)
}
