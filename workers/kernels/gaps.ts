// Gap lists: LEB128 of the first set row minus 64 times its bitmap's first nonzero word, then of each row minus the row before minus 1.

@inline function lebBytes(value: u32): u32 { return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : value < 268435456 ? 4 : 5 }

export function gapBytes(rows: usize, words: u32): u32 {
  let bytes: u32 = 0, next: u32 = 0
  let begun = false
  for (let word: u32 = 0; word < words; word++) {
    for (let bits = load<u64>(rows + (<usize>word << 3)); bits != 0; bits &= bits - 1) {
      const row = (word << 6) + <u32>ctz<u64>(bits)
      if (!begun) { begun = true; next = word << 6 }
      bytes += lebBytes(row - next)
      next = row + 1
    }
  }
  return bytes
}

export function writeGaps(rows: usize, words: u32, target: usize): u32 {
  const start = target
  let next: u32 = 0
  let begun = false
  for (let word: u32 = 0; word < words; word++) {
    for (let bits = load<u64>(rows + (<usize>word << 3)); bits != 0; bits &= bits - 1) {
      const row = (word << 6) + <u32>ctz<u64>(bits)
      if (!begun) { begun = true; next = word << 6 }
      let gap = row - next
      next = row + 1
      for (; gap >= 128; gap >>= 7) store<u8>(target++, gap | 128)
      store<u8>(target++, gap)
    }
  }
  return <u32>(target - start)
}

/** Sets the listed rows, the first counted from `base`; 0 if the list is not exactly `count` rows in `bytes` bytes below 64 * words. */
export function readGaps(source: usize, bytes: u32, count: u32, base: u32, rows: usize, words: u32): u32 {
  const end = source + bytes, limit = <u64>words << 6
  let next: u64 = base
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
