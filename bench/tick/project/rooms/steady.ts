/** 10,000 movers that all move, and a look at the heap of the thread that moves them. */
import { constants, PerformanceObserver } from 'node:perf_hooks'
import { getHeapStatistics } from 'node:v8'
import { defineRoom } from 'kasagi-engine'
import { moverCount, placeAt, steady, tickHz } from '../shared/shapes.js'

/** A second: what is told twice a second is in each of them alike. */
const ticksPerSample = tickHz

const heapBytes = (): number => getHeapStatistics().used_heap_size

/** Used heap grows by what is allocated, until a collection: samples that saw one do not count. */
class Probe {
  minors = 0
  majors = 0
  ticks = 0
  before = 0
  costBytes = 0
  collections = 0
  constructor() {
    const { NODE_PERFORMANCE_GC_MINOR: minor } = constants
    new PerformanceObserver((list) => {
      for (const { detail } of list.getEntries()) if ((detail as { kind: number }).kind === minor) this.minors++; else this.majors++
    }).observe({ entryTypes: ['gc'] })
  }

  /** Bytes of a tick since the last sample, or undefined. Looks twice: the second look tells what a look costs. */
  look(): number | undefined {
    if (++this.ticks < ticksPerSample) return undefined
    const used = heapBytes(), bytes = (used - this.before - this.costBytes) / this.ticks, isFirst = this.before === 0, wasCollected = this.collections !== this.minors + this.majors
    this.before = heapBytes()
    this.costBytes = this.before - used
    this.collections = this.minors + this.majors
    this.ticks = 0
    return isFirst || wasCollected || bytes < 0 ? undefined : bytes
  }
}

export default defineRoom(steady, {
  tickHz, durability: 'none', graceMs: 0, derive: () => new Probe(),
  onCreate({ tables: { movers } }) { for (let row = 0; row < moverCount; row++) movers.spawn({ x: placeAt(row, 0), y: placeAt(row, 0), vx: 1, vy: 1, hp: 100 }) },
  onTick({ globals, tables: { movers: { x, y } }, derived }) {
    const turn = ++globals.turn
    for (let row = 0; row < moverCount; row++) x[row] = y[row] = placeAt(row, turn)
    const bytes = derived.look()
    if (bytes === undefined) return
    globals.bytesPerTick = bytes
    globals.samples++
    globals.minors = derived.minors
    globals.majors = derived.majors
  },
})
