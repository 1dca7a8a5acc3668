// Live against committed, bit by bit, 64 rows a step: lanes are compared, narrowed to bytes and gathered into one u64.

@inline export function same8(a: usize, b: usize): u64 {
  return <u64>(<u32>i8x16.bitmask(i8x16.eq(v128.load(a), v128.load(b))) & 0xffff)
}

@inline export function same16(a: usize, b: usize): u64 {
  const low = i16x8.eq(v128.load(a), v128.load(b)), high = i16x8.eq(v128.load(a, 16), v128.load(b, 16))
  return <u64>(<u32>i8x16.bitmask(i8x16.narrow_i16x8_s(low, high)) & 0xffff)
}

@inline export function same32(a: usize, b: usize): u64 {
  const low = i16x8.narrow_i32x4_s(i32x4.eq(v128.load(a), v128.load(b)), i32x4.eq(v128.load(a, 16), v128.load(b, 16)))
  const high = i16x8.narrow_i32x4_s(i32x4.eq(v128.load(a, 32), v128.load(b, 32)), i32x4.eq(v128.load(a, 48), v128.load(b, 48)))
  return <u64>(<u32>i8x16.bitmask(i8x16.narrow_i16x8_s(low, high)) & 0xffff)
}

@inline export function same64(a: usize, b: usize): u64 {
  let same: u64 = 0
  for (let pair: usize = 0; pair < 8; pair++) same |= <u64>i64x2.bitmask(i64x2.eq(v128.load(a + (pair << 4)), v128.load(b + (pair << 4)))) << <u64>(pair << 1)
  return same
}

export function compare8(live: usize, committed: usize, mask: usize, out: usize, words: u32): u32 {
  let count: u64 = 0
  for (let word: u32 = 0; word < words; word++, live += 64, committed += 64, mask += 8, out += 8) {
    const rows = load<u64>(mask)
    let changed: u64 = 0
    if (rows != 0) {
      const same = same8(live, committed) | same8(live + 16, committed + 16) << 16 | same8(live + 32, committed + 32) << 32 | same8(live + 48, committed + 48) << 48
      changed = ~same & rows
    }
    store<u64>(out, changed)
    count += popcnt<u64>(changed)
  }
  return <u32>count
}

export function compare16(live: usize, committed: usize, mask: usize, out: usize, words: u32): u32 {
  let count: u64 = 0
  for (let word: u32 = 0; word < words; word++, live += 128, committed += 128, mask += 8, out += 8) {
    const rows = load<u64>(mask)
    let changed: u64 = 0
    if (rows != 0) {
      const same = same16(live, committed) | same16(live + 32, committed + 32) << 16 | same16(live + 64, committed + 64) << 32 | same16(live + 96, committed + 96) << 48
      changed = ~same & rows
    }
    store<u64>(out, changed)
    count += popcnt<u64>(changed)
  }
  return <u32>count
}

export function compare32(live: usize, committed: usize, mask: usize, out: usize, words: u32): u32 {
  let count: u64 = 0
  for (let word: u32 = 0; word < words; word++, live += 256, committed += 256, mask += 8, out += 8) {
    const rows = load<u64>(mask)
    let changed: u64 = 0
    if (rows != 0) {
      const same = same32(live, committed) | same32(live + 64, committed + 64) << 16 | same32(live + 128, committed + 128) << 32 | same32(live + 192, committed + 192) << 48
      changed = ~same & rows
    }
    store<u64>(out, changed)
    count += popcnt<u64>(changed)
  }
  return <u32>count
}

export function compare64(live: usize, committed: usize, mask: usize, out: usize, words: u32): u32 {
  let count: u64 = 0
  for (let word: u32 = 0; word < words; word++, live += 512, committed += 512, mask += 8, out += 8) {
    const rows = load<u64>(mask)
    let changed: u64 = 0
    if (rows != 0) {
      const same = same64(live, committed) | same64(live + 128, committed + 128) << 16 | same64(live + 256, committed + 256) << 32 | same64(live + 384, committed + 384) << 48
      changed = ~same & rows
    }
    store<u64>(out, changed)
    count += popcnt<u64>(changed)
  }
  return <u32>count
}

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
