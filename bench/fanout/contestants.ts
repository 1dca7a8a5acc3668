/**
 * Who takes part in the fan-out bench: a server process each, pinned to the servers' core, and a viewer that uses the contestant's own client library. All of
 * them live as long as the bench, and stand still except in their turns.
 */
import type { ServeProcess } from '../../test/support/process.js'
import { startChild, type Child } from '../child.js'
import { startProject } from '../instances.js'
import { echoBytes, type DialectName } from './dialects.js'
import { engineOf, loadOf, throughViewer, type Load } from './engine.js'
import { captureSections, viewFloor } from './floor.js'
import type { TurnAnswer } from './load.js'
import { startPeer } from './peers.js'
import { loadCore, pin, serverCore } from './pinning.js'
import type { RoomType } from './project/shared/place.js'
import type { Seen } from './viewer.js'

export type ContestantKey = 'floor' | 'engine' | 'colyseusF32' | 'colyseus16' | 'colyseusInputs' | 'socketio'

export interface Contestant {
  readonly key: ContestantKey
  readonly subject: string
  readonly dialect: DialectName
  readonly pid: number
  readonly port: number
  /** Goes into a room, and stays there to check. */
  enter(name: string, type: RoomType): Promise<unknown>
  check(): Promise<Seen>
  leave(): Promise<unknown>
}

export interface Stage extends Load {
  readonly contestants: Readonly<Record<ContestantKey, Contestant>>
  /** The floor plays what the engine sends while `move` runs. */
  capture(name: string, type: RoomType, move: () => Promise<TurnAnswer>): Promise<void>
  end(): Promise<unknown>
}

function createFloor(server: Child, port: number, played: () => readonly Uint8Array[]): Contestant {
  let viewer: Awaited<ReturnType<typeof viewFloor>> | undefined
  return {
    key: 'floor', subject: 'bare uWebSockets.js', dialect: 'floor', pid: server.pid, port,
    enter: async (name) => { viewer = await viewFloor(port, name, played()) },
    check: async () => viewer!.check(),
    leave: async () => viewer!.leave(),
  }
}

export async function openStage(): Promise<Stage> {
  pin(process.pid, loadCore)
  const children: Child[] = [], engine = await startProject('bench/fanout/project')
  const end = (): Promise<unknown> => Promise.all([engine.end(), ...children.map((child) => child.end())])
  try {
    return await setStage(engine, async (starting) => { const child = await starting; children.push(child); return child }, end)
  } catch (error) {
    await end()
    throw error
  }
}

async function setStage(engine: ServeProcess, start: (starting: Promise<Child>) => Promise<Child>, end: () => Promise<unknown>): Promise<Stage> {
  const [load, floorServer, f32, quantized, inputs, socketio, engineViewer, colyseusViewer, socketioViewer] = await Promise.all([
    startChild(new URL('load.js', import.meta.url), []), startChild(new URL('floor-server.js', import.meta.url), [String(echoBytes)]),
    startPeer('colyseus-server.mjs', ['f32']), startPeer('colyseus-server.mjs', ['quantized']), startPeer('colyseus-server.mjs', ['inputs']), startPeer('socketio-server.mjs'),
    startChild(new URL('engine-viewer.js', import.meta.url), []), startPeer('colyseus-viewer.mjs'), startPeer('socketio-viewer.mjs'),
  ].map(start))
  for (const pid of [engine.pid(), floorServer.pid, f32.pid, quantized.pid, inputs.pid, socketio.pid]) pin(pid, serverCore)
  let played: readonly Uint8Array[] = []
  const play = (sections: readonly Uint8Array[]): Promise<number> => {
    played = sections
    return floorServer.ask<number>(sections.map((bytes) => Buffer.from(bytes).toString('base64')))
  }
  const peer = async (key: ContestantKey, subject: string, dialect: DialectName, server: Child, viewer: Child, variant: string): Promise<Contestant> => {
    const port = await server.ask<number>('port')
    return { key, subject, dialect, pid: server.pid, port, ...throughViewer({ viewer, key, variant, port }) }
  }
  return {
    ...loadOf(load),
    contestants: {
      floor: createFloor(floorServer, await play([]), () => played),
      engine: engineOf(engine, engineViewer),
      colyseusF32: await peer('colyseusF32', 'Colyseus, f32', 'colyseus', f32, colyseusViewer, 'f32'),
      colyseus16: await peer('colyseus16', 'Colyseus, quantized', 'colyseus', quantized, colyseusViewer, 'quantized'),
      colyseusInputs: await peer('colyseusInputs', 'Colyseus, f32, defineInput', 'colyseus', inputs, colyseusViewer, 'inputs'),
      socketio: await peer('socketio', 'socket.io', 'socketio', socketio, socketioViewer, ''),
    },
    capture: async (name, type, move) => { await play(await captureSections(engine.url, type, name, move)) },
    end,
  }
}
