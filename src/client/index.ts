/** `kasagi-engine/client`: for browsers and for Node. */
export { connect, type ClientRoom, type Connection, type ConnectOptions, type Stats, type Status, type Where } from './connect.js'
export type { ClientTable, Off } from './tables.js'
export { KasagiError } from '../base/errors.js'
