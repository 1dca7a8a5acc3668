/** Figures of a run, and where they are kept: bench/results/latest.json, for programs and for what is drawn of them (page.ts, table.ts). */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { dirname } from 'node:path'
import { goals, type GoalId } from './targets.js'

/** Where on a curve a figure stands: `along` names what grows (entities, clients). */
export interface Place { readonly along: string; readonly value: number }

export interface Figure {
  readonly id: string; readonly subject: string; readonly metric: string; readonly unit: string; readonly at?: Place
  readonly median: number; readonly min: number; readonly max: number
}
/** What was measured of a goal, with the 95% interval of its median. */
export interface Target { readonly id: GoalId; readonly median: number; readonly low: number; readonly high: number; readonly verdict: 'met' | 'missed' | 'undecided' }
/** What a part of a bench has found out. */
export interface Measured { readonly figures: Figure[]; readonly ratios: Record<string, number>; readonly targets: Target[] }

export interface Report { machine: Record<string, string | number>; results: Figure[]; ratios: Record<string, number>; targets: Target[] }

export const isSmoke = process.env.SMOKE !== undefined

/** A smoke run's figures say nothing: they must not take the place of measured ones. */
export const resultsFolder = isSmoke ? 'dist/bench/smoke' : 'bench/results'
const file = `${resultsFolder}/latest.json`

export const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]

export const figure = (id: string, subject: string, metric: string, unit: string, values: readonly number[], at?: Place): Figure =>
  ({ id, subject, metric, unit, ...(at === undefined ? {} : { at }), median: round(median(values)), min: round(Math.min(...values)), max: round(Math.max(...values)) })

export const round = (value: number): number => Number(value.toPrecision(4))

/** Peers by their packages, as they are pinned. */
function peers(): string {
  const versions = ['package.json', 'bench/peers/package.json'].flatMap((path) => {
    const { dependencies = {}, devDependencies = {} } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, Record<string, string> | undefined>
    return Object.entries({ ...dependencies, ...devDependencies })
  })
  const versionOf = (name: string): string => `${name} ${versions.find(([found]) => found === name)![1].replace(/^npm:.*@/, '')}`
  return ['uWebSockets.js', '@colyseus/schema', '@colyseus/core', 'socket.io', 'ioredis'].map(versionOf).join(', ')
}

const machine = (): Report['machine'] => ({
  cpu: cpus()[0].model, cores: cpus().length, memoryGiB: Math.round(totalmem() / 2 ** 30), node: process.version, platform: `${process.platform}-${process.arch}`,
  date: new Date().toISOString().slice(0, 10), peers: peers(),
})

export const readReport = (): Report => existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) as Report : { machine: {}, results: [], ratios: {}, targets: [] }

/** Takes the place of what this bench said before, but for parts that this run left out; what other benches said stays. */
export function writeReport(bench: string, parts: readonly Measured[]): void {
  const before = readReport(), figures = parts.flatMap((part) => part.figures), targets = parts.flatMap((part) => part.targets)
  const ratios = Object.fromEntries(parts.flatMap((part) => Object.entries(part.ratios)).map(([id, ratio]) => [id, round(ratio)]))
  const said = new Set([...figures, ...targets].map(({ id }) => id)), isPart = process.env.PART !== undefined
  const stays = (id: string): boolean => isPart ? !said.has(id) : !id.startsWith(`${bench}/`)
  const report: Report = {
    machine: machine(),
    results: [...before.results.filter(({ id }) => stays(id)), ...figures],
    ratios: { ...Object.fromEntries(Object.entries(before.ratios).filter(([id]) => stays(id))), ...ratios },
    targets: [...before.targets.filter(({ id }) => stays(id) && id in goals), ...targets.map((target) => ({ ...target, median: round(target.median), low: round(target.low), high: round(target.high) }))],
  }
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${JSON.stringify(report, undefined, 1)}\n`)
}

export function printFigures(results: readonly Figure[]): void {
  for (const { id, subject, metric, median: middle, min, max, unit } of results) {
    console.log(`  ${id.padEnd(24)} ${subject}, ${metric}: ${middle} ${unit} (${min} … ${max})`)
  }
}
