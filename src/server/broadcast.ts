/** Sends one section to one client after another: the same view of shared memory, copied by the kernel alone. Main thread. */
import type { Client } from './client.js'

/** Counted without labels in the hot path; metrics read it. */
export interface Traffic { bytes: number; deliveries: number }

export const createTraffic = (): Traffic => ({ bytes: 0, deliveries: 0 })

/** A frame that is one section. Allocates nothing. */
export function broadcastSection(traffic: Traffic, client: Client, section: Uint8Array): void {
  client.socket.send(section)
  traffic.bytes += section.length
  traffic.deliveries++
}
