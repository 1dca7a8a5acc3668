// xxHash32 (seed 0) of columns as 4-byte lanes: base/hash.ts is the same for clients. The state lives in module globals, which each
// thread's instance has for itself.

const P1: u32 = 0x9e3779b1
const P2: u32 = 0x85ebca77
const P3: u32 = 0xc2b2ae3d
const P4: u32 = 0x27d4eb2f
const P5: u32 = 0x165667b1

let a: u32 = 0
let b: u32 = 0
let c: u32 = 0
let d: u32 = 0
let t0: u32 = 0
let t1: u32 = 0
let t2: u32 = 0
let lanes: u32 = 0

function begin(): void {
  a = P1 + P2
  b = P2
  c = 0
  d = 0 - P1
  lanes = 0
}

@inline function round(accumulator: u32, lane: u32): u32 { return rotl<u32>(accumulator + lane * P2, 13) * P1 }

function take(lane: u32): void {
  const at = lanes++ & 3
  if (at == 0) t0 = lane
  else if (at == 1) t1 = lane
  else if (at == 2) t2 = lane
  else {
    a = round(a, t0)
    b = round(b, t1)
    c = round(c, t2)
    d = round(d, lane)
  }
}

@inline function mixTail(hash: u32, lane: u32): u32 { return rotl<u32>(hash + lane * P3, 17) * P4 }

function finish(): u32 {
  let hash = lanes >= 4 ? rotl<u32>(a, 1) + rotl<u32>(b, 7) + rotl<u32>(c, 12) + rotl<u32>(d, 18) : P5
  hash += lanes << 2
  const rest = lanes & 3
  if (rest > 0) hash = mixTail(hash, t0)
  if (rest > 1) hash = mixTail(hash, t1)
  if (rest > 2) hash = mixTail(hash, t2)
  hash = (hash ^ (hash >> 15)) * P2
  hash = (hash ^ (hash >> 13)) * P3
  return hash ^ (hash >> 16)
}

@inline function lane<T>(at: usize): u32 { return <u32>load<T>(at) }

/** 64 living rows of one lane each, from a whole stripe on: two rows are a stripe, four chains run side by side. */
@inline function takeWord<T>(row: u32, at: usize): void {
  let w = a, x = b, y = c, z = d
  for (let pair: u32 = 0; pair < 32; pair++, row += 2, at += 2 * sizeof<T>()) {
    w = round(w, row)
    x = round(x, lane<T>(at))
    y = round(y, row + 1)
    z = round(z, lane<T>(at + sizeof<T>()))
  }
  a = w
  b = x
  c = y
  d = z
  lanes += 128
}

/** Row and value of each living row; values of 1 and 2 bytes fill a lane with zeros. */
export function hashColumn(committed: usize, alive: usize, words: u32, width: u32): u32 {
  begin()
  for (let word: u32 = 0; word < words; word++) {
    let bits = load<u64>(alive + (<usize>word << 3))
    if (~bits == 0 && (lanes & 3) == 0 && width <= 4) {
      const first = word << 6, at = committed + <usize>first * width
      if (width == 1) takeWord<u8>(first, at)
      else if (width == 2) takeWord<u16>(first, at)
      else takeWord<u32>(first, at)
      continue
    }
    for (; bits != 0; bits &= bits - 1) {
      const row = (word << 6) + <u32>ctz<u64>(bits)
      const at = committed + <usize>row * width
      take(row)
      if (width == 1) take(<u32>load<u8>(at))
      else if (width == 2) take(<u32>load<u16>(at))
      else take(load<u32>(at))
      if (width == 8) take(load<u32>(at, 4))
    }
  }
  return finish()
}

/** Row, length and bytes of each living row's slot; the last lane is filled with zeros. */
export function hashSlots(committed: usize, alive: usize, words: u32, slotBytes: u32): u32 {
  begin()
  for (let word: u32 = 0; word < words; word++) {
    for (let bits = load<u64>(alive + (<usize>word << 3)); bits != 0; bits &= bits - 1) {
      const row = (word << 6) + <u32>ctz<u64>(bits)
      const at = committed + <usize>row * slotBytes
      const bytes = <u32>load<u16>(at)
      take(row)
      take(bytes)
      for (let from: u32 = 0; from < bytes; from += 4) {
        let lane: u32 = 0
        for (let byte: u32 = 0; byte < 4 && from + byte < bytes; byte++) lane |= <u32>load<u8>(at + 2 + from + byte) << (byte << 3)
        take(lane)
      }
    }
  }
  return finish()
}
