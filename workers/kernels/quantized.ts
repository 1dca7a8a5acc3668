// Quantized columns: live is f32, committed the number of the step. quantize(v) = round half to even of (v - min) * perStep, clamped to
// 0 … steps, NaN to 0. Adding 2^23 to an f32 below 2^23 leaves the rounded integer in the mantissa.

const magicBits: i32 = 0x4b000000 // 2^23 as f32

// `fromZero` is known when this is inlined: a field that begins at 0 saves the subtraction.
@inline function scaled(at: usize, min: v128, perStep: v128, fromZero: bool): v128 {
  return f32x4.mul(fromZero ? v128.load(at) : f32x4.sub(v128.load(at), min), perStep)
}

// pmax(0, x) is 0 for NaN; pmin(top, x) is x or top.
@inline function rounded(x: v128, top: v128): v128 {
  const clamped = f32x4.pmin(top, f32x4.pmax(f32x4.splat(0), x))
  return i32x4.sub(f32x4.add(clamped, f32x4.splat(8388608)), i32x4.splat(magicBits))
}

@inline function quantize4(at: usize, min: v128, perStep: v128, top: v128, fromZero: bool): v128 { return rounded(scaled(at, min, perStep, fromZero), top) }

@inline function quantize8(at: usize, min: v128, perStep: v128, top: v128, fromZero: bool): v128 {
  return i16x8.narrow_i32x4_u(quantize4(at, min, perStep, top, fromZero), quantize4(at + 16, min, perStep, top, fromZero))
}

@inline export function same8(live: usize, committed: usize, wire: usize, min: v128, perStep: v128, top: v128, fromZero: bool): u64 {
  const quantized = i8x16.narrow_i16x8_u(quantize8(live, min, perStep, top, fromZero), quantize8(live + 32, min, perStep, top, fromZero))
  v128.store(wire, quantized)
  return <u64>(<u32>i8x16.bitmask(i8x16.eq(quantized, v128.load(committed))) & 0xffff)
}

@inline export function same16(live: usize, committed: usize, wire: usize, min: v128, perStep: v128, top: v128, fromZero: bool): u64 {
  const a = quantize8(live, min, perStep, top, fromZero), b = quantize8(live + 32, min, perStep, top, fromZero)
  v128.store(wire, a)
  v128.store(wire, b, 16)
  return <u64>(<u32>i8x16.bitmask(i8x16.narrow_i16x8_s(i16x8.eq(a, v128.load(committed)), i16x8.eq(b, v128.load(committed, 16)))) & 0xffff)
}

@inline export function same32(live: usize, committed: usize, wire: usize, min: v128, perStep: v128, top: v128, fromZero: bool): u64 {
  const a = quantize4(live, min, perStep, top, fromZero), b = quantize4(live + 16, min, perStep, top, fromZero)
  const c = quantize4(live + 32, min, perStep, top, fromZero), d = quantize4(live + 48, min, perStep, top, fromZero)
  v128.store(wire, a)
  v128.store(wire, b, 16)
  v128.store(wire, c, 32)
  v128.store(wire, d, 48)
  const low = i16x8.narrow_i32x4_s(i32x4.eq(a, v128.load(committed)), i32x4.eq(b, v128.load(committed, 16)))
  const high = i16x8.narrow_i32x4_s(i32x4.eq(c, v128.load(committed, 32)), i32x4.eq(d, v128.load(committed, 48)))
  return <u64>(<u32>i8x16.bitmask(i8x16.narrow_i16x8_s(low, high)) & 0xffff)
}

export function compareQuantized8(live: usize, committed: usize, alive: usize, mask: usize, out: usize, wire: usize, words: u32, min: f32, perStep: f32, steps: u32): u32 {
  return min == 0 ? compareAll8(live, committed, alive, mask, out, wire, words, min, perStep, steps, true)
    : compareAll8(live, committed, alive, mask, out, wire, words, min, perStep, steps, false)
}

