/** `kasagi-engine/client`: for browsers and for Node. */
export { connect } from './connect.js'
export type { ClientRoom, Connection, ConnectOptions, Stats, Status, Where } from './client-room.js'
export type { ClientTable, Off } from './tables.js'
export { KasagiError } from '../base/errors.js'
