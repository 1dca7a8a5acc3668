// The kernels: AssemblyScript, compiled to one small .wasm over the arena's shared memory. Conventions and meanings stand in
// src/memory/kernels.ts; each has a plain TypeScript twin in test/memory/kernel-twins.ts. No static data, no allocation, no exports but these.
export { compare8, compare16, compare32, compare64, compareSlots } from './compare'
export { compareQuantized8, compareQuantized16, compareQuantized32, countClamped, touchesEdge8, touchesEdge16, touchesEdge32 } from './quantized'
export {
  compareTouched8, compareTouched16, compareTouched32, compareTouched64, compareTouchedQuantized8, compareTouchedQuantized16, compareTouchedQuantized32,
} from './touched'
export { gather8, gather16, gather32, gather64, scatter8, scatter16, scatter32, scatter64 } from './gather'
export { and, masks, countBits, equalBits, firstWord, lastWord, setRange, stampWords } from './bits'
export { readGaps, writeGaps } from './gaps'
export { copy, zero } from './copy'
export { hashColumn, hashSlots } from './hash'
