/** docs/operations.md, held to the code: every setting, every metric, every page. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { settings } from '../src/config.js'
import { createMetrics } from '../src/server/metrics.js'

const text = readFileSync('docs/operations.md', 'utf8')
const units = [['G', 1024 ** 3], ['M', 1024 ** 2], ['K', 1024]] as const

/** A default as people write it. */
function shown(key: string, value: unknown): string {
  if (key === 'workers') return 'one fewer than cores'
  if (value === undefined || value === false || (Array.isArray(value) && value.length === 0)) return ''
  const unit = key.endsWith('Bytes') ? units.find(([, size]) => (value as number) % size === 0) : undefined
  return unit === undefined ? String(value) : `${(value as number) / unit[1]}${unit[0]}`
}

describe('docs/operations.md', () => {
  it('operations: lists every setting with its flag, environment, default and what is allowed', () => {
    const rows = settings.filter(({ hidden }) => hidden !== true).map(({ key, flag, env, value, help, isSecret, fallback, allowed }) => {
      const name = isSecret === true ? '' : `\`--${flag}${value === '' ? '' : ` ${value}`}\``
      return `| ${name} | ${env.map((entry) => `\`${entry}\``).join(', ')} | ${shown(key, fallback())} | ${allowed} | ${help} |`
    })
    const [, section] = /^## Settings\n([\s\S]*?)^## /m.exec(text)!
    expect(section.split('\n').filter((line) => line.startsWith('| ')).slice(1)).toEqual(rows)
  })

  it('operations: lists every metric with its labels, and names none that is not there', async () => {
    const metrics = createMetrics(), served = await metrics.text()
    const help = [...served.matchAll(/^# HELP (kasagi_\w+) (.*)$/gm)].map(([, name, what]) => [name, what])
    const listed = [...text.matchAll(/^\| `(kasagi_\w+)`(?: \{[\w, ]+\})? \| (.*) \|$/gm)].map(([, name, what]) => [name, what])
    expect(listed).toEqual(help)
    const named = [...new Set([...text.matchAll(/\bkasagi_\w+/g)].map(([name]) => name))]
    expect(named.filter((name) => !help.some(([known]) => known === name))).toEqual([])
    const others = [...new Set([...text.matchAll(/`((?:nodejs|process)_\w+)/g)].map(([, name]) => name))]
    expect(others.filter((name) => !served.includes(`# HELP ${name} `))).toEqual([])
    expect(others.length).toBeGreaterThan(2)
  })

  it('operations: the labels that it lists are those of the metric', () => {
    const labels = Object.values(createMetrics()).flatMap((metric) => 'labelNames' in metric ? [[(metric as unknown as { name: string }).name, (metric as unknown as { labelNames: string[] }).labelNames] as const] : [])
    const listed = new Map([...text.matchAll(/^\| `(kasagi_\w+)`(?: \{([\w, ]+)\})? \|/gm)].map(([, name, names]) => [name, names === undefined ? [] : names.split(', ')]))
    for (const [name, names] of labels) expect(listed.get(name), name).toEqual(names)
    expect(labels.length).toBeGreaterThan(40)
  })
})
