// Quantized columns: live is f32, committed the number of the step. quantize(v) = round half to even of (v - min) * perStep, clamped to
// 0 … steps, NaN to 0. Adding 2^23 to an f32 below 2^23 leaves the rounded integer in the mantissa.

const magicBits: i32 = 0x4b000000 // 2^23 as f32

@inline function scaled(at: usize, min: v128, perStep: v128): v128 { return f32x4.mul(f32x4.sub(v128.load(at), min), perStep) }

// pmax(0, x) is 0 for NaN; pmin(top, x) is x or top.
@inline function rounded(x: v128, top: v128): v128 {
  const clamped = f32x4.pmin(top, f32x4.pmax(f32x4.splat(0), x))
  return i32x4.sub(f32x4.add(clamped, f32x4.splat(8388608)), i32x4.splat(magicBits))
}

@inline function quantize4(at: usize, min: v128, perStep: v128, top: v128): v128 { return rounded(scaled(at, min, perStep), top) }

@inline function quantize8(at: usize, min: v128, perStep: v128, top: v128): v128 {
  return i16x8.narrow_i32x4_u(quantize4(at, min, perStep, top), quantize4(at + 16, min, perStep, top))
}

@inline function same8(live: usize, committed: usize, min: v128, perStep: v128, top: v128): u64 {
  const quantized = i8x16.narrow_i16x8_u(quantize8(live, min, perStep, top), quantize8(live + 32, min, perStep, top))
  return <u64>(<u32>i8x16.bitmask(i8x16.eq(quantized, v128.load(committed))) & 0xffff)
}

@inline function same16(live: usize, committed: usize, min: v128, perStep: v128, top: v128): u64 {
  const low = i16x8.eq(quantize8(live, min, perStep, top), v128.load(committed))
  const high = i16x8.eq(quantize8(live + 32, min, perStep, top), v128.load(committed, 16))
  return <u64>(<u32>i8x16.bitmask(i8x16.narrow_i16x8_s(low, high)) & 0xffff)
}

@inline function same32(live: usize, committed: usize, min: v128, perStep: v128, top: v128): u64 {
  const a = i32x4.eq(quantize4(live, min, perStep, top), v128.load(committed)), b = i32x4.eq(quantize4(live + 16, min, perStep, top), v128.load(committed, 16))
  const c = i32x4.eq(quantize4(live + 32, min, perStep, top), v128.load(committed, 32)), d = i32x4.eq(quantize4(live + 48, min, perStep, top), v128.load(committed, 48))
  return <u64>(<u32>i8x16.bitmask(i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d))) & 0xffff)
}

export function compareQuantized8(live: usize, committed: usize, mask: usize, out: usize, words: u32, min: f32, perStep: f32, steps: u32): u32 {
  const low = f32x4.splat(min), scale = f32x4.splat(perStep), top = f32x4.splat(<f32>steps)
  let count: u64 = 0
  for (let word: u32 = 0; word < words; word++, live += 256, committed += 64, mask += 8, out += 8) {
    const rows = load<u64>(mask)
    let changed: u64 = 0
    if (rows != 0) {
      const same = same8(live, committed, low, scale, top) | same8(live + 64, committed + 16, low, scale, top) << 16
        | same8(live + 128, committed + 32, low, scale, top) << 32 | same8(live + 192, committed + 48, low, scale, top) << 48
      changed = ~same & rows
    }
    store<u64>(out, changed)
    count += popcnt<u64>(changed)
  }
  return <u32>count
}

export function compareQuantized16(live: usize, committed: usize, mask: usize, out: usize, words: u32, min: f32, perStep: f32, steps: u32): u32 {
  const low = f32x4.splat(min), scale = f32x4.splat(perStep), top = f32x4.splat(<f32>steps)
  let count: u64 = 0
  for (let word: u32 = 0; word < words; word++, live += 256, committed += 128, mask += 8, out += 8) {
    const rows = load<u64>(mask)
    let changed: u64 = 0
    if (rows != 0) {
      const same = same16(live, committed, low, scale, top) | same16(live + 64, committed + 32, low, scale, top) << 16
        | same16(live + 128, committed + 64, low, scale, top) << 32 | same16(live + 192, committed + 96, low, scale, top) << 48
      changed = ~same & rows
    }
    store<u64>(out, changed)
    count += popcnt<u64>(changed)
  }
  return <u32>count
}

export function compareQuantized32(live: usize, committed: usize, mask: usize, out: usize, words: u32, min: f32, perStep: f32, steps: u32): u32 {
  const low = f32x4.splat(min), scale = f32x4.splat(perStep), top = f32x4.splat(<f32>steps)
  let count: u64 = 0
  for (let word: u32 = 0; word < words; word++, live += 256, committed += 256, mask += 8, out += 8) {
    const rows = load<u64>(mask)
    let changed: u64 = 0
    if (rows != 0) {
      const same = same32(live, committed, low, scale, top) | same32(live + 64, committed + 64, low, scale, top) << 16
        | same32(live + 128, committed + 128, low, scale, top) << 32 | same32(live + 192, committed + 192, low, scale, top) << 48
      changed = ~same & rows
    }
    store<u64>(out, changed)
    count += popcnt<u64>(changed)
  }
  return <u32>count
}

