/**
 * Who takes part in the fan-out bench: a server process each, pinned to the servers' core, and a viewer that uses the contestant's own client library. All of
 * them live as long as the bench, and stand still except in their turns.
 */
import type { ServeProcess } from '../../test/support/process.js'
import { startChild, type Child } from '../child.js'
import { startProject } from '../instances.js'
import { echoBytes, type DialectName } from './dialects.js'
import { captureSections, viewFloor } from './floor.js'
import type { Joined, Question, TurnAnswer } from './load.js'
import { startPeer } from './peers.js'
import { loadCore, pin, serverCore } from './pinning.js'
import { moversOf, type RoomType } from './project/shared/place.js'
import type { EnterQuestion, Seen, ViewerQuestion } from './viewer.js'

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

export interface Stage {
  readonly contestants: Readonly<Record<ContestantKey, Contestant>>
  readonly loadPid: number
  /** What is wrong with the answer ends the bench. */
  ask<Answer extends Joined>(question: Question): Promise<Answer>
  /** The floor plays what the engine sends while `move` runs. */
  capture(name: string, type: RoomType, move: () => Promise<TurnAnswer>): Promise<void>
  end(): Promise<unknown>
}

interface Viewing { readonly viewer: Child; readonly key: string; readonly variant: string; readonly port: number }

/** A viewer process serves all variants of its contestant. */
const throughViewer = ({ viewer, key, variant, port }: Viewing): Pick<Contestant, 'enter' | 'check' | 'leave'> => {
  const ask = <T>(question: ViewerQuestion): Promise<T> => viewer.ask<T>(question)
  return {
    enter: (name, type) => ask({ kind: 'enter', key, port, name, type, movers: moversOf[type], variant } satisfies EnterQuestion),
    check: () => ask<Seen>({ kind: 'check', key }),
    leave: () => ask({ kind: 'leave', key }),
  }
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
  const enginePort = Number(new URL(engine.http).port)
  return {
    loadPid: load.pid,
    contestants: {
      floor: createFloor(floorServer, await play([]), () => played),
      engine: { key: 'engine', subject: 'the engine', dialect: 'engine', pid: engine.pid(), port: enginePort, ...throughViewer({ viewer: engineViewer, key: 'engine', variant: '', port: enginePort }) },
      colyseusF32: await peer('colyseusF32', 'Colyseus, f32', 'colyseus', f32, colyseusViewer, 'f32'),
      colyseus16: await peer('colyseus16', 'Colyseus, quantized', 'colyseus', quantized, colyseusViewer, 'quantized'),
      colyseusInputs: await peer('colyseusInputs', 'Colyseus, f32, defineInput', 'colyseus', inputs, colyseusViewer, 'inputs'),
      socketio: await peer('socketio', 'socket.io', 'socketio', socketio, socketioViewer, ''),
    },
    ask: async <Answer extends Joined>(question: Question) => {
      const answer = await load.ask<Answer>(question)
      if (answer.wrong !== '') throw new Error(`fanout: ${question.group}: ${answer.wrong}`)
      return answer
    },
    capture: async (name, type, move) => { await play(await captureSections(engine.url, type, name, move)) },
    end,
  }
}
