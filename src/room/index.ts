/** What `kasagi-engine` is inside a worker: the room author's half of the public API. */
export { defineRoom, type RoomModule } from './define.js'
export type { Definition, OldRoom, Room, Row, Session, Table, Tables } from './types.js'
export { KasagiError } from '../base/errors.js'
