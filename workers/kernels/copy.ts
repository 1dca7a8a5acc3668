// Bulk memory: inside the arena a copy by the engine beats TypedArray.set into shared memory several times.

export function copy(target: usize, source: usize, bytes: usize): void { memory.copy(target, source, bytes) }
export function zero(target: usize, bytes: usize): void { memory.fill(target, 0, bytes) }
