/** The table of targets, as text of at most 80 columns and as markdown. A goal that nothing has measured yet stands in it, and says so. */
import type { Report, Target } from './report.js'
import { goals, type Goal, type GoalId } from './targets.js'

export interface Row { readonly what: string; readonly wanted: string; readonly measured: string; readonly verdict: Target['verdict'] | 'not measured' }

const ids = Object.keys(goals) as GoalId[]

export const rowsOf = ({ targets }: Report): Row[] => ids.map((id) => {
  const { what, limit, unit, is }: Goal = goals[id], target = targets.find((each) => each.id === id)
  const measured = target === undefined ? '' : `${short(target.median)}${spaced(unit)} (${short(target.low)} … ${short(target.high)})`
  return { what, wanted: `${is === 'at most' ? '≤' : '≥'} ${limit}${spaced(unit)}`, measured, verdict: target?.verdict ?? 'not measured' }
})

const short = (value: number): number => Number(value.toPrecision(3))

/** `4x`, but `60 us`. */
const spaced = (unit: string): string => unit.length > 1 ? ` ${unit}` : unit

const whatColumns = 34

/** What, target, measured with its range, verdict; `what` goes on below itself. */
export function textTable(report: Report): string {
  const line = (what: string, wanted: string, measured: string, verdict: string): string => `${what.padEnd(whatColumns)} ${wanted.padEnd(9)} ${measured.padEnd(22)} ${verdict}`.trimEnd()
  return [line('what', 'target', 'measured (95%)', ''), ...rowsOf(report).flatMap(({ what, wanted, measured, verdict }) => {
    const [first, ...others] = wrap(what)
    return [line(first, wanted, measured, verdict), ...others.map((other) => `  ${other}`)]
  })].join('\n')
}

/** Lines of at most `whatColumns`, cut between words; all but the first are shorter by their indent. */
function wrap(text: string): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last === undefined || last.length + 1 + word.length > whatColumns - (lines.length > 1 ? 2 : 0)) lines.push(word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines
}

export const markdownTable = (report: Report): string =>
  ['| what | target | measured (95% interval) | |', '|---|---|---|---|', ...rowsOf(report).map(({ what, wanted, measured, verdict }) => `| ${what} | ${wanted} | ${measured} | ${verdict === 'met' ? 'met' : `**${verdict}**`} |`)].join('\n')

/** When, where and beside what. */
export function machineLine({ machine: { date, cpu, cores, memoryGiB, node, peers } }: Report): string {
  return `${date}, ${cpu}, ${cores} cores, ${memoryGiB} GiB, Node ${node}; ${peers}`
}
