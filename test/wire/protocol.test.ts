import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { errorTexts } from '../../src/base/error-texts.js'
import { errorList } from '../../src/base/errors.js'

describe('protocol', () => {
  it('protocol: docs/protocol.md lists every code with its close code and who may reconnect', () => {
    const listed = [...readFileSync('docs/protocol.md', 'utf8').matchAll(/^\| `([a-z-]+)` \| (\d*) \| (yes|no) \| (.*) \|$/gm)].map(([, code, close, reconnect, text]) => [code, { close: close === '' ? null : Number(close), reconnect: reconnect === 'yes', text }])
    const known = Object.entries(errorList).map(([code, entry]) => [code, { ...entry, text: errorTexts[code as keyof typeof errorList] }])
    expect(Object.fromEntries(listed)).toEqual(Object.fromEntries(known))
  })

  it('protocol: no two codes share a close code', () => {
    const closes = Object.values(errorList).map(({ close }) => close).filter((close) => close !== null)
    expect(new Set(closes).size).toBe(closes.length)
  })
})
