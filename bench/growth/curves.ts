/** Curves in the terminal: a line for each subject, its medians along what grows, and the exponent that fits them. */
import { exponentOf, groupBy } from '../page.js'
import type { Figure } from '../report.js'

const short = (value: number): string => Number(value.toPrecision(3)).toLocaleString('en')

export function printCurves(figures: readonly Figure[]): void {
  const curves = groupBy(figures.filter(({ at }) => at !== undefined), ({ id, subject, metric, unit, at }) => `${id.padEnd(18)} ${subject}, ${metric} in ${unit} against ${at!.along}`)
  for (const [title, points] of curves) {
    const known = points.filter(({ median }) => median > 0), exponent = exponentOf(known.map(({ at, median }) => [at!.value, median]))
    console.log(`  ${title}: ${points.map(({ at, median }) => `${short(at!.value)}: ${short(median)}`).join(', ')}${known.length < 2 ? '' : `; exponent ${exponent.toFixed(2)}`}`)
  }
}
