/** What a room author sees: the types behind `room`, `session` and `defineRoom`. Types only; workers implement them. */
import type { Fields, Ref, Schema, TableDef, Values } from '../schema/fields.js'

/**
 * A table: its columns under the fields' names, and the members below. Numbers are typed arrays that never move while the room is open
 * (and wrap as JavaScript does); all else goes through `get` and `set`. Lists and json are replaced as a whole: what is read is frozen.
 */
export type Table<F extends Fields, N extends string = string> = { readonly [K in keyof F]: F[K]['$']['column'] } & {
  /** Living rows. */
  readonly size: number
  /** As declared: so many rows can live at once. */
  readonly capacity: number
  /** Rows are 0 … end - 1, with holes. */
  readonly end: number
  /** A new row; fields that `values` does not name take their defaults. Throws KasagiError `table-full`, `id-taken` or `bad-value`. */
  spawn(values?: Partial<Values<F>>, as?: { id?: string; owner?: Session }): number
  /** Ends a row at once; legal while iterating. Its number is not given out again before that was flushed. */
  despawn(row: number): void
  has(row: number): boolean
  /** Says that a column of numbers was written in this row, where the table has `track: 'touch'`; elsewhere nothing. Throws RangeError if no such row lives. */
  touch(row: number): void
  /** The row's view; throws RangeError if no such row lives. One cached object a row; it throws after despawn. */
  at(row: number): Row<F>
  get(id: string): Row<F> | undefined
  rowOf(id: string): number | undefined
  /** Row and generation, for a `ref` field. */
  ref(row: number): Ref<N>
  /** The row of a ref, undefined once it is despawned. */
  row(ref: Ref<N> | null): number | undefined
  /** Rows that lived when the loop began and still live when they are reached, in row order. */
  rows(): Iterable<number>
  /** Rows within `radius` of a point; needs a grid. A row that moved more than a quarter of a cell in this turn may be missed. */
  near(x: number, y: number, radius: number): Iterable<number>
}

export type Row<F extends Fields> = Values<F> & { readonly row: number; readonly id: string | undefined }

export type Tables<S extends Schema> = {
  readonly [K in keyof S['tables'] & string]: S['tables'][K] extends TableDef<infer F> ? Table<F, K> : never
}

/** A stay in a room. */
export interface Session {
  readonly id: string
  /** Who it is, as far as the server knows. */
  readonly user: { readonly id: string } & Record<string, unknown>
  readonly connected: boolean
  /** Its row of the schema's `player` table; undefined once that is despawned. */
  row: number | undefined
  end(reason?: string): void
}

type Target = 'everyone' | Session | Iterable<Session> | { readonly near: readonly [x: number, y: number] }

export interface Room<S extends Schema, T = {}, K = {}, D = unknown> {
  readonly id: string
  readonly options: Readonly<Values<S['options']>>
  readonly tables: Tables<S>
  readonly globals: Values<S['globals']>
  /** What joins without a name, and lists of rooms, are matched against; what is written shows with the next flush. */
  readonly listing: Values<S['listing']>
  readonly sessions: ReadonlyMap<string, Session>
  /** What `derive` returned. */
  readonly derived: D
  /** Room time: 1000 / tickHz a tick, or the time since the last turn; stands still while nobody runs the room. */
  readonly time: { readonly tick: number; readonly ms: number }
  /** The only randomness: its state is the room's, and survives with it. What was drawn does not tell what will be. */
  readonly random: { float(): number; int(below: number): number }
  readonly log: Record<'info' | 'warn' | 'error', (what: object | string) => void>
  /** Sends an event with the next flush, in order with the state. Best effort within `eventsPerFlushMax`. */
  emit<E extends keyof S['events'] & string>(event: E, data: Values<NonNullable<S['events']>[E]>, to?: Target): void
  /** Arms a named timer; the same timer and key arms anew. */
  after<N extends keyof T & string>(ms: number, timer: N, arg?: Partial<Values<T[N]>>, key?: string | number): void
  cancel(timer: keyof T & string, key?: string | number): void
  /** In `onInput`: answers this input with a refusal. What the handler wrote stays. */
  reject(code: string, text?: string): never
  /** No more joins, until unlocked. */
  lock(locked?: boolean): void
  close(reason?: string): void
  /** Not supported by this version. */
  start<N extends keyof K & string>(task: N, arg: K[N] extends (arg: infer A, ...rest: never[]) => unknown ? A : never): void
}

