/**
 * Channels that this instance hears, over a connection of their own. Main thread. A channel is heard from the moment that Redis has said so until the
 * connection is lost; each beginning is told as a gap, since nobody knows what was published before. What arrives outside of that is dropped.
 */
import { channelsPerSubscribe, storedBytesMax } from '../base/limits.js'
import type { Follower } from './backplane.js'
import type { RedisConnection } from './redis-connection.js'

interface Channel { readonly followers: Set<Follower>; isHeard: boolean }

export interface Channels {
  readonly byName: Map<string, Channel>
  /** Set once it is open. */
  connection: RedisConnection | undefined
}

export const createChannels = (): Channels => ({ byName: new Map(), connection: undefined })

/** The first gap comes when it is heard. */
export function followChannel(channels: Channels, name: string, follower: Follower): () => void {
  const known = channels.byName.get(name), channel = known ?? { followers: new Set(), isHeard: false }
  channel.followers.add(follower)
  channels.byName.set(name, channel)
  if (known === undefined) void subscribe(channels, [name])
  else if (channel.isHeard) queueMicrotask(() => { if (channel.isHeard && channel.followers.has(follower)) follower.gap() })
  return () => {
    channel.followers.delete(follower)
    if (channel.followers.size > 0 || channels.byName.get(name) !== channel) return
    channels.byName.delete(name)
    channels.connection?.unsubscribe(name)
  }
}

/** The connection is there (again). Resolves when all channels are heard, or it is lost. */
export async function hearChannels(channels: Channels): Promise<void> {
  const names = [...channels.byName.keys()], subscribing: Promise<void>[] = []
  for (let at = 0; at < names.length; at += channelsPerSubscribe) subscribing.push(subscribe(channels, names.slice(at, at + channelsPerSubscribe)))
  await Promise.all(subscribing)
}

export function loseChannels({ byName }: Channels): void {
  for (const channel of byName.values()) channel.isHeard = false
}

export function takeMessage({ byName }: Channels, name: string, bytes: Uint8Array): void {
  const channel = byName.get(name)
  if (channel === undefined || !channel.isHeard) return
  for (const follower of channel.followers) {
    if (bytes.length <= storedBytesMax) follower.message(bytes)
    else follower.gap()
  }
}

async function subscribe({ byName, connection }: Channels, names: readonly string[]): Promise<void> {
  if (connection === undefined || !connection.isReady) return
  const asked = names.map((name) => byName.get(name))
  // Lost with its connection: the next one subscribes anew.
  if (!await connection.subscribe(names).then(() => true, () => false) || !connection.isReady) return
  for (const channel of asked) {
    if (channel === undefined || channel.isHeard) continue
    channel.isHeard = true
    for (const follower of channel.followers) follower.gap()
  }
}
