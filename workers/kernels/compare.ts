// Live against committed, bit by bit: the lanes of 16 rows are compared, narrowed to bytes and gathered into 16 bits; four such groups are a word.
//
// Each group ends in a branch on purpose. In straight code of 64 rows V8 moves all loads to its beginning, where there are more vectors than registers,
// and spills most of them.

@inline function differing8(a: usize, b: usize): u32 { return <u32>i8x16.bitmask(i8x16.eq(v128.load(a), v128.load(b))) ^ 0xffff }

@inline function differing16(a: usize, b: usize): u32 {
  const low = i16x8.eq(v128.load(a), v128.load(b)), high = i16x8.eq(v128.load(a, 16), v128.load(b, 16))
  return <u32>i8x16.bitmask(i8x16.narrow_i16x8_s(low, high)) ^ 0xffff
}

@inline function differing32(a: usize, b: usize): u32 {
  const low = i16x8.narrow_i32x4_s(i32x4.eq(v128.load(a), v128.load(b)), i32x4.eq(v128.load(a, 16), v128.load(b, 16)))
  const high = i16x8.narrow_i32x4_s(i32x4.eq(v128.load(a, 32), v128.load(b, 32)), i32x4.eq(v128.load(a, 48), v128.load(b, 48)))
  return <u32>i8x16.bitmask(i8x16.narrow_i16x8_s(low, high)) ^ 0xffff
}

@inline function differing64(a: usize, b: usize): u32 {
  let same: u32 = 0
  for (let pair: usize = 0; pair < 8; pair++) same |= <u32>i64x2.bitmask(i64x2.eq(v128.load(a + (pair << 4)), v128.load(b + (pair << 4)))) << <u32>(pair << 1)
  return same ^ 0xffff
}

/** One bit for each of 16 rows. `width` in bytes is known when this is inlined. */
@inline export function differing(width: usize, a: usize, b: usize): u32 {
  return width == 1 ? differing8(a, b) : width == 2 ? differing16(a, b) : width == 4 ? differing32(a, b) : differing64(a, b)
}

@inline function compare(width: usize, live: usize, committed: usize, mask: usize, out: usize, words: u32): u32 {
  const group = width << 4, word = width << 6
  let count: u64 = 0
  for (let left = words; left > 0; left--, live += word, committed += word, mask += 8, out += 8) {
    const rows = load<u64>(mask)
    let changed: u64 = 0
    if (rows != 0) {
      let some = differing(width, live, committed)
      if (some != 0) changed = <u64>some
      some = differing(width, live + group, committed + group)
      if (some != 0) changed |= <u64>some << 16
      some = differing(width, live + group * 2, committed + group * 2)
      if (some != 0) changed |= <u64>some << 32
      some = differing(width, live + group * 3, committed + group * 3)
      if (some != 0) changed |= <u64>some << 48
      changed &= rows
    }
    store<u64>(out, changed)
    count += popcnt<u64>(changed)
  }
  return <u32>count
}

export function compare8(live: usize, committed: usize, mask: usize, out: usize, words: u32): u32 { return compare(1, live, committed, mask, out, words) }
export function compare16(live: usize, committed: usize, mask: usize, out: usize, words: u32): u32 { return compare(2, live, committed, mask, out, words) }
export function compare32(live: usize, committed: usize, mask: usize, out: usize, words: u32): u32 { return compare(4, live, committed, mask, out, words) }
export function compare64(live: usize, committed: usize, mask: usize, out: usize, words: u32): u32 { return compare(8, live, committed, mask, out, words) }

/** Slots (u16 length, bytes) of the rows in `mask` only. */
export function compareSlots(live: usize, committed: usize, mask: usize, out: usize, words: u32, slotBytes: u32): u32 {
  let count: u64 = 0
  for (let word: u32 = 0; word < words; word++, mask += 8, out += 8) {
    let changed: u64 = 0
    for (let rows = load<u64>(mask); rows != 0; rows &= rows - 1) {
      const bit = ctz<u64>(rows)
      const at = <usize>((word << 6) + <u32>bit) * slotBytes
      if (differs(live + at, committed + at)) changed |= (<u64>1) << bit
    }
    store<u64>(out, changed)
    count += popcnt<u64>(changed)
  }
  return <u32>count
}

function differs(a: usize, b: usize): bool {
  const bytes = load<u16>(a)
  if (bytes != load<u16>(b)) return true
  for (let at: usize = 2, end: usize = 2 + <usize>bytes; at < end; at++) if (load<u8>(a + at) != load<u8>(b + at)) return true
  return false
}
