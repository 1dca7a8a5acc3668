// Gap lists: LEB128 of the first set row, counted from the bitmap's begin, then of each row minus the row before minus 1.

/** Writes the list; 0 as soon as it would take more than `bytesMax` bytes. */
export function writeGaps(rows: usize, words: u32, target: usize, bytesMax: u32): u32 {
  const start = target, end = target + bytesMax
  let next: u32 = 0
  for (let base: u32 = 0, last = words << 6; base < last; base += 64, rows += 8) {
    let bits = load<u64>(rows)
    if (bits == 0) continue
    if (target + 64 + 5 > end && target + <usize>popcnt<u64>(bits) + 5 > end) return 0
    const first = <u32>ctz<u64>(bits)
    let gap = base + first - next
    for (; gap >= 128; gap >>= 7) store<u8>(target++, gap | 128)
    store<u8>(target++, gap)
    // Within a word every further gap is below 64: one byte, and no question.
    let before = first
    for (bits &= bits - 1; bits != 0; bits &= bits - 1, target++) {
      const bit = <u32>ctz<u64>(bits)
      store<u8>(target, bit - before - 1)
      before = bit
    }
    next = base + before + 1
  }
  return <u32>(target - start)
}

/** Sets the listed rows; 0 if the list is not exactly `count` rows in `bytes` bytes below 64 * words. */
export function readGaps(source: usize, bytes: u32, count: u32, rows: usize, words: u32): u32 {
  const end = source + bytes, limit = <u64>words << 6
  let next: u64 = 0
  for (; count > 0; count--) {
    let gap: u64 = 0, shift: u64 = 0, byte: u8 = 128
    while (byte >= 128) {
      if (source >= end || shift > 28) return 0
      byte = load<u8>(source++)
      gap |= <u64>(byte & 127) << shift
      shift += 7
    }
    const row = next + gap
    if (row >= limit) return 0
    const at = rows + (<usize>(row >> 6) << 3)
    store<u64>(at, load<u64>(at) | (<u64>1) << (row & 63))
    next = row + 1
  }
  return u32(source == end)
}
