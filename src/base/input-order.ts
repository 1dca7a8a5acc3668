/** Whether a session's next input may be applied. Pure; any thread. */

/**
 * `accepted`: the session's last number that was taken. An input is taken if it and its `from` account for every number behind that: the numbers from
 * `from` up to its own were refused, and will never come. Behind a hole, accepted + 1 is wanted. "Anything above the last" would swallow what was lost in
 * between.
 */
export function accepts(accepted: number, from: number, number: number): 'take' | 'repeat' | 'hole' {
  if (number <= accepted) return 'repeat'
  return from <= accepted + 1 ? 'take' : 'hole'
}
