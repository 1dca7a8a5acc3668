// Bitmaps: a word is a u64, bit i of word w is row 64w + i.

export function and(target: usize, source: usize, words: u32): void {
  for (let at: usize = 0, end: usize = <usize>words << 3; at < end; at += 8) store<u64>(target + at, load<u64>(target + at) & load<u64>(source + at))
}

/** What stayed, what is new and what is gone, from the living rows now and as committed. */
export function masks(live: usize, committed: usize, stayed: usize, spawned: usize, despawned: usize, words: u32): void {
  for (let at: usize = 0, end: usize = <usize>words << 3; at < end; at += 8) {
    const now = load<u64>(live + at), before = load<u64>(committed + at)
    store<u64>(stayed + at, now & before)
    store<u64>(spawned + at, now & ~before)
    store<u64>(despawned + at, before & ~now)
  }
}

export function countBits(rows: usize, words: u32): u32 {
  let count: u64 = 0
  for (let at: usize = rows, end: usize = rows + (<usize>words << 3); at < end; at += 8) count += popcnt<u64>(load<u64>(at))
  return <u32>count
}

export function equalBits(a: usize, b: usize, words: u32): u32 {
  for (let at: usize = 0, end: usize = <usize>words << 3; at < end; at += 8) if (load<u64>(a + at) != load<u64>(b + at)) return 0
  return 1
}

/** Index of the first word that is not zero; `words` if all are. */
export function firstWord(rows: usize, words: u32): u32 {
  for (let word: u32 = 0; word < words; word++) if (load<u64>(rows + (<usize>word << 3)) != 0) return word
  return words
}

/** Index behind the last word that is not zero; 0 if all are. */
export function lastWord(rows: usize, words: u32): u32 {
  while (words > 0 && load<u64>(rows + (<usize>(words - 1) << 3)) == 0) words--
  return words
}

/** Writes `stamp` into the u32 of each word that is not zero. */
export function stampWords(rows: usize, words: u32, stamps: usize, stamp: u32): void {
  for (let word: u32 = 0; word < words; word++) if (load<u64>(rows + (<usize>word << 3)) != 0) store<u32>(stamps + (<usize>word << 2), stamp)
}

export function setRange(rows: usize, first: u32, count: u32): void {
  for (let row = first, end = first + count; row < end; row++) {
    const at = rows + (<usize>(row >> 6) << 3)
    if ((row & 63) == 0 && end - row >= 64) { store<u64>(at, ~(<u64>0)); row += 63 }
    else store<u64>(at, load<u64>(at) | ((<u64>1) << <u64>(row & 63)))
  }
}
