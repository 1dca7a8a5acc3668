/** Collects figures of a run and writes them: a table for people, bench/results/latest.json for programs. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { dirname } from 'node:path'

export interface Figure { readonly id: string; readonly subject: string; readonly metric: string; readonly unit: string; readonly median: number; readonly min: number; readonly max: number }
/** What was measured against the most that it may be, with the 95% interval of its median. */
export interface Target {
  readonly id: string; readonly what: string; readonly unit: string; readonly limit: number
  readonly median: number; readonly low: number; readonly high: number; readonly verdict: 'met' | 'missed' | 'undecided'
}
/** What a part of a bench has found out. */
export interface Measured { readonly figures: Figure[]; readonly ratios: Record<string, number>; readonly targets: Target[] }
interface Report { machine: Record<string, unknown>; results: Figure[]; ratios: Record<string, number>; targets?: Target[] }

/** A smoke run's figures say nothing: they must not take the place of measured ones. */
const file = process.env.SMOKE === undefined ? 'bench/results/latest.json' : 'dist/bench/smoke.json'

export const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]

export const figure = (id: string, subject: string, metric: string, unit: string, values: readonly number[]): Figure =>
  ({ id, subject, metric, unit, median: round(median(values)), min: round(Math.min(...values)), max: round(Math.max(...values)) })

const round = (value: number): number => Number(value.toPrecision(4))

export const machine = (): Record<string, unknown> => ({
  cpu: cpus()[0].model, cores: cpus().length, memoryGiB: Math.round(totalmem() / 2 ** 30), node: process.version, platform: `${process.platform}-${process.arch}`,
  date: new Date().toISOString().slice(0, 10),
})

/** Replaces the figures of one bench (`delta`, `frame`) in the results file; those of others stay. */
export function writeReport(bench: string, results: readonly Figure[], ratios: Readonly<Record<string, number>>, targets: readonly Target[] = []): void {
  const before: Report = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) as Report : { machine: {}, results: [], ratios: {} }
  const others = (id: string): boolean => !id.startsWith(`${bench}/`)
  const report: Report = {
    machine: machine(), results: [...before.results.filter(({ id }) => others(id)), ...results],
    ratios: { ...Object.fromEntries(Object.entries(before.ratios).filter(([id]) => others(id))), ...Object.fromEntries(Object.entries(ratios).map(([id, ratio]) => [id, round(ratio)])) },
  }
  const judged = [...(before.targets ?? []).filter(({ id }) => others(id)), ...targets.map((target) => ({ ...target, median: round(target.median), low: round(target.low), high: round(target.high) }))]
  if (judged.length > 0) report.targets = judged
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${JSON.stringify(report, undefined, 1)}\n`)
}

export function printFigures(results: readonly Figure[]): void {
  for (const { id, subject, median: middle, min, max, unit } of results) {
    console.log(`  ${id.padEnd(24)} ${subject.padEnd(28)} ${String(middle).padStart(8)} ${unit.padEnd(9)} ${min} … ${max}`)
  }
}

export function printTargets(targets: readonly Target[]): void {
  for (const { id, what, unit, limit, median: middle, low, high, verdict } of targets) {
    console.log(`  ${id.padEnd(24)} ${what}: ${round(middle)} (${round(low)} … ${round(high)}) of at most ${limit} ${unit}: ${verdict}`)
  }
}
