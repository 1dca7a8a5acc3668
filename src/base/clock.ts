/** The only source of time. Any thread; browsers too. */

/** Monotonic milliseconds, with fractions. The zero point is the thread's own. */
export const monotonicMs = (): number => performance.now()

/** Milliseconds since 1970, for epochs and logs. May jump. */
export const wallMs = (): number => Date.now()
