/** What workers say of their room modules when they start: all must be told before anybody may join. Main thread. */
import { KasagiError } from '../base/errors.js'
import type { CatalogEntry } from '../memory/crossing.js'

export class Catalogs {
  /** Rejects with KasagiError `bad-room-module`, one line. */
  readonly complete: Promise<void>
  done = false
  private readonly told = new Set<number>()
  private resolve!: () => void
  private reject!: (error: Error) => void

  constructor(private readonly types: Map<string, CatalogEntry>, private readonly workers: number) {
    this.complete = new Promise((resolve, reject) => { this.resolve = resolve; this.reject = reject })
  }

  take(worker: number, types: readonly CatalogEntry[]): void {
    for (const type of types) if (!this.types.has(type.name)) this.types.set(type.name, type)
    this.told.add(worker)
    this.done ||= this.told.size === this.workers
    if (this.done) this.resolve()
  }

  broken(text: string): void { this.reject(new KasagiError('bad-room-module', text)) }
}
