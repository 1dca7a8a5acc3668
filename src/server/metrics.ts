/** The only door to prom-client: every metric by name. Main thread. Hot paths count in plain numbers; gauges.ts sets what is read when somebody asks. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry, type Metric } from 'prom-client'
import { lateSecondsBounds, turnSecondsBounds, type Buckets, type WorkerTally } from '../memory/crossing.js'

/** Why a thread ended. `error`: something threw outside every handler. */
export const deathKinds = ['exit', 'error', 'heap', 'stalled'] as const

type Labels = Readonly<Record<string, string | number>>

export function createMetrics() {
  const registry = new Registry()
  const registers = [registry]
  const counter = <T extends string>(name: string, help: string, ...labelNames: T[]): Counter<T> => new Counter({ name: `kasagi_${name}`, help, labelNames, registers })
  const gauge = <T extends string>(name: string, help: string, ...labelNames: T[]): Gauge<T> => new Gauge({ name: `kasagi_${name}`, help, labelNames, registers })
  const told = (name: string, help: string, bounds: readonly number[]): ToldHistogram => {
    const histogram = createToldHistogram(`kasagi_${name}`, help, bounds)
    registry.registerMetric(histogram.metric)
    return histogram
  }
  collectDefaultMetrics({ register: registry })
  const metrics = {
    buildInfo: gauge('build_info', 'Always 1; its labels say what runs', 'version', 'node', 'sockets'),
    // Connections and what they bring
    connections: gauge('connections', 'Open WebSockets'),
    connectionsEnded: counter('connections_ended_total', 'WebSockets that ended, by code; lost: by themselves; author: by a code of the room\'s author', 'code'),
    clients: gauge('clients', 'Open WebSockets by state; behind: too slow, or waiting for a resync', 'state'),
    clientsSlow: counter('clients_slow_total', 'Times that a client fell behind its backlog'),
    joins: counter('joins_total', 'Joins by result', 'result'),
    resumes: counter('resumes_total', 'Clients that came back to their session, by result', 'result'),
    framesIn: counter('messages_in_total', 'Messages from clients'),
    messagesRefused: counter('messages_refused_total', 'Messages from clients that were refused, by code', 'code'),
    originRefused: counter('origins_refused_total', 'Connections refused because of their Origin'),
    inputs: counter('inputs_total', 'Inputs by what the main thread did with them', 'result'),
    inputsLost: counter('inputs_lost_total', 'Acknowledged inputs that a room restored from its snapshot does not have', 'type'),
    // What goes out
    records: counter('records_total', 'Records that workers published'),
    deliveries: counter('deliveries_total', 'Frames handed to sockets'),
    bytesOut: counter('bytes_out_total', 'Bytes handed to sockets'),
    snapshots: counter('snapshots_total', 'Snapshots, or missed sections, that workers wrote for clients', 'kind'),
    snapshotBytes: counter('snapshot_bytes_total', 'Bytes of snapshots and missed sections', 'kind'),
    resyncs: counter('resyncs_total', 'Clients caught up, by missing sections or by snapshot', 'kind'),
    mismatches: counter('mismatches_total', 'Resyncs that clients asked for because their state differed from the room\'s, or a section made no sense'),
    eventsMissed: counter('events_missed_total', 'Events beyond what one flush carries', 'type'),
    flushSkipped: counter('flushes_skipped_total', 'Flushes put off because nothing could take their record', 'type'),
    quantizedClamped: counter('quantized_clamped_total', 'Values outside their quantized field', 'type', 'table'),
    unmarked: counter('unmarked_rows_total', 'Rows that were written without touch, in development', 'type', 'table'),
    // Rooms
    rooms: gauge('rooms', 'Rooms that are opening or open', 'type'),
    roomBytes: gauge('room_bytes', 'What a room of this type takes of an arena', 'type'),
    roomsOpened: counter('rooms_opened_total', 'Rooms that opened: new, restored from their store, or followed', 'type', 'how'),
    roomsClosed: counter('rooms_closed_total', 'Rooms that closed, or did not open', 'type', 'why'),
    sessions: gauge('sessions', 'Sessions, those included whose client may still come back', 'type', 'worker'),
    handlerErrors: counter('handler_errors_total', 'Author code that threw', 'type', 'handler'),
    poisoned: counter('poisoned_total', 'What is not run any more because it ended its thread: an entry, a tick\'s inputs, a room', 'type', 'what'),
    turnSeconds: told('turn_seconds', 'What a room\'s turn took: inputs, tick and flush', turnSecondsBounds),
    ticksMissed: counter('ticks_missed_total', 'Ticks skipped because their turn came too late', 'type'),
    journalFill: gauge('journal_fill_ratio', 'The fullest journal among the rooms of a type', 'type'),
    // Other instances
    redisReachable: gauge('redis_reachable', '1: instances hear each other; without Redis always 1'),
    roomsRun: gauge('rooms_run', 'Rooms by what this instance does with them: runs, follows, or looks for who runs them', 'role'),
    takeovers: counter('takeovers_total', 'Rooms that another instance had run and that are run here since', 'type'),
    roomsDetached: counter('detached_total', 'Times that a room was cut off from its owner, or its owner from Redis', 'type'),
    replicasBroken: counter('replicas_broken_total', 'Times that a followed room was fetched anew, because a record did not continue it, could not be read, or its state hash differed', 'type', 'reason'),
    discarded: counter('records_discarded_total', 'Records that were made or seen here and are undone, because the room went on elsewhere', 'type'),
    storesStale: counter('stores_stale_total', 'Snapshots that were not stored because another instance has the room'),
    peersRefused: counter('peer_messages_refused_total', 'What came through Redis and was no message of an instance'),
    // Workers
    workers: gauge('workers', 'Workers: running, or given up because they died too often', 'state'),
    workerDeaths: counter('worker_deaths_total', 'Worker threads that ended', 'reason'),
    workerBusy: counter('worker_busy_seconds_total', 'Time that a worker\'s loop did not sleep', 'worker'),
    workerHeap: gauge('worker_heap_bytes', 'JavaScript heap in use; a thread ends at 512 MB', 'worker'),
    turnLate: told('turn_late_seconds', 'How late the turns of a worker\'s rooms began', lateSecondsBounds),
    ringUsed: gauge('ring_used_bytes', 'Bytes in a worker\'s rings that wait to be read', 'worker', 'ring'),
    ringFull: counter('ring_full_total', 'Messages that found a worker\'s input ring full', 'worker'),
    arenaBytes: gauge('arena_bytes', 'Address space of a worker\'s arena', 'worker'),
    arenaFree: gauge('arena_free_bytes', 'Address space of an arena that no room has', 'worker'),
    arenaLargestFree: gauge('arena_largest_free_bytes', 'The largest stretch of it: a room needs one', 'worker'),
    // The store
    stores: counter('stores_total', 'Snapshots of rooms that were stored'),
    storedBytes: counter('stored_bytes_total', 'Bytes of snapshots that were stored'),
    storeSeconds: new Histogram({
      name: 'kasagi_store_seconds', help: 'From handing a snapshot to the store until it was on the disk', registers,
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    }),
    storeFailures: counter('store_failures_total', 'Snapshots that could not be stored'),
    linesLeftOut: counter('log_lines_left_out_total', 'Log lines that were not written because their like had just been'),
  }
  for (const reason of deathKinds) metrics.workerDeaths.inc({ reason }, 0)
  return { ...metrics, text: (): Promise<string> => registry.metrics() }
}

