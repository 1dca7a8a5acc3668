/**
 * What the engine is to reach: the one list, in the order in which it is told. Each is held against the 95% interval of a median over paired windows
 * (paired.ts); none is measured by anything that stands here.
 */
export interface Goal { readonly what: string; readonly unit: string; readonly limit: number; readonly is: 'at most' | 'at least' }

const atLeast = (what: string, limit: number, unit: string): Goal => ({ what, unit, limit, is: 'at least' })
const atMost = (what: string, limit: number, unit: string): Goal => ({ what, unit, limit, is: 'at most' })

export const goals = {
  'delta/10000-100%': atLeast('a step of 10,000 entities, x and y of all change, @colyseus/schema\'s to ours', 40, 'x'),
  'delta/10000-10%': atLeast('the same with 10% of the rows', 10, 'x'),
  'delta/10000-1%-touch': atLeast('the same with 1%, touch tracking', 4, 'x'),
  'delta/100000-1%-touch': atLeast('1% of 100,000 entities, touch tracking', 4, 'x'),
  'delta/copying': atMost('compare, gather, commit to reading both states once and copying what changed twice', 2.5, 'x'),
  'fanout/1000-clients': atMost('one room, 1,000 clients: CPU per delivery above the floor, to Colyseus\'', 0.4, 'x'),
  'fanout/100-rooms': atMost('100 rooms of 10 clients: the same', 0.15, 'x'),
  'fanout/200-clients': atMost('one room, 200 clients: CPU per delivery, to the floor\'s', 1.35, 'x'),
  'fanout/user-one-room': atMost('user time per delivery, one room of 1,000 clients, to Colyseus\'', 0.65, 'x'),
  'fanout/user-100-rooms': atMost('user time per delivery, 100 rooms of 10, to Colyseus\'', 0.3, 'x'),
  'fanout/bytes-f32': atMost('bytes per delivery, to Colyseus\' with f32', 0.35, 'x'),
  'fanout/bytes-quantized': atMost('bytes per delivery, to Colyseus\' with quantized fields', 0.5, 'x'),
  'fanout/inputs-200-clients': atMost('CPU per applied and acknowledged input, 200 clients, to a bare uWebSockets.js echo\'s', 1.5, 'x'),
  'fanout/inputs-1000-clients': atMost('the same with 1,000 clients', 1.5, 'x'),
  'fanout/inputs-100-rooms': atMost('the same with 100 rooms of 10', 1.5, 'x'),
  'tick/latency': atMost('input to effect, event-driven room, beyond an echo and a thread round trip', 60, 'us'),
  'tick/start-error': atMost('start error of ticks at 70% load, 99th percentile', 1, 'ms'),
  'tick/major-collections': atMost('major collections in a minute of a worker with 10,000 moving entities', 0, ''),
  'tick/garbage': atMost('garbage of the same per tick', 2, 'KB'),
  'tick/join-storm': atMost('how late the latest tick is while 500 clients join within a second', 50, 'ms'),
  'cluster/latency': atMost('input at one edge to its effect at another, beyond plain ioredis and four thread hops', 150, 'us'),
  'cluster/16-bit-loop': atMost('an edge\'s worker per record, to the owner\'s flush: 16 bits, in a loop', 0.6, 'x'),
  'cluster/16-bit-20-hz': atMost('the same 20 times a second', 0.6, 'x'),
  'cluster/f32-loop': atMost('the same with f32, in a loop', 0.6, 'x'),
  'cluster/f32-20-hz': atMost('the same with f32, 20 times a second', 0.6, 'x'),
  'cluster/delivery': atMost('an edge\'s main thread per delivery, to a local room\'s, 200 clients', 1.1, 'x'),
} as const satisfies Record<string, Goal>

export type GoalId = keyof typeof goals