// A value counts as clamped when it lies more than half a step outside.
@inline function isClamped(x: f32, top: f32): u32 { return u32(!(x >= -0.5 && x <= top + 0.5)) }

/** How many of 64 values are clamped: asked only where one lies outside at all. */
function countClamped(live: usize, min: f32, perStep: f32, top: f32): u32 {
  let count: u32 = 0
  for (let at: usize = 0; at < 256; at += 4) count += isClamped((load<f32>(live + at) - min) * perStep, top)
  return count
}

/** Lanes of 16 values that lie outside 0 … top, or are NaN. */
@inline function outside16(live: usize, min: v128, perStep: v128, top: v128): v128 {
  const a = scaled(live, min, perStep), b = scaled(live + 16, min, perStep), c = scaled(live + 32, min, perStep), d = scaled(live + 48, min, perStep)
  const zero = f32x4.splat(0)
  const low = f32x4.pmin(f32x4.pmin(a, b), f32x4.pmin(c, d)), high = f32x4.pmax(f32x4.pmax(a, b), f32x4.pmax(c, d))
  const inside = v128.and(f32x4.ge(low, zero), f32x4.le(high, top))
  // min and max forget some NaN; a sum remembers all.
  const sum = f32x4.add(f32x4.add(a, b), f32x4.add(c, d))
  return v128.not(v128.and(inside, f32x4.eq(sum, sum)))
}

@inline function anyOutside(live: usize, min: v128, perStep: v128, top: v128): bool {
  return v128.any_true(v128.or(
    v128.or(outside16(live, min, perStep, top), outside16(live + 64, min, perStep, top)),
    v128.or(outside16(live + 128, min, perStep, top), outside16(live + 192, min, perStep, top)),
  ))
}

@inline function quantizeOne(x: f32, top: f32): u32 {
  const low: f32 = x > 0 ? x : 0
  return <u32>nearest<f32>(low < top ? low : top)
}

export function gatherQuantized8(live: usize, rows: usize, words: u32, target: usize, min: f32, perStep: f32, steps: u32): u32 {
  const low = f32x4.splat(min), scale = f32x4.splat(perStep), limit = f32x4.splat(<f32>steps), top = <f32>steps
  let clamped: u32 = 0
  for (let word: u32 = 0; word < words; word++, live += 256, rows += 8) {
    let bits = load<u64>(rows)
    if (~bits == 0) {
      if (anyOutside(live, low, scale, limit)) clamped += countClamped(live, min, perStep, top)
      for (let at: usize = 0; at < 256; at += 64, target += 16) {
        v128.store(target, i8x16.narrow_i16x8_u(quantize8(live + at, low, scale, limit), quantize8(live + at + 32, low, scale, limit)))
      }
      continue
    }
    for (; bits != 0; bits &= bits - 1, target++) {
      const x = (load<f32>(live + (<usize>ctz<u64>(bits) << 2)) - min) * perStep
      store<u8>(target, quantizeOne(x, top))
      clamped += isClamped(x, top)
    }
  }
  return clamped
}

export function gatherQuantized16(live: usize, rows: usize, words: u32, target: usize, min: f32, perStep: f32, steps: u32): u32 {
  const low = f32x4.splat(min), scale = f32x4.splat(perStep), limit = f32x4.splat(<f32>steps), top = <f32>steps
  let clamped: u32 = 0
  for (let word: u32 = 0; word < words; word++, live += 256, rows += 8) {
    let bits = load<u64>(rows)
    if (~bits == 0) {
      if (anyOutside(live, low, scale, limit)) clamped += countClamped(live, min, perStep, top)
      for (let at: usize = 0; at < 256; at += 32, target += 16) {
        v128.store(target, quantize8(live + at, low, scale, limit))
      }
      continue
    }
    for (; bits != 0; bits &= bits - 1, target += 2) {
      const x = (load<f32>(live + (<usize>ctz<u64>(bits) << 2)) - min) * perStep
      store<u16>(target, quantizeOne(x, top))
      clamped += isClamped(x, top)
    }
  }
  return clamped
}

export function gatherQuantized32(live: usize, rows: usize, words: u32, target: usize, min: f32, perStep: f32, steps: u32): u32 {
  const low = f32x4.splat(min), scale = f32x4.splat(perStep), limit = f32x4.splat(<f32>steps), top = <f32>steps
  let clamped: u32 = 0
  for (let word: u32 = 0; word < words; word++, live += 256, rows += 8) {
    let bits = load<u64>(rows)
    if (~bits == 0) {
      if (anyOutside(live, low, scale, limit)) clamped += countClamped(live, min, perStep, top)
      for (let at: usize = 0; at < 256; at += 16, target += 16) {
        v128.store(target, quantize4(live + at, low, scale, limit))
      }
      continue
    }
    for (; bits != 0; bits &= bits - 1, target += 4) {
      const x = (load<f32>(live + (<usize>ctz<u64>(bits) << 2)) - min) * perStep
      store<u32>(target, quantizeOne(x, top))
      clamped += isClamped(x, top)
    }
  }
  return clamped
}
