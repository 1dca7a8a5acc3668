/**
 * Who gets in, and who may stay: connections per address and instance, a Join in time, and identities that are still good. Main thread.
 * Invariant: `clients` holds every open connection, and `perAddress` their number by address.
 */
import { monotonicMs } from '../base/clock.js'
import type { ErrorCode } from '../base/errors.js'
import { joinWaitMsMax } from '../base/limits.js'
import type { Auth } from './auth.js'
import type { Client } from './client.js'

export interface AdmissionLimits { readonly connections: number; readonly connectionsPerAddress: number }

export interface Admission {
  readonly clients: Set<Client>
  readonly perAddress: Map<string, number>
  readonly limits: AdmissionLimits
  readonly auth: Auth | undefined
}

export const createAdmission = (limits: AdmissionLimits, auth: Auth | undefined): Admission => ({ clients: new Set(), perAddress: new Map(), limits, auth })

/** Counts a new connection; gives why it cannot stay, if it cannot. */
export function enter({ clients, perAddress, limits }: Admission, client: Client): ErrorCode | undefined {
  const { address } = client.socket
  const count = (perAddress.get(address) ?? 0) + 1
  perAddress.set(address, count)
  clients.add(client)
  const isOver = (limit: number, value: number): boolean => limit !== 0 && value > limit
  return isOver(limits.connections, clients.size) || isOver(limits.connectionsPerAddress, count) ? 'too-many-connections' : undefined
}

export function exit({ clients, perAddress }: Admission, client: Client): void {
  const { address } = client.socket
  if (!clients.delete(client)) return
  const count = perAddress.get(address)! - 1
  if (count === 0) perAddress.delete(address)
  else perAddress.set(address, count)
}

/** To be called every second: names the clients that may not stay. */
export function* overdue({ clients, auth }: Admission): Generator<readonly [Client, ErrorCode]> {
  auth?.refresh()
  const now = monotonicMs()
  for (const client of clients) {
    if (client.state === 'gone') continue
    const lost = client.identity === undefined ? undefined : auth?.lost(client.identity)
    if (lost !== undefined) yield [client, lost]
    else if (client.state === 'new' && now - client.openedMs > joinWaitMsMax) yield [client, 'join-late']
  }
}
