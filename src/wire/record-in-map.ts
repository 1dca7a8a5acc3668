/**
 * The record's own bytes in a MessagePack map (record-map.ts), from anybody. Main thread. Values are stepped over and never made: work is bounded by the
 * bytes, and nothing is allocated, whatever lengths they claim. Extension types, which nobody of ours writes, are refused.
 */
const key = new TextEncoder().encode('record')

interface Steps { readonly bytes: Uint8Array; readonly view: DataView; at: number }

/** A view of the bytes under `record`; undefined for what is no such map, whole and with nothing behind it. Never throws. */
export function recordInMap(bytes: Uint8Array): Uint8Array | undefined {
  const steps: Steps = { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length), at: 0 }
  const entries = mapHead(steps)
  let record: Uint8Array | undefined
  for (let entry = 0; entry < entries; entry++) {
    const isRecord = isKey(bytes, steps.at)
    if (!step(steps)) return undefined
    const from = steps.at
    if (!step(steps)) return undefined
    if (!isRecord) continue
    // Which of two would be meant?
    if (record !== undefined || !isBinary(bytes[from])) return undefined
    record = bytes.subarray(from + 1 + 2 ** (bytes[from] - 0xc4), steps.at)
  }
  return steps.at === bytes.length ? record : undefined
}

/** Steps into a map; how many entries it says it has, 0 if it is none. */
function mapHead(steps: Steps): number {
  const { bytes, view } = steps, first = bytes[0]
  if (first >= 0x80 && first <= 0x8f) { steps.at = 1; return first & 15 }
  if (first === 0xde && bytes.length >= 3) { steps.at = 3; return view.getUint16(1) }
  return 0
}

/** A short text, fixstr: what every writer makes of a key of six letters. */
const isKey = (bytes: Uint8Array, at: number): boolean => bytes[at] === (0xa0 | key.length) && key.every((byte, index) => bytes[at + 1 + index] === byte)

const isBinary = (first: number): boolean => first >= 0xc4 && first <= 0xc6

/** Steps over one value and all that is in it; false if the bytes end before, or it is of no kind that is taken. */
function step(steps: Steps): boolean {
  const { bytes } = steps
  for (let left = 1; left > 0; left--) {
    if (steps.at >= bytes.length) return false
    const first = bytes[steps.at]
    if (first <= 0x7f || first >= 0xe0) steps.at++
    else if (first <= 0x8f) { steps.at++; left += (first & 15) * 2 }
    else if (first <= 0x9f) { steps.at++; left += first & 15 }
    else if (first <= 0xbf) steps.at += 1 + (first & 31)
    else {
      const children = stepLong(steps, first)
      if (children < 0) return false
      left += children
    }
    if (steps.at > bytes.length) return false
  }
  return true
}

/** Steps over a value with a head of its own; how many values lie in it, -1 if it is none. */
function stepLong(steps: Steps, first: number): number {
  switch (first) {
    case 0xc0: case 0xc2: case 0xc3: steps.at++; return 0
    case 0xc4: case 0xd9: return stepBytes(steps, 1)
    case 0xc5: case 0xda: return stepBytes(steps, 2)
    case 0xc6: case 0xdb: return stepBytes(steps, 4)
    case 0xcc: case 0xd0: steps.at += 2; return 0
    case 0xcd: case 0xd1: steps.at += 3; return 0
    case 0xca: case 0xce: case 0xd2: steps.at += 5; return 0
    case 0xcb: case 0xcf: case 0xd3: steps.at += 9; return 0
    case 0xdc: return lengthAt(steps, 2)
    case 0xdd: return lengthAt(steps, 4)
    case 0xde: return lengthAt(steps, 2) * 2
    case 0xdf: return lengthAt(steps, 4) * 2
    default: return -1
  }
}

function stepBytes(steps: Steps, lengthBytes: number): number {
  const length = lengthAt(steps, lengthBytes)
  if (length < 0) return -1
  steps.at += length
  return 0
}

/** Steps over a head with a length of so many bytes, and gives that; -1 if the bytes end before. */
function lengthAt(steps: Steps, lengthBytes: number): number {
  const { view } = steps, from = steps.at + 1
  if (from + lengthBytes > view.byteLength) return -1
  steps.at = from + lengthBytes
  return lengthBytes === 1 ? view.getUint8(from) : lengthBytes === 2 ? view.getUint16(from) : view.getUint32(from)
}