/** What is stored of a room whose field tables have changed since. */
export interface OldRoom {
  /** Of the module that ran it last. */
  readonly version: number
  readonly globals: Readonly<Record<string, unknown>>
  /** Living rows of a table in row order, each with `row`, its `id` where the table has ids, and its fields as they were; none if there was no such table. */
  rows(table: string): Iterable<Record<string, unknown>>
}

export type Durability = 'none' | 'snapshot' | 'ops' | 'ops-sync'

export interface Definition<S extends Schema, T extends Record<string, Fields>, D, R = Room<S, T, {}, D>> {
  /** Steps of the simulation per second, 0 to 240; 0: inputs are applied and flushed at once. Default 20. */
  tickHz?: number
  /** Emissions per second; by default as many as ticks. */
  flushHz?: number
  /** Default 256. */
  maxSessions?: number
  /** How long a session whose connection was lost may come back, in ms of room time; 0: not at all. Default 30,000. */
  graceMs?: number
  /** How long an empty room is kept, in ms. Default 60,000. */
  keepMs?: number
  /** How often a room that changed is stored, in ms of the process; by default 5,000. */
  snapshotEveryMs?: number
  /** The same in ticks, for who counts in them. */
  snapshotEveryTicks?: number
  /**
   * What a crash of the whole process may cost. `none`: the room. `snapshot` (default): what came since the last snapshot, unless another instance
   * followed the room. `ops`: what its log did not have yet; every record goes there. `ops-sync`: nothing that anybody has seen; records are told only
   * when the log has them, and while it does not answer the room stands still.
   */
  durability?: Durability
  /**
   * What the room does while its instance cannot reach the others. `continue` (default): it plays on for those who are connected to that instance, and what
   * happened is undone if another instance has taken the room meanwhile. `freeze`: it applies nothing.
   */
  whenDetached?: 'continue' | 'freeze'
  /** Who may open such a room: whoever joins it (default), or `--open` alone. */
  opens?: 'anyone' | 'server'
  eventsPerFlushMax?: number
  /** Grows with the module; whoever runs a lower one than a room has known does not open it. Default 1. */
  version?: number
  timers?: T
  /** Rebuilds what is computed from tables; runs after create and after each recovery. */
  derive?(room: Room<S, T>): D
  /**
   * Runs once where a room is opened that was stored with other field tables, before `derive`: all that fits is in its place, the rest is at its default, and
   * `old` has everything. Without it, a room whose stored values do not fit does not open.
   */
  migrate?(room: Room<S, T>, old: OldRoom): void
  onCreate?(room: R): void
  onClose?(room: R): void
  onTick?(room: R, dtMs: number): void
  onJoin?(room: R, session: Session, join: Values<S['join']>): void
  /** The session's connection was lost; it keeps its rows and may come back within `graceMs`. */
  onDrop?(room: R, session: Session): void
  /** It is back. */
  onResume?(room: R, session: Session): void
  /** `dropped`: it did not come back in time. */
  onLeave?(room: R, session: Session, why: 'left' | 'dropped' | 'ended'): void
  onInput?: { [N in keyof S['inputs']]?: (room: R, session: Session, input: Readonly<Values<NonNullable<S['inputs']>[N]>>) => void }
  onTimer?: { [N in keyof T]?: (room: R, arg: Values<T[N]>) => void }
}
