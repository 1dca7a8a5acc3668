import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connect } from 'kasagi-engine/client'
import { counter } from '../../examples/counter/shared/counter.js'
import { startTestEngine, until, type TestEngine } from '../support/engine.js'

describe('the whole path: counter', () => {
  let server: TestEngine
  beforeAll(async () => { server = await startTestEngine('examples/counter') })
  afterAll(() => server.stop())

  it('path: an input of one client comes back as a delta to both', async () => {
    const [a, b] = await Promise.all([1, 2].map(() => connect(server.url, { verify: true }).join(counter, { name: 'both' })))
    await a.ask('add', { by: 5 })
    expect(a.globals.count).toBe(5)
    await until(() => b.globals.count === 5, 'the other client sees the count')
    await Promise.all([a.leave(), b.leave()])
    expect(a.status).toBe('closed')
  })

  it('path: a newcomer gets the state of a running room', async () => {
    const a = await connect(server.url).join(counter, { name: 'late' })
    for (let n = 0; n < 100; n++) a.send('add', { by: 2 })
    await a.ask('add', { by: -1 })
    const b = await connect(server.url).join(counter, { name: 'late' })
    expect(b.globals.count).toBe(199)
    await Promise.all([a.leave(), b.leave()])
  })

  it('path: rooms of different names do not share state', async () => {
    const a = await connect(server.url).join(counter, { name: 'one' }), b = await connect(server.url).join(counter, { name: 'two' })
    await a.ask('add', { by: 7 })
    expect(b.globals.count).toBe(0)
    await Promise.all([a.leave(), b.leave()])
  })
})
