/** `kasagi-engine`: rooms for authors, and the engine for programs that start it themselves. */
export { defineRoom, type RoomModule } from './room/define.js'
export type { Definition, OldRoom, Room, Row, Session, Table, Tables } from './room/types.js'
export { KasagiError } from './base/errors.js'
export { startEngine, type Engine, type EngineOptions } from './engine.js'
export { parseConfig, type Config } from './config.js'
export { createLogger, type Logger } from './server/logging.js'
export { loadProjects, serveProjects, type Project } from './server/projects.js'
