// Runs all tests; on Debian as root it first installs the browser and the Redis that some of them need. Ends with `N passed, N failed, N skipped`.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
const aptGet = (...args) => execFileSync('apt-get', args, { env, stdio: 'ignore' })
const canInstall = process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')

function getProgram(file, name, what) {
  if (existsSync(file)) return
  if (!canInstall) return console.log(`${what}: ${file} is missing; get it with: sudo apt-get install ${name}`)
  console.log(`installing ${name} for the tests …`)
  try {
    aptGet('update', '-qq')
    aptGet('install', '-y', '-qq', '--no-install-recommends', name)
  } catch (error) {
    console.log(`${what}: apt-get could not install ${name} (${error.message.split('\n')[0]})`)
  }
}

getProgram('/usr/bin/chromium', 'chromium', 'browser tests are skipped')
// Debian's server is one program with redis-check-rdb, by another name. The package redis-server would add the name, and a service that nobody asked for.
getProgram('/usr/bin/redis-check-rdb', 'redis-tools', 'tests with Redis fail')
const folder = mkdtempSync(join(tmpdir(), 'kasagi-test-'))
const report = join(folder, 'report.json')
const { status } = spawnSync(process.execPath, [
  'node_modules/vitest/vitest.mjs', 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...process.argv.slice(2),
], { stdio: 'inherit' })
let counts = { numPassedTests: 0, numFailedTests: 1, numPendingTests: 0 }
if (existsSync(report)) counts = JSON.parse(readFileSync(report, 'utf8'))
rmSync(folder, { recursive: true, force: true })
const failed = counts.numFailedTests === 0 && status !== 0 ? 1 : counts.numFailedTests
console.log(`${counts.numPassedTests} passed, ${failed} failed, ${counts.numPendingTests} skipped`)
process.exit(failed === 0 ? 0 : 1)
