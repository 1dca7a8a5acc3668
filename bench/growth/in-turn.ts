/** What is measured runs one after the other; a smoke run measures nothing, and runs all at once, so that it takes seconds. */
import { isSmoke } from '../report.js'

export async function inTurn<T>(measures: readonly (() => Promise<T>)[]): Promise<T[]> {
  const results: T[] = []
  if (!isSmoke) {
    for (const measure of measures) results.push(await measure())
    return results
  }
  // All of them come to their end, and end what they have started, before one that failed is told of.
  for (const settled of await Promise.allSettled(measures.map((measure) => measure()))) {
    if (settled.status === 'rejected') throw settled.reason
    results.push(settled.value)
  }
  return results
}
