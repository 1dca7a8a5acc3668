import { defineConfig } from 'vitest/config'

// Engine tests start threads and sockets on a small machine: files run one after the other, each test owns its ports.
export default defineConfig({
  test: { include: ['test/**/*.test.ts'], fileParallelism: false, testTimeout: 30_000, hookTimeout: 30_000 },
})
