/** What rooms may be called. Main thread. */
import { roomIdBytesMax } from './limits.js'

const roomName = /^[^\p{C}\p{Z}:][^\p{C}:]{0,63}$/u

/** True if a room of `type` may be called so: its id has a place in the header of its block. */
export const isRoomName = (type: string, name: string): boolean => roomName.test(name) && Buffer.byteLength(`${type}:${name}`) <= roomIdBytesMax
