// Quantized columns: live is f32, committed the number of the step. quantize(v) = round half to even of (v - min) * perStep, clamped to
// 0 … steps, NaN to 0. Adding 2^23 to an f32 below 2^23 leaves the rounded integer in the mantissa; of larger ones the bits are larger, too, so that
// the upper clamp can wait until values are narrow. Groups of 16 rows end in a branch, as in compare.ts.

const magicBits: i32 = 0x4b000000 // 2^23 as f32

// pmax(0, x) is 0 for NaN. `fromZero` is known when this is inlined: a field that begins at 0 saves the subtraction.
@inline function steps4(at: usize, min: v128, perStep: v128, fromZero: bool): v128 {
  const scaled = f32x4.mul(fromZero ? v128.load(at) : f32x4.sub(v128.load(at), min), perStep)
  return i32x4.sub(f32x4.add(f32x4.pmax(f32x4.splat(0), scaled), f32x4.splat(8388608)), i32x4.splat(magicBits))
}

/** The last step in each lane. `width` in bytes is known when this is inlined. */
@inline export function topOf(width: usize, steps: u32): v128 { return width == 1 ? i8x16.splat(<i8>steps) : width == 2 ? i16x8.splat(<i16>steps) : i32x4.splat(steps) }

@inline function signed8(at: usize, min: v128, perStep: v128, fromZero: bool): v128 {
  return i16x8.narrow_i32x4_s(steps4(at, min, perStep, fromZero), steps4(at + 16, min, perStep, fromZero))
}

@inline function differing8(live: usize, committed: usize, wire: usize, min: v128, perStep: v128, top: v128, fromZero: bool): u32 {
  const values = i8x16.min_u(i8x16.narrow_i16x8_u(signed8(live, min, perStep, fromZero), signed8(live + 32, min, perStep, fromZero)), top)
  v128.store(wire, values)
  return <u32>i8x16.bitmask(i8x16.eq(values, v128.load(committed))) ^ 0xffff
}

@inline function unsigned8(at: usize, min: v128, perStep: v128, top: v128, fromZero: bool): v128 {
  return i16x8.min_u(i16x8.narrow_i32x4_u(steps4(at, min, perStep, fromZero), steps4(at + 16, min, perStep, fromZero)), top)
}

@inline function differing16(live: usize, committed: usize, wire: usize, min: v128, perStep: v128, top: v128, fromZero: bool): u32 {
  const a = unsigned8(live, min, perStep, top, fromZero), b = unsigned8(live + 32, min, perStep, top, fromZero)
  v128.store(wire, a)
  v128.store(wire, b, 16)
  return <u32>i8x16.bitmask(i8x16.narrow_i16x8_s(i16x8.eq(a, v128.load(committed)), i16x8.eq(b, v128.load(committed, 16)))) ^ 0xffff
}

@inline function differing32(live: usize, committed: usize, wire: usize, min: v128, perStep: v128, top: v128, fromZero: bool): u32 {
  const a = i32x4.min_u(steps4(live, min, perStep, fromZero), top), b = i32x4.min_u(steps4(live + 16, min, perStep, fromZero), top)
  const c = i32x4.min_u(steps4(live + 32, min, perStep, fromZero), top), d = i32x4.min_u(steps4(live + 48, min, perStep, fromZero), top)
  v128.store(wire, a)
  v128.store(wire, b, 16)
  v128.store(wire, c, 32)
  v128.store(wire, d, 48)
  const low = i16x8.narrow_i32x4_s(i32x4.eq(a, v128.load(committed)), i32x4.eq(b, v128.load(committed, 16)))
  const high = i16x8.narrow_i32x4_s(i32x4.eq(c, v128.load(committed, 32)), i32x4.eq(d, v128.load(committed, 48)))
  return <u32>i8x16.bitmask(i8x16.narrow_i16x8_s(low, high)) ^ 0xffff
}

/** One bit for each of 16 rows; their quantized values are left at `wire`. */
@inline export function differing(width: usize, live: usize, committed: usize, wire: usize, min: v128, perStep: v128, top: v128, fromZero: bool): u32 {
  return width == 1 ? differing8(live, committed, wire, min, perStep, top, fromZero)
    : width == 2 ? differing16(live, committed, wire, min, perStep, top, fromZero) : differing32(live, committed, wire, min, perStep, top, fromZero)
}

