/** The only door to prom-client: every metric by name. Main thread. Hot paths count in plain numbers; gauges are set when somebody asks. */
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client'

export function createMetrics() {
  const registry = new Registry()
  const registers = [registry]
  const counter = <T extends string>(name: string, help: string, ...labelNames: T[]): Counter<T> => new Counter({ name: `kasagi_${name}`, help, labelNames, registers })
  const gauge = <T extends string>(name: string, help: string, ...labelNames: T[]): Gauge<T> => new Gauge({ name: `kasagi_${name}`, help, labelNames, registers })
  collectDefaultMetrics({ register: registry })
  return {
    connections: gauge('connections', 'Open WebSockets'),
    rooms: gauge('rooms', 'Rooms that are opening or open'),
    framesIn: counter('messages_in_total', 'Messages from clients'),
    framesBad: counter('messages_refused_total', 'Messages from clients that were refused, by code', 'code'),
    originRefused: counter('origins_refused_total', 'Connections refused because of their Origin'),
    inputs: counter('inputs_total', 'Inputs by what became of them', 'result'),
    records: counter('records_total', 'Records that workers published'),
    bytesOut: gauge('bytes_out_total', 'Bytes handed to sockets'),
    deliveries: gauge('deliveries_total', 'Frames handed to sockets'),
    resyncs: counter('resyncs_total', 'Clients caught up, by missing sections or by snapshot', 'kind'),
    flushSkipped: counter('flushes_skipped_total', 'Flushes put off because nothing could take their record', 'type'),
    quantizedClamped: counter('quantized_clamped_total', 'Values outside their quantized field', 'type'),
    stores: counter('stores_total', 'Snapshots of rooms that were stored'),
    storedBytes: counter('stored_bytes_total', 'Their bytes'),
    storeFailures: counter('store_failures_total', 'Snapshots that could not be stored'),
    inputsLost: counter('inputs_lost_total', 'Acknowledged inputs that a room restored from its snapshot does not have', 'type'),
    ticksMissed: counter('ticks_missed_total', 'Ticks skipped because their turn came too late', 'type'),
    handlerErrors: counter('handler_errors_total', 'Author code that threw', 'type', 'handler'),
    workerDeaths: counter('worker_deaths_total', 'Worker threads that ended', 'reason'),
    arenaFree: gauge('arena_free_bytes', 'Address space left in a worker\'s arena', 'worker'),
    arenaLargestFree: gauge('arena_largest_free_bytes', 'The largest stretch of it', 'worker'),
    text: (): Promise<string> => registry.metrics(),
  }
}

export type Metrics = ReturnType<typeof createMetrics>
