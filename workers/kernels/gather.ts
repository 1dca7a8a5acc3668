// Values of the set rows, packed in row order, and back. A full word moves 64 values at once.

@inline function gather<T>(source: usize, rows: usize, words: u32, target: usize): u32 {
  const start = target, width = sizeof<T>()
  for (let word: u32 = 0; word < words; word++, source += width << 6, rows += 8) {
    let bits = load<u64>(rows)
    if (~bits == 0) {
      memory.copy(target, source, width << 6)
      target += width << 6
      continue
    }
    for (; bits != 0; bits &= bits - 1, target += width) store<T>(target, load<T>(source + <usize>ctz<u64>(bits) * width))
  }
  return <u32>(target - start)
}

@inline function scatter<T>(values: usize, rows: usize, words: u32, target: usize): u32 {
  const start = values, width = sizeof<T>()
  for (let word: u32 = 0; word < words; word++, target += width << 6, rows += 8) {
    let bits = load<u64>(rows)
    if (~bits == 0) {
      memory.copy(target, values, width << 6)
      values += width << 6
      continue
    }
    for (; bits != 0; bits &= bits - 1, values += width) store<T>(target + <usize>ctz<u64>(bits) * width, load<T>(values))
  }
  return <u32>(values - start)
}

export function gather8(source: usize, rows: usize, words: u32, target: usize): u32 { return gather<u8>(source, rows, words, target) }
export function gather16(source: usize, rows: usize, words: u32, target: usize): u32 { return gather<u16>(source, rows, words, target) }
export function gather32(source: usize, rows: usize, words: u32, target: usize): u32 { return gather<u32>(source, rows, words, target) }
export function gather64(source: usize, rows: usize, words: u32, target: usize): u32 { return gather<u64>(source, rows, words, target) }

export function scatter8(values: usize, rows: usize, words: u32, target: usize): u32 { return scatter<u8>(values, rows, words, target) }
export function scatter16(values: usize, rows: usize, words: u32, target: usize): u32 { return scatter<u16>(values, rows, words, target) }
export function scatter32(values: usize, rows: usize, words: u32, target: usize): u32 { return scatter<u32>(values, rows, words, target) }
export function scatter64(values: usize, rows: usize, words: u32, target: usize): u32 { return scatter<u64>(values, rows, words, target) }
