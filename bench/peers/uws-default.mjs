/**
 * uWebSockets.js as Colyseus' transport imports it: as a default. The package that brings its binaries to npm has names alone. The transport also asks for its
 * bridge to express at once, and a process does not outlive that it is not there: it gets this file too, and never looks into it.
 */
import { registerHooks } from 'node:module'
import * as uws from 'uWebSockets.js'

export default uws

const given = new Set(['uWebSockets.js', 'uwebsockets-express'])
// For whoever asks from now on.
registerHooks({ resolve: (specifier, context, next) => given.has(specifier) ? { url: import.meta.url, shortCircuit: true } : next(specifier, context) })
