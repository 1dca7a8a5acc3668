/**
 * Calls about one room take effect in the order in which they were made, though nobody waits. Main thread. A call *alone* starts when all earlier ones
 * have ended; calls *beside* each other (records going to the log) only wait for the last one that was alone.
 */
export interface RoomOrder { readonly byRoom: Map<string, { alone: Promise<unknown>; all: Promise<unknown> }> }

export const createRoomOrder = (): RoomOrder => ({ byRoom: new Map() })

export function runAlone<T>(order: RoomOrder, roomId: string, call: () => Promise<T>): Promise<T> {
  const result = (order.byRoom.get(roomId)?.all ?? Promise.resolve()).then(call)
  const end = settled(result)
  enter(order, roomId, end, end)
  return result
}

export function runBeside<T>(order: RoomOrder, roomId: string, call: () => Promise<T>): Promise<T> {
  const before = order.byRoom.get(roomId), start = before?.alone ?? Promise.resolve()
  const result = start.then(call)
  enter(order, roomId, start, Promise.all([before?.all, settled(result)]))
  return result
}

/** Resolves when every call so far has ended. */
export const ended = async ({ byRoom }: RoomOrder): Promise<void> => { await Promise.all([...byRoom.values()].map(({ all }) => all)) }

const settled = (call: Promise<unknown>): Promise<void> => call.then(() => {}, () => {})

function enter({ byRoom }: RoomOrder, roomId: string, alone: Promise<unknown>, all: Promise<unknown>): void {
  const entry = { alone, all }
  byRoom.set(roomId, entry)
  void all.then(() => { if (byRoom.get(roomId) === entry) byRoom.delete(roomId) })
}
