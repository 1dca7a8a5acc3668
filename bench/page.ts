/**
 * bench/results/report.html: what latest.json says, to look at. One file without scripts or anything from elsewhere: targets against their limits, figures as
 * bars from zero with their range, figures that stand on a curve as lines over two logarithmic axes with the exponent that fits them.
 */
import type { Figure, Report } from './report.js'
import { machineLine, rowsOf } from './table.js'

const style = `
:root { color-scheme: light dark; --ink: light-dark(#1b1f24, #e6e6e6); --faint: light-dark(#6b7280, #9aa3af); --line: light-dark(#d7dbe0, #3a4048); --paper: light-dark(#fff, #15181c) }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1000px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line) } h3 { font-size: .95rem; margin: 1.4rem 0 .3rem }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
.met { color: light-dark(#176b3a, #5cc98a) } .missed { color: light-dark(#b3261e, #ff8a80); font-weight: 600 } .undecided, .not { color: var(--faint) } .faint { color: var(--faint) }
svg { display: block; max-width: 100%; height: auto } text { font: 12px system-ui, sans-serif; fill: var(--ink) } .grid { stroke: var(--line) } .whisker { stroke: var(--ink); stroke-width: 1.5 }`

/** Told apart by people who do not see all colours (Okabe and Ito). */
const colours = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#999999']

const escape = (text: string): string => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`)
const short = (value: number): string => Number(value.toPrecision(3)).toLocaleString('en', { maximumSignificantDigits: 3 })
export const groupBy = <T>(values: readonly T[], keyOf: (value: T) => string): Map<string, T[]> => {
  const groups = new Map<string, T[]>()
  for (const value of values) groups.set(keyOf(value), [...groups.get(keyOf(value)) ?? [], value])
  return groups
}

/** A bar for each subject, with a whisker from the least to the most of its windows. */
function bars(figures: readonly Figure[]): string {
  const width = 960, left = 300, right = 130, row = 24, most = Math.max(...figures.map(({ max }) => max), Number.MIN_VALUE)
  const x = (value: number): number => left + value / most * (width - left - right)
  const drawn = figures.map(({ subject, median, min, max, unit }, n) => {
    const y = n * row, middle = y + row / 2
    return `<text x="${left - 8}" y="${middle + 4}" text-anchor="end">${escape(subject)}</text>
<rect x="${left}" y="${y + 4}" width="${Math.max(1, x(median) - left)}" height="${row - 8}" fill="${colours[n % colours.length]}" opacity=".75"/>
<line class="whisker" x1="${x(min)}" x2="${x(max)}" y1="${middle}" y2="${middle}"/><text x="${x(Math.max(median, max)) + 6}" y="${middle + 4}">${short(median)} ${escape(unit)}</text>`
  })
  return `<svg viewBox="0 0 ${width} ${figures.length * row}" role="img">${drawn.join('\n')}</svg>`
}

/** The slope of a line through the logarithms: cost = a * size ^ exponent. */
export function exponentOf(points: readonly (readonly [size: number, cost: number])[]): number {
  const logs = points.map(([size, cost]) => [Math.log(size), Math.log(cost)]), { length } = logs
  const meanX = logs.reduce((sum, [x]) => sum + x, 0) / length, meanY = logs.reduce((sum, [, y]) => sum + y, 0) / length
  return logs.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) / logs.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0)
}

/** A line for each subject; both axes are logarithmic, so that a straight line is a power. */
function curves(figures: readonly Figure[]): string {
  const width = 960, height = 320, left = 70, right = 330, top = 12, bottom = 34, [{ at: first, unit }] = figures
  const xs = figures.map(({ at }) => at!.value), ys = figures.flatMap(({ min, max }) => [min, max]).filter((value) => value > 0)
  const scale = (values: readonly number[], from: number, to: number) => {
    const low = Math.log(Math.min(...values)), span = Math.log(Math.max(...values)) - low || 1
    return (value: number): number => from + (Math.log(Math.max(value, Number.MIN_VALUE)) - low) / span * (to - from)
  }
  const x = scale(xs, left, width - right), y = scale(ys, height - bottom, top)
  const lines = [...groupBy(figures, ({ subject }) => subject)].map(([subject, unsorted], n) => {
    const points = unsorted.filter(({ median }) => median > 0).sort((a, b) => a.at!.value - b.at!.value), colour = colours[n % colours.length]
    const exponent = points.length < 2 ? '' : ` (exponent ${exponentOf(points.map(({ at, median }) => [at!.value, median])).toFixed(2)})`
    return `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${points.map(({ at, median }) => `${x(at!.value)},${y(median)}`).join(' ')}"/>
${points.map(({ at, median, min, max }) => `<circle cx="${x(at!.value)}" cy="${y(median)}" r="3" fill="${colour}"/><line stroke="${colour}" x1="${x(at!.value)}" x2="${x(at!.value)}" y1="${y(Math.max(min, Math.min(...ys)))}" y2="${y(max)}"/>`).join('')}
<text x="${width - right + 14}" y="${top + 14 + n * 18}" style="fill:${colour}">${escape(subject)}${exponent}</text>`
  })
  const marks = [...new Set(xs)].map((value) => `<line class="grid" x1="${x(value)}" x2="${x(value)}" y1="${top}" y2="${height - bottom}"/><text x="${x(value)}" y="${height - bottom + 18}" text-anchor="middle">${short(value)}</text>`)
  const ends = [Math.min(...ys), Math.max(...ys)].map((value) => `<text x="${left - 8}" y="${y(value) + 4}" text-anchor="end">${short(value)} ${escape(unit)}</text>`)
  return `<svg viewBox="0 0 ${width} ${height}" role="img">${marks.join('')}${ends.join('')}<text x="${(left + width - right) / 2}" y="${height - 1}" text-anchor="middle">${escape(first!.along)}</text>${lines.join('\n')}</svg>`
}

function targetTable(report: Report): string {
  const rows = rowsOf(report).map(({ what, wanted, measured, verdict }) => `<tr><td>${escape(what)}</td><td>${wanted}</td><td>${measured}</td><td class="${verdict.split(' ')[0]}">${verdict}</td></tr>`)
  return `<table><tr><th>what</th><th>target</th><th>measured (95% interval)</th><th></th></tr>${rows.join('\n')}</table>`
}

export function pageOf(report: Report): string {
  const sections = [...groupBy(report.results, ({ id }) => id.split('/')[0])].map(([bench, figures]) => {
    const standing = figures.filter(({ at }) => at === undefined), along = figures.filter(({ at }) => at !== undefined)
    const drawn = [
      ...[...groupBy(standing, ({ id, metric }) => `${id.slice(bench.length + 1)}: ${metric}`)].map(([title, group]) => `<h3>${escape(title)}</h3>${bars(group)}`),
      ...[...groupBy(along, ({ id, metric, at }) => `${id.slice(bench.length + 1)}: ${metric} against ${at!.along}`)].map(([title, group]) => `<h3>${escape(title)}</h3>${curves(group)}`),
    ]
    return `<h2>${escape(bench)}</h2>${drawn.join('\n')}`
  })
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>KasagiEngine, measured</title><style>${style}</style>
<h1>KasagiEngine, measured</h1><p class="faint">${escape(machineLine(report))}. Medians; whiskers reach from the least to the most of the windows of one run. <code>make bench</code></p>
<h2>Targets</h2>${targetTable(report)}${sections.join('\n')}</html>
`
}