export type Metrics = ReturnType<typeof createMetrics>

/** What a worker has counted since it last told. */
export function takeTally(metrics: Metrics, worker: number, { counts, types, late, busySeconds, heapBytes }: WorkerTally): void {
  for (const { metric, labels, by } of counts) (metrics[metric] as Counter).inc(labels, by)
  for (const { type, turns, sessions } of types) {
    metrics.turnSeconds.add({ type }, turns)
    metrics.sessions.set({ type, worker }, sessions)
  }
  metrics.turnLate.add({ worker }, late)
  metrics.workerBusy.inc({ worker }, busySeconds)
  metrics.workerHeap.set({ worker }, heapBytes)
}

/** A histogram that is counted elsewhere, in plain numbers. */
export interface ToldHistogram { readonly metric: Metric; add(labels: Labels, told: Buckets): void }

/** `bounds`: of all buckets but the last, which has what lies above. */
function createToldHistogram(name: string, help: string, bounds: readonly number[]): ToldHistogram {
  const series = new Map<string, { readonly labels: Labels; readonly counts: number[]; sum: number }>()
  const values = (): object[] => [...series.values()].flatMap(({ labels, counts, sum }) => {
    let below = 0
    const buckets = counts.map((count, index) => ({ metricName: `${name}_bucket`, labels: { le: bounds[index] ?? '+Inf', ...labels }, value: below += count }))
    return [...buckets, { metricName: `${name}_sum`, labels, value: sum }, { metricName: `${name}_count`, labels, value: below }]
  })
  return {
    // The library's registry asks no more of a metric than its name and `get`.
    metric: { name, get: () => Promise.resolve({ name, help, type: 'histogram', values: values(), aggregator: 'sum' }) } as unknown as Metric,
    add: (labels, { counts, sum }) => {
      const key = JSON.stringify(labels)
      let entry = series.get(key)
      if (entry === undefined) series.set(key, entry = { labels, counts: new Array<number>(bounds.length + 1).fill(0), sum: 0 })
      for (const [index, count] of counts.entries()) entry.counts[index] += count
      entry.sum += sum
    },
  }
}