@inline function compareAll8(
  live: usize, committed: usize, alive: usize, mask: usize, out: usize, wire: usize, words: u32, min: f32, perStep: f32, steps: u32, fromZero: bool,
): u32 {
  const low = f32x4.splat(min), scale = f32x4.splat(perStep), top = f32x4.splat(<f32>steps)
  let count: u64 = 0
  for (let word: u32 = 0; word < words; word++, live += 256, committed += 64, wire += 64, alive += 8, mask += 8, out += 8) {
    let changed: u64 = 0
    if (load<u64>(alive) != 0) {
      const same = same8(live, committed, wire, low, scale, top, fromZero) | same8(live + 64, committed + 16, wire + 16, low, scale, top, fromZero) << 16
        | same8(live + 128, committed + 32, wire + 32, low, scale, top, fromZero) << 32 | same8(live + 192, committed + 48, wire + 48, low, scale, top, fromZero) << 48
      changed = ~same & load<u64>(mask)
    }
    store<u64>(out, changed)
    count += popcnt<u64>(changed)
  }
  return <u32>count
}

export function compareQuantized16(live: usize, committed: usize, alive: usize, mask: usize, out: usize, wire: usize, words: u32, min: f32, perStep: f32, steps: u32): u32 {
  return min == 0 ? compareAll16(live, committed, alive, mask, out, wire, words, min, perStep, steps, true)
    : compareAll16(live, committed, alive, mask, out, wire, words, min, perStep, steps, false)
}

@inline function compareAll16(
  live: usize, committed: usize, alive: usize, mask: usize, out: usize, wire: usize, words: u32, min: f32, perStep: f32, steps: u32, fromZero: bool,
): u32 {
  const low = f32x4.splat(min), scale = f32x4.splat(perStep), top = f32x4.splat(<f32>steps)
  let count: u64 = 0
  for (let word: u32 = 0; word < words; word++, live += 256, committed += 128, wire += 128, alive += 8, mask += 8, out += 8) {
    let changed: u64 = 0
    if (load<u64>(alive) != 0) {
      const same = same16(live, committed, wire, low, scale, top, fromZero) | same16(live + 64, committed + 32, wire + 32, low, scale, top, fromZero) << 16
        | same16(live + 128, committed + 64, wire + 64, low, scale, top, fromZero) << 32 | same16(live + 192, committed + 96, wire + 96, low, scale, top, fromZero) << 48
      changed = ~same & load<u64>(mask)
    }
    store<u64>(out, changed)
    count += popcnt<u64>(changed)
  }
  return <u32>count
}

export function compareQuantized32(live: usize, committed: usize, alive: usize, mask: usize, out: usize, wire: usize, words: u32, min: f32, perStep: f32, steps: u32): u32 {
  return min == 0 ? compareAll32(live, committed, alive, mask, out, wire, words, min, perStep, steps, true)
    : compareAll32(live, committed, alive, mask, out, wire, words, min, perStep, steps, false)
}

@inline function compareAll32(
  live: usize, committed: usize, alive: usize, mask: usize, out: usize, wire: usize, words: u32, min: f32, perStep: f32, steps: u32, fromZero: bool,
): u32 {
  const low = f32x4.splat(min), scale = f32x4.splat(perStep), top = f32x4.splat(<f32>steps)
  let count: u64 = 0
  for (let word: u32 = 0; word < words; word++, live += 256, committed += 256, wire += 256, alive += 8, mask += 8, out += 8) {
    let changed: u64 = 0
    if (load<u64>(alive) != 0) {
      const same = same32(live, committed, wire, low, scale, top, fromZero) | same32(live + 64, committed + 64, wire + 64, low, scale, top, fromZero) << 16
        | same32(live + 128, committed + 128, wire + 128, low, scale, top, fromZero) << 32 | same32(live + 192, committed + 192, wire + 192, low, scale, top, fromZero) << 48
      changed = ~same & load<u64>(mask)
    }
    store<u64>(out, changed)
    count += popcnt<u64>(changed)
  }
  return <u32>count
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
