/** Programmer errors. Any thread. A failed assertion is a bug of the engine: it throws, and the thread's supervisor takes it from there. */

export class AssertionError extends Error {
  override name = 'AssertionError'
}

/** Throws {@link AssertionError} unless `condition` holds. Stays on in production. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message)
}
