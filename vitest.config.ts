import { defineConfig } from 'vitest/config'

// What needs neither sockets nor time shares the cores. All else starts threads and sockets on a small machine: one file after the other, and each test owns its ports.
const pure = ['base', 'memory', 'schema', 'sim', 'wire', 'workers'].map((folder) => `test/${folder}/**/*.test.ts`)
const limits = { testTimeout: 30_000, hookTimeout: 30_000 }

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'pure', include: pure, ...limits, sequence: { groupOrder: 0 } } },
      { test: { name: 'real', include: ['test/**/*.test.ts'], exclude: pure, ...limits, fileParallelism: false, sequence: { groupOrder: 1 } } },
    ],
  },
})
