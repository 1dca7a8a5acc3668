/** What viewers of the fan-out bench are asked, and what they answer: one client of each contestant that uses the contestant's own library and can tell whether all is right. */
import type { RoomType } from './project/shared/place.js'

export interface EnterQuestion {
  readonly kind: 'enter'; readonly key: string; readonly port: number; readonly name: string; readonly type: RoomType; readonly movers: number
  readonly variant: string
}
export type ViewerQuestion = EnterQuestion | { readonly kind: 'check' | 'leave'; readonly key: string }
/** `wrong`: what is, or ''. `turn`: the room's; `turns`: updates that it has seen; `applied`: inputs of the room. */
export interface Seen { readonly wrong: string; readonly turn: number; readonly turns: number; readonly applied: number }
export interface Stay { leave(): Promise<unknown> | void; check(): Seen }

/** In a process of the viewer's own. */
export function answerViewer(enter: (question: EnterQuestion) => Promise<Stay>): void {
  const stays = new Map<string, Stay>()
  async function answer(question: ViewerQuestion): Promise<unknown> {
    if (question.kind === 'enter') {
      stays.set(question.key, await enter(question))
      return 'entered'
    }
    const stay = stays.get(question.key)!
    if (question.kind === 'check') return stay.check()
    await stay.leave()
    stays.delete(question.key)
    return 'left'
  }
  process.on('message', (question: ViewerQuestion) => { void answer(question).then((said) => process.send?.(said)) })
  process.on('disconnect', () => process.exit(0))
  process.send?.('ready')
}
