/** The engine as a contestant, its viewer, and the load that is asked for turns: what a bench needs that has no peers. */
import type { ServeProcess } from '../../test/support/process.js'
import type { Child } from '../child.js'
import type { Contestant } from './contestants.js'
import type { Joined, Question } from './load.js'
import { moversOf } from './project/shared/place.js'
import type { EnterQuestion, Seen, ViewerQuestion } from './viewer.js'

export interface Load {
  readonly loadPid: number
  /** What is wrong with the answer ends the bench. */
  ask<Answer extends Joined>(question: Question): Promise<Answer>
}

export const loadOf = (load: Child): Load => ({
  loadPid: load.pid,
  ask: async <Answer extends Joined>(question: Question) => {
    const answer = await load.ask<Answer>(question)
    if (answer.wrong !== '') throw new Error(`fanout: ${question.group}: ${answer.wrong}`)
    return answer
  },
})

interface Viewing { readonly viewer: Child; readonly key: string; readonly variant: string; readonly port: number }

/** A viewer process serves all variants of its contestant. */
export const throughViewer = ({ viewer, key, variant, port }: Viewing): Pick<Contestant, 'enter' | 'check' | 'leave'> => {
  const ask = <T>(question: ViewerQuestion): Promise<T> => viewer.ask<T>(question)
  return {
    enter: (name, type) => ask({ kind: 'enter', key, port, name, type, movers: moversOf[type], variant } satisfies EnterQuestion),
    check: () => ask<Seen>({ kind: 'check', key }),
    leave: () => ask({ kind: 'leave', key }),
  }
}

export function engineOf(engine: ServeProcess, viewer: Child): Contestant {
  const port = Number(new URL(engine.http).port)
  return { key: 'engine', subject: 'the engine', dialect: 'engine', pid: engine.pid(), port, ...throughViewer({ viewer, key: 'engine', variant: '', port }) }
}
