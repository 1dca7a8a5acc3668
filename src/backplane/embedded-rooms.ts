/** The rooms that a data folder keeps, for operators. Main thread; the folder is held meanwhile, so that no process writes to it. */
import { join } from 'node:path'
import { takeDataFolder } from './data-folder.js'
import { createEmbeddedLog, lastLogged, type EmbeddedLog } from './embedded-log.js'
import { highest, type KeptRoom } from './kept-room.js'
import { epochKey, openStoreFile, snapshotKey, type StoreFile } from './store-file.js'
import { readStored } from './stored-value.js'

/** Throws KasagiError `data-folder` or `data-bad`, one line. */
export async function listFolderRooms(folder: string): Promise<KeptRoom[]> {
  const data = takeDataFolder(folder)
  try {
    const file = openStoreFile(join(data.path, 'rooms')), log = createEmbeddedLog(file)
    const ids = new Set<string>()
    for (const key of file.rooms.getKeys()) {
      const [, id] = /^room:\{(.+)\}:(?:epoch|snapshot)$/s.exec(String(key)) ?? []
      if (id !== undefined) ids.add(id)
    }
    const rooms = [...ids].map((id) => readRoom(file, log, id))
    await file.rooms.close()
    return rooms
  } finally {
    data.release()
  }
}

function readRoom({ rooms }: StoreFile, log: EmbeddedLog, roomId: string): KeptRoom {
  const bytes = rooms.get(snapshotKey(roomId)), stored = bytes === undefined ? undefined : readStored(bytes as unknown as Uint8Array)?.snapshot
  return {
    roomId, instance: undefined, epoch: epochOf(rooms.get(epochKey(roomId))), seq: highest(stored?.seq, lastLogged(log, roomId)?.seq), storedSeq: stored?.seq,
    storedMs: stored?.ts, sessions: undefined, listing: undefined,
  }
}

function epochOf(bytes: Buffer | undefined): number | undefined {
  try {
    const { epoch } = JSON.parse(bytes?.toString() ?? '{}') as { epoch?: unknown }
    return typeof epoch === 'number' ? epoch : undefined
  } catch {
    return undefined
  }
}
