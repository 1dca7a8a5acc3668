/** The benches, as a smoke run: that each of them works and proves its contestants right. Their figures are nothing that a test can hold. */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { exponentOf } from '../bench/page.js'
import { goals } from '../bench/targets.js'
import { intervalOf, judge } from '../bench/paired.js'
import { machineLine, markdownTable } from '../bench/table.js'
import type { Report } from '../bench/report.js'

const reportIn = (folder: string): Report => JSON.parse(readFileSync(`${folder}/latest.json`, 'utf8')) as Report

test('bench: a smoke run measures every target, and draws its page', async () => {
  const output = await new Promise<string>((resolve, reject) => {
    execFile(process.execPath, ['scripts/bench.mjs'], { env: { ...process.env, SMOKE: '1' }, maxBuffer: 2 ** 24 }, (error, out, errors) => { if (error === null) resolve(out); else reject(new Error(`${out}\n${errors}`)) })
  })
  const { targets } = reportIn('dist/bench/smoke')
  expect(targets.map(({ id }) => id).sort()).toEqual(Object.keys(goals).sort())
  expect(output.split('\n').filter((line) => line.includes('not measured'))).toEqual([])
  expect(readFileSync('dist/bench/smoke/report.html', 'utf8')).toContain('<svg')
}, 180_000)

test('bench: the table in the README is what latest.json says', () => {
  const report = reportIn('bench/results')
  expect(existsSync('bench/results/report.html')).toBe(true)
  expect(readFileSync('README.md', 'utf8')).toContain(`${machineLine(report)}:\n\n${markdownTable(report)}\n`)
})

test('bench: an interval leaves out of 15 windows the three least and the three most', () => {
  const values = Array.from({ length: 15 }, (_, n) => n)
  expect(intervalOf(values)).toEqual([3, 11])
  expect(intervalOf([5, 1, 3])).toEqual([1, 5])
})

test('bench: a target is met or missed where the interval lies on one side, and undecided where it spans the limit or windows are few', () => {
  const windows = (from: number, to: number): number[] => Array.from({ length: 15 }, (_, n) => from + (to - from) * n / 14)
  expect(judge('delta/10000-10%', windows(10, 12)).verdict).toBe('met')
  expect(judge('delta/10000-10%', windows(8, 9.9)).verdict).toBe('missed')
  expect(judge('delta/10000-10%', windows(8, 12)).verdict).toBe('undecided')
  expect(judge('tick/latency', windows(30, 59)).verdict).toBe('met')
  expect(judge('tick/latency', [30, 30, 30]).verdict).toBe('undecided')
})

test('bench: the exponent of a curve is the slope of its logarithms', () => {
  expect(exponentOf([[1, 3], [10, 30], [100, 300]])).toBeCloseTo(1)
  expect(exponentOf([[1, 3], [10, 300], [100, 30_000]])).toBeCloseTo(2)
})
