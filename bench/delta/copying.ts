/**
 * What a flush of the delta bench's room cannot go below: reading live and committed state once, and copying the changed columns twice (into the record, and to
 * committed). A kernel of the bench's own, compiled when it starts, reads 64 bytes a step; copies are `memory.copy`.
 */
import asc from 'assemblyscript/asc'
import type { MovingRoom } from '../moving-room.js'

const source = `
export function readOnce(from: usize, bytes: usize): i32 {
  let a = i32x4.splat(0), b = a, c = a, d = a
  const end = from + bytes
  while (from < end) {
    a = v128.xor(a, v128.load(from)); b = v128.xor(b, v128.load(from, 16)); c = v128.xor(c, v128.load(from, 32)); d = v128.xor(d, v128.load(from, 48))
    from += 64
  }
  return i32x4.extract_lane(v128.xor(v128.xor(a, b), v128.xor(c, d)), 0)
}
export function copy(to: usize, from: usize, bytes: usize): void { memory.copy(to, from, bytes) }
`

interface Kernels { readOnce(from: number, bytes: number): number; copy(to: number, from: number, bytes: number): void }

async function compile(memory: WebAssembly.Memory): Promise<Kernels> {
  const binary: Uint8Array[] = []
  const { error } = await asc.main(
    ['source.ts', '-o', 'source.wasm', '--runtime', 'stub', '--importMemory', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536', '--noExportMemory', '-O3', '--enable', 'simd', '--enable', 'threads', '--enable', 'bulk-memory'],
    { readFile: (name) => name === 'source.ts' ? source : null, writeFile: (_, contents) => { binary.push(contents as unknown as Uint8Array) }, listFiles: () => [] },
  )
  if (error !== null) throw error
  const { instance } = await WebAssembly.instantiate(binary[0] as BufferSource, { env: { memory } })
  return instance.exports as unknown as Kernels
}

/** One pass over a room whose columns `changed` all change; gives the memory's bytes that were read, so that nothing can be left out unseen. */
export async function createCopying({ arena, actor }: MovingRoom, changed: readonly string[]): Promise<() => number> {
  const kernels = await compile(arena.memory), movers = actor.room.layout.tables[1], { rows } = movers
  // Behind everything that the room uses.
  const to = arena.u8.length - 2 ** 20
  const live = movers.columns.map(({ live: at, field }) => [at, rows * field.liveBytes] as const), committed = movers.columns.map(({ committed: at, field }) => [at, rows * field.bytes] as const)
  const copied = movers.columns.filter(({ field }) => changed.includes(field.name)).map(({ committed: at, field }) => [at, rows * field.bytes] as const)
  return () => {
    let read = 0
    for (const [at, bytes] of live) { kernels.readOnce(at, bytes); read += bytes }
    for (const [at, bytes] of committed) { kernels.readOnce(at, bytes); read += bytes }
    for (const [at, bytes] of copied) { kernels.copy(to, at, bytes); kernels.copy(at, to, bytes) }
    return read
  }
}
