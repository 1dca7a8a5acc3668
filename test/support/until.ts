/** Waiting for facts. */

/** Waits until `holds`, looking every few milliseconds; fails with `what` after `withinMs`. */
export async function until(holds: () => boolean | Promise<boolean>, what: string | (() => string), withinMs = 10_000): Promise<void> {
  const end = performance.now() + withinMs
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${typeof what === 'string' ? what : what()}`)
    await new Promise((resolve) => { setTimeout(resolve, 5) })
  }
}