@inline function compare(
  width: usize, live: usize, committed: usize, alive: usize, mask: usize, out: usize, wire: usize, words: u32, min: f32, perStep: f32, steps: u32, fromZero: bool,
): u32 {
  const low = f32x4.splat(min), scale = f32x4.splat(perStep), top = topOf(width, steps), group = width << 4, word = width << 6
  let count: u64 = 0
  for (let left = words; left > 0; left--, live += 256, committed += word, wire += word, alive += 8, mask += 8, out += 8) {
    let changed: u64 = 0
    if (load<u64>(alive) != 0) {
      let some = differing(width, live, committed, wire, low, scale, top, fromZero)
      if (some != 0) changed = <u64>some
      some = differing(width, live + 64, committed + group, wire + group, low, scale, top, fromZero)
      if (some != 0) changed |= <u64>some << 16
      some = differing(width, live + 128, committed + group * 2, wire + group * 2, low, scale, top, fromZero)
      if (some != 0) changed |= <u64>some << 32
      some = differing(width, live + 192, committed + group * 3, wire + group * 3, low, scale, top, fromZero)
      if (some != 0) changed |= <u64>some << 48
      changed &= load<u64>(mask)
    }
    store<u64>(out, changed)
    count += popcnt<u64>(changed)
  }
  return <u32>count
}

export function compareQuantized8(live: usize, committed: usize, alive: usize, mask: usize, out: usize, wire: usize, words: u32, min: f32, perStep: f32, steps: u32): u32 {
  return min == 0 ? compare(1, live, committed, alive, mask, out, wire, words, min, perStep, steps, true)
    : compare(1, live, committed, alive, mask, out, wire, words, min, perStep, steps, false)
}

export function compareQuantized16(live: usize, committed: usize, alive: usize, mask: usize, out: usize, wire: usize, words: u32, min: f32, perStep: f32, steps: u32): u32 {
  return min == 0 ? compare(2, live, committed, alive, mask, out, wire, words, min, perStep, steps, true)
    : compare(2, live, committed, alive, mask, out, wire, words, min, perStep, steps, false)
}

export function compareQuantized32(live: usize, committed: usize, alive: usize, mask: usize, out: usize, wire: usize, words: u32, min: f32, perStep: f32, steps: u32): u32 {
  return min == 0 ? compare(4, live, committed, alive, mask, out, wire, words, min, perStep, steps, true)
    : compare(4, live, committed, alive, mask, out, wire, words, min, perStep, steps, false)
}

// A value counts as clamped when it lies more than half a step outside.
@inline function isClamped(x: f32, top: f32): u32 { return u32(!(x >= -0.5 && x <= top + 0.5)) }

/** How many live values of the set rows are clamped or NaN. */
export function countClamped(live: usize, rows: usize, words: u32, min: f32, perStep: f32, steps: u32): u32 {
  const top = <f32>steps
  let count: u32 = 0
  for (let word: u32 = 0; word < words; word++, live += 256, rows += 8) {
    for (let bits = load<u64>(rows); bits != 0; bits &= bits - 1) count += isClamped((load<f32>(live + (<usize>ctz<u64>(bits) << 2)) - min) * perStep, top)
  }
  return count
}

/** 1 if any of `count` packed wire values is the first or last step: only then may one have been clamped. */
export function touchesEdge8(values: usize, count: u32, steps: u32): u32 {
  for (let n: u32 = 0; n < count; n++) { const wire = <u32>load<u8>(values + n); if (wire == 0 || wire == steps) return 1 }
  return 0
}

export function touchesEdge16(values: usize, count: u32, steps: u32): u32 {
  const first = i16x8.splat(0), last = i16x8.splat(<i16>steps)
  let n: u32 = 0
  for (; n + 8 <= count; n += 8, values += 16) {
    const wire = v128.load(values)
    if (v128.any_true(v128.or(i16x8.eq(wire, first), i16x8.eq(wire, last)))) return 1
  }
  for (; n < count; n++, values += 2) { const wire = <u32>load<u16>(values); if (wire == 0 || wire == steps) return 1 }
  return 0
}

export function touchesEdge32(values: usize, count: u32, steps: u32): u32 {
  for (let n: u32 = 0; n < count; n++) { const wire = load<u32>(values + (<usize>n << 2)); if (wire == 0 || wire == steps) return 1 }
  return 0
}
